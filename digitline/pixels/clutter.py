"""What is in a mask of ink besides the digit: specks, rulings, strokes from outside."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane
from digitline.pixels.rulings import erase_rulings

_PAGE: Final = 8


@dataclass(frozen=True)
class Findings:
    """The digit's mask, its box (left, top, width, height), what went, and any doubt."""

    mask: Plane
    box: tuple[int, int, int, int]
    removed: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces of ink: arrays of one entry each, edges in shares of the frame."""

    left: NDArray[np.float64]
    top: NDArray[np.float64]
    right: NDArray[np.float64]
    bottom: NDArray[np.float64]
    area: NDArray[np.float64]

    @property
    def width(self) -> NDArray[np.float64]:
        return self.right - self.left

    @property
    def height(self) -> NDArray[np.float64]:
        return self.bottom - self.top


def keep_one_digit(mask: Plane, *, rulings: bool) -> Findings:
    """Keep the pieces of a (h, w) mask of 0 and 255 that make one digit."""
    removed: list[str] = []
    clean = erase_rulings(mask) if rulings else mask
    if clean is not mask and not np.array_equal(clean, mask):
        if _is_digit_sized(clean):
            removed.append("rulings")
        else:
            clean = mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    pieces = _measure(np.asarray(stats[1:], np.float64), mask.shape)
    kept, doubt = _choose(pieces, removed)
    digit = np.where(np.concatenate([[False], kept])[labels], clean, 0).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(digit)
    return Findings(digit, (left, top, width, height), tuple(removed), doubt)


def _is_digit_sized(mask: Plane) -> bool:
    _, _, width, height = cv2.boundingRect(mask)
    return bool(height > 0.25 * mask.shape[0] or width > 0.25 * mask.shape[1])


def _measure(stats: NDArray[np.float64], shape: tuple[int, ...]) -> _Pieces:
    height, width = shape
    left, top, wide, tall, area = stats.T
    return _Pieces(
        left / width,
        top / height,
        (left + wide) / width,
        (top + tall) / height,
        area / (height * width),
    )


def _choose(pieces: _Pieces, removed: list[str]) -> tuple[NDArray[np.bool_], str]:
    weight = pieces.area * _centrality(pieces)
    main = int(weight.argmax())
    near = _is_near(pieces, main)
    edge = _comes_in(pieces, main)
    speck = pieces.area < np.where(near, 0.01, 0.05) * pieces.area[main]
    kept = near & ~edge & ~speck
    kept[main] = True
    if edge.any():
        removed.append("edge strokes")
    if (speck & ~edge).any():
        removed.append("specks")
    return kept, _doubt(pieces, main, edge)


def _centrality(pieces: _Pieces) -> NDArray[np.float64]:
    across = (pieces.left + pieces.right) / 2 - 0.5
    down = (pieces.top + pieces.bottom) / 2 - 0.5
    return np.asarray(np.exp(-(across**2 + down**2) / (2 * 0.25**2)))


def _is_near(pieces: _Pieces, main: int) -> NDArray[np.bool_]:
    reach = 0.25 * max(pieces.height[main], pieces.width[main])
    across = np.maximum(pieces.left[main] - pieces.right, pieces.left - pieces.right[main])
    down = np.maximum(pieces.top[main] - pieces.bottom, pieces.top - pieces.bottom[main])
    return np.asarray(np.maximum(across, down) < reach)


def _comes_in(pieces: _Pieces, main: int) -> NDArray[np.bool_]:
    """Say which pieces come in from an edge of the frame that the main one keeps off."""
    edge = 0.015
    touches = [
        (pieces.left < edge, pieces.left[main] >= edge),
        (pieces.right > 1 - edge, pieces.right[main] <= 1 - edge),
        (pieces.top < edge, pieces.top[main] >= edge),
        (pieces.bottom > 1 - edge, pieces.bottom[main] <= 1 - edge),
    ]
    coming = np.zeros(len(pieces.area), np.bool_)
    for touching, free in touches:
        coming |= touching & free
    coming[main] = False
    return coming


def _doubt(pieces: _Pieces, main: int, edge: NDArray[np.bool_]) -> str:
    tall = pieces.height > 0.6 * pieces.height[main]
    apart = np.minimum(pieces.right, pieces.right[main]) - np.maximum(
        pieces.left, pieces.left[main]
    ) < 0.1 * np.minimum(pieces.width, pieces.width[main])
    rivals = tall & apart & ~edge
    rivals[main] = False
    sizeable = (pieces.height > 0.4 * pieces.height[main]) & (pieces.area > 0.1 * pieces.area[main])
    if int(sizeable.sum()) > _PAGE:
        return "page"
    return "several" if rivals.any() else ""
