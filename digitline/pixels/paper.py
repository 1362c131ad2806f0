"""Paper taken away from ink: uneven light, shadows and tints become an even zero."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, pad

Relief: TypeAlias = NDArray[np.float32]

LEAST_CONTRAST: Final = 8.0
_GRID: Final = 24
_ROUNDS: Final = 6
_MANY: Final = 8000


@dataclass(frozen=True)
class Sheet:
    """An evenly lit sheet (h, w), stretched to 0..255 from `contrast` grey levels."""

    plane: Plane
    contrast: float


def flatten(work: Plane) -> Sheet | None:
    """Take the smooth part of the light away, whichever side is ink; None for a blank sheet.

    A quadratic surface is fitted by least absolute deviation: ink, the smaller part of the
    picture, hardly moves it. It is taken away if ink and paper come out the better separated.
    """
    small = cv2.resize(work, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    target = np.asarray(small).astype(np.float64).ravel()
    basis = _surfaces(_GRID)
    weights, surface = np.ones(len(target)), np.zeros(basis.shape[1])
    for _ in range(_ROUNDS):
        weighted = basis * weights[:, None]
        surface = np.asarray(np.linalg.solve(weighted.T @ basis, weighted.T @ target))
        weights = np.asarray(1 / np.maximum(np.abs(target - basis @ surface), 2.0))
    even, asis = _stretch(work - _spread(surface, work.shape)), _stretch(work.astype(np.float32))
    if even is None or asis is None:
        return None
    return even if _separability(even.plane) > _separability(asis.plane) else asis


@lru_cache(maxsize=1)
def _surfaces(side: int) -> NDArray[np.float64]:
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


def _stretch(even: Relief) -> Sheet | None:
    sample = even[::2, ::2] if even.size > _MANY else even
    low, high = np.percentile(sample, [0.2, 99.8])
    if high - low < LEAST_CONTRAST:
        low, high = even.min(), even.max()
    if high - low < LEAST_CONTRAST:
        return None
    plane = ((even - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return Sheet(plane, float(high - low))


def _separability(plane: Plane) -> float:
    """Measure how much of the variance a threshold explains (Otsu, 1979), from 0 to 1."""
    _, mask = cv2.threshold(plane, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    share = float(mask.mean()) / 255
    above, whole = cv2.mean(plane, mask)[0], float(plane.mean())
    between = share * (above - whole) ** 2 / max(1e-9, 1 - share)
    return between / max(1e-9, float(plane.var()))


def raise_from_surface(flat: Sheet, *, dark: bool) -> Relief:
    """Raise ink from paper that `flatten` has evened, back to its own contrast."""
    bright = ~flat.plane if dark else flat.plane
    raised = bright.astype(np.float32) * np.float32(flat.contrast / 255)
    return raised - np.float32(np.median(raised))


def raise_from_surroundings(work: Plane, reach: float, *, dark: bool) -> Relief:
    """Raise ink, narrower than `reach` (of the longer side), from all around it.

    The paper is the opening by a square of that size: it follows any shadow, but is taken
    away together with strokes that are wider.
    """
    bright = ~work if dark else work
    longer = max(bright.shape)
    side = 2 * round(reach * longer / 2) + 1
    soft = np.asarray(cv2.GaussianBlur(bright, (0, 0), 0.006 * longer), np.uint8)
    opened = cv2.morphologyEx(pad(soft, side), cv2.MORPH_OPEN, np.ones((side, side), np.uint8))[
        side:-side, side:-side
    ]
    paper = np.asarray(cv2.GaussianBlur(opened, (0, 0), 0.01 * longer), np.float32)
    raised = soft.astype(np.float32) - paper
    return raised - np.float32(np.median(raised))
