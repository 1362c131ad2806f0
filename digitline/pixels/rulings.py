"""Straight lines that cross or frame the picture: found, and erased without the strokes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane

_SLOPES: Final = np.linspace(-0.06, 0.06, 7)
_SPANS: Final = 0.8
_THIN: Final = 0.09
_STRIPS: Final = 10
_CLUTTERED: Final = 12
_DIGIT: Final = 0.25
_REACHING: Final = 120
_ALIKE: Final = 0.03


@dataclass(frozen=True)
class Rulings:
    """Lines found: their ink (h, w), how much of the frame they span, how thick they are.

    `spans` and `reaching` are those of the strongest line: the share of the frame that it
    covers, and how many of its two ends (0 to 2) reach the frame's edge.
    """

    ink: Plane
    spans: float
    reaching: int
    thickness: float
    count: int


@dataclass(frozen=True)
class _Line:
    """A nearly level line: rows `first` to `last` of the plane sheared by `slope`."""

    slope: float
    first: int
    last: int
    spans: float
    reaching: int


def find_rulings(mask: Plane) -> Rulings | None:
    """Find lines that span a (h, w) mask from side to side, or top to bottom.

    What crosses a line stays ink. None if there is no line, or nothing else.
    """
    level = _find_lines(mask)
    clean = _erase(mask, level)
    turned = np.ascontiguousarray(clean.T)
    upright = _find_lines(turned)
    clean = np.ascontiguousarray(_erase(turned, upright).T)
    lines = level + upright
    if not lines or not _is_digit_sized(clean):
        return None
    erased = cv2.dilate(cv2.bitwise_xor(mask, clean), np.ones((5, 5), np.uint8))
    return Rulings(
        np.where(clean > 0, 0, np.asarray(erased)).astype(np.uint8),
        max(line.spans for line in lines),
        max(line.reaching for line in lines),
        max(line.last - line.first + 1 for line in lines) / max(mask.shape),
        len(lines),
    )


def _is_digit_sized(mask: Plane) -> bool:
    _, _, width, height = cv2.boundingRect(mask)
    return bool(height > _DIGIT * mask.shape[0] or width > _DIGIT * mask.shape[1])


def _find_lines(mask: Plane) -> list[_Line]:
    coverage, reaching = _cover(mask)
    lines: list[_Line] = []
    while len(lines) < _CLUTTERED:
        if coverage.max() < _SPANS:
            break
        which, row, first, last = _narrowest(coverage)
        spans = float(coverage[which, row])
        coverage[:, max(0, first - 2) : last + 3] = 0
        if last - first + 1 <= max(1.0, _THIN * len(mask)):
            ends = int(reaching[which, row])
            lines.append(_Line(float(_SLOPES[which]), first, last, spans, ends))
    return lines


def _narrowest(coverage: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Find the strongest line: slope, row, first and last row, where it is narrowest.

    Along a thick line other slopes cover as much, but spread over more rows.
    """
    strongest = coverage.max(axis=1)
    along = np.flatnonzero(strongest >= strongest.max() - _ALIKE).tolist()
    rows = [int(coverage[which].argmax()) for which in along]
    spreads = [
        _spread(coverage[which] >= _SPANS / 2, row) for which, row in zip(along, rows, strict=True)
    ]
    best = min(range(len(along)), key=lambda place: spreads[place][1] - spreads[place][0])
    return along[best], rows[best], *spreads[best]


def _cover(mask: Plane) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Measure which share of each row, sheared by each slope, is ink, and which ends: (slopes, h).

    A row that reaches neither side counts nothing: rulings go on beyond the frame.
    """
    height, width = mask.shape
    strips = min(_STRIPS, width)
    profile = np.asarray(cv2.resize(mask, (strips, height), interpolation=cv2.INTER_AREA))
    if profile[:, [0, -1]].max() <= _REACHING:
        nothing = np.zeros((len(_SLOPES), height))
        return nothing.astype(np.float32), nothing.astype(np.intp)
    picked = profile.ravel()[_paths(height, width, strips)]
    reaching = np.count_nonzero(picked[..., [0, -1]] > _REACHING, axis=2)
    coverage = picked.mean(axis=2, dtype=np.float32) / 255 * (reaching > 0)
    return coverage.astype(np.float32), np.asarray(reaching, np.intp)


@lru_cache(maxsize=64)
def _paths(height: int, width: int, strips: int) -> NDArray[np.intp]:
    """List the places of the strips that each sheared row crosses: (slopes, h, strips)."""
    middles = (np.arange(strips) + 0.5) / strips * width - width / 2
    shifts = np.rint(_SLOPES[:, None] * middles).astype(np.intp)
    rows = (np.arange(height)[:, None] + shifts[:, None, :]).clip(0, height - 1)
    return np.asarray(rows * strips + np.arange(strips))


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


def _erase(mask: Plane, lines: list[_Line]) -> Plane:
    """Erase lines where nothing rises out of them: what does is a stroke that crosses."""
    clean = mask
    for line in lines:
        thick = line.last - line.first + 1
        reach = 2 * round(0.8 * thick + 1) + 1
        standing = cv2.morphologyEx(
            clean, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8), borderType=cv2.BORDER_CONSTANT
        )
        band = np.zeros_like(mask)
        band[max(0, line.first - 2) : line.last + 3] = 255
        inside = _shear(band, line.slope) > 0
        clean = np.where(inside & (np.asarray(standing) == 0), 0, clean).astype(np.uint8)
    return clean
