"""Paper taken away from ink: uneven light, shadows and tints become an even zero."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, pad, resize

Relief: TypeAlias = NDArray[np.float32]

LEAST_CONTRAST: Final = 8.0
_GRID: Final = 16
_ROUNDS: Final = 5
_MOSTLY: Final = 0.55
# Even the boldest of digits leaves some paper along the frame.
_ALONG_FRAME: Final = 0.1


@dataclass(frozen=True)
class Sheet:
    """A picture whose light has been evened, whichever side is ink.

    `paper` (h, w) is how light the larger part is; `flat` the evened picture at half the size,
    stretched to 0..255.
    """

    paper: Relief
    flat: Plane


def flatten(work: Plane) -> Sheet | None:
    """Take the smooth part of the light away from a (h, w) picture; None for a blank sheet.

    A quadratic surface is fitted by least absolute deviation: ink, the smaller part of the
    picture, hardly moves it. It is taken away if ink and paper come out the better separated.
    """
    half = resize(work, work.shape[1] / 2, work.shape[0] / 2)
    surface = _fit_surface(work)
    even = half - _spread(surface, half.shape)
    evened, asis = _stretch(even), _stretch(half.astype(np.float32))
    if evened is None or asis is None:
        return None
    if _separability(evened) > _separability(asis):
        paper = _spread(surface, work.shape) + np.float32(np.median(even))
        return Sheet(paper, evened)
    return Sheet(np.full(work.shape, np.median(half), np.float32), asis)


def bare_paper(work: Plane, sheet: Sheet, *, dark: bool) -> Relief:
    """Estimate how light the paper is for ink of one side, even if ink is the larger part."""
    above = work - sheet.paper
    middle = (float(above.min()) + float(above.max())) / 2
    paper = above > middle if dark else above < middle
    frame = np.concatenate([paper[0], paper[-1], paper[:, 0], paper[:, -1]])
    if paper.mean() > _MOSTLY or frame.mean() < _ALONG_FRAME:
        return sheet.paper
    return sheet.paper + np.float32(np.median(above[paper]))


def _fit_surface(work: Plane) -> NDArray[np.float64]:
    small = cv2.resize(work, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    target = np.asarray(small).astype(np.float64).ravel()
    basis = _terms(_GRID)
    weights, surface = np.ones(len(target)), np.zeros(basis.shape[1])
    for _ in range(_ROUNDS):
        weighted = basis * weights[:, None]
        surface = np.asarray(np.linalg.solve(weighted.T @ basis, weighted.T @ target))
        weights = np.asarray(1 / np.maximum(np.abs(target - basis @ surface), 2.0))
    return surface


@lru_cache(maxsize=1)
def _terms(side: int) -> NDArray[np.float64]:
    """List the terms of a quadratic over a square grid, (side * side, 6)."""
    steps = np.linspace(-1, 1, side)
    y, x = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _spread(surface: NDArray[np.float64], shape: tuple[int, ...]) -> Relief:
    """Evaluate a quadratic over a (h, w) sheet."""
    one, x1, y1, x2, xy, y2 = surface.astype(np.float32)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)
    return np.asarray((one + y * (y1 + y * y2)) + x * (x1 + x * x2) + xy * y * x, np.float32)


def _stretch(even: Relief) -> Plane | None:
    # A few stray pixels count only if there is nothing else.
    few = even.size // 500
    ordered = np.partition(even.ravel(), (few, even.size - 1 - few))
    low, high = float(ordered[few]), float(ordered[-1 - few])
    if high - low < LEAST_CONTRAST:
        low, high = float(even.min()), float(even.max())
    if high - low < LEAST_CONTRAST:
        return None
    plane: Plane = ((even - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return plane


def _separability(plane: Plane) -> float:
    """Measure how much of the variance a threshold explains (Otsu, 1979), from 0 to 1."""
    _, mask = cv2.threshold(plane, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    share = cv2.mean(mask)[0] / 255
    above = cv2.mean(plane, mask)[0]
    middle, spread = (float(part.item()) for part in cv2.meanStdDev(plane))
    between = share * (above - middle) ** 2 / max(1e-9, 1 - share)
    return between / max(1e-9, spread * spread)


def paper_around(work: Plane, reach: float, *, dark: bool) -> Relief:
    """Estimate the paper from all around: ink is what is narrower than `reach`.

    `reach` is a share of the longer side. The paper is the opening (or closing) by a square of
    that size: it follows any shadow, but strokes that are wider go with it.
    """
    longer = max(work.shape)
    side = 2 * round(reach * longer / 2) + 1
    soft = np.asarray(cv2.GaussianBlur(work, (0, 0), 0.006 * longer), np.uint8)
    filling = cv2.MORPH_CLOSE if dark else cv2.MORPH_OPEN
    filled = cv2.morphologyEx(pad(soft, side), filling, np.ones((side, side), np.uint8))
    inner = filled[side:-side, side:-side].astype(np.float32)
    paper = np.asarray(cv2.GaussianBlur(inner, (0, 0), 0.01 * longer), np.float32)
    return paper + np.float32(np.median(soft - paper))
