"""Straight lines that cross or frame the picture: found, and erased without the strokes."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane

_SLOPES: Final = np.linspace(-0.06, 0.06, 9)
_SPANS: Final = 0.8
_THIN: Final = 0.09
_CLUTTERED: Final = 3


@dataclass(frozen=True)
class _Line:
    """A nearly level line: rows `first` to `last` of the plane sheared by `slope`."""

    slope: float
    first: int
    last: int


def erase_rulings(mask: Plane) -> Plane:
    """Erase lines that span a (h, w) mask of 0 and 255 from side to side, or top to bottom."""
    level = _erase_level(mask)
    return np.ascontiguousarray(_erase_level(np.ascontiguousarray(level.T)).T)


def _erase_level(mask: Plane) -> Plane:
    for line in _find_lines(mask):
        mask = _erase(mask, line)
    return mask


def _find_lines(mask: Plane) -> list[_Line]:
    coverage = np.stack([_shear(mask, slope).mean(axis=1) / 255 for slope in _SLOPES])
    lines: list[_Line] = []
    while len(lines) < _CLUTTERED:
        which, row = np.unravel_index(int(coverage.argmax()), coverage.shape)
        if coverage[which, row] < _SPANS:
            break
        first, last = _spread(coverage[which] >= _SPANS / 2, int(row))
        coverage[:, max(0, first - 2) : last + 3] = 0
        if last - first + 1 <= max(1.0, _THIN * len(mask)):
            lines.append(_Line(float(_SLOPES[which]), first, last))
    return lines


def _spread(high: NDArray[np.bool_], row: int) -> tuple[int, int]:
    low_before = np.flatnonzero(~high[:row])
    low_after = np.flatnonzero(~high[row:])
    first = int(low_before[-1]) + 1 if low_before.size else 0
    last = row + int(low_after[0]) - 1 if low_after.size else len(high) - 1
    return first, last


def _shear(mask: Plane, slope: float) -> Plane:
    height, width = mask.shape
    matrix = np.array([[1, 0, 0], [slope, 1, -slope * width / 2]], np.float32)
    flags = cv2.INTER_NEAREST
    return np.asarray(
        cv2.warpAffine(mask, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def _erase(mask: Plane, line: _Line) -> Plane:
    """Erase a line where nothing rises out of it: what does is a stroke that crosses."""
    thick = line.last - line.first + 1
    reach = 2 * round(0.8 * thick + 1) + 1
    standing = cv2.morphologyEx(
        mask, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8), borderType=cv2.BORDER_CONSTANT
    )
    band = np.zeros_like(mask)
    band[max(0, line.first - 2) : line.last + 3] = 255
    band = _shear(band, -line.slope)
    return np.where((band > 0) & (standing == 0), 0, mask).astype(np.uint8)
