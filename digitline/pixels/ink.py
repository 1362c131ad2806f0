"""Ink told from paper: grey, an even background, the polarity, a threshold."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, distance, grey, pad, resize
from digitline.pixels.polarity import find_polarity

_WORK_MOST: Final = 200
_WORK_LEAST: Final = 112
_LEAST_CONTRAST: Final = 10.0
_GRID: Final = 24
_WIDEST: Final = 0.35


@dataclass(frozen=True)
class Ink:
    """How strongly each pixel (h, w) is ink, `scale` times the picture's own size.

    `relief` is 0 on paper and rises to `level`, that of full ink; below `floor` it is noise.
    """

    relief: Plane
    polarity: str
    level: float
    floor: float
    scale: float
    doubt: str = ""


def find_ink(image: Plane) -> Ink:
    """Find the ink in a (h, w) or (h, w, 3) picture, dark or light."""
    lightness = grey(image)
    height, width = lightness.shape
    scale = _working_scale(height, width)
    work = resize(lightness, width * scale, height * scale)
    flat = _flatten(work)
    if flat is None:
        return Ink(np.zeros_like(work), "dark", 0.0, 0.0, scale, "blank")
    dark = find_polarity(flat) > 0
    relief = _relief(~work if dark else work, ~flat if dark else flat)
    level, noise = _levels(relief)
    doubt = "blank" if level < max(_LEAST_CONTRAST, 3 * noise) else ""
    floor = max(4 * noise, 0.25 * level)
    return Ink(relief, "dark" if dark else "light", level, floor, scale, doubt)


def _working_scale(height: int, width: int) -> float:
    longer = max(height, width)
    if longer > _WORK_MOST:
        return _WORK_MOST / longer
    return float(-(-_WORK_LEAST // longer))


def _flatten(work: Plane) -> Plane | None:
    """Take the smooth part of the light away, whichever side is ink; None for a blank sheet.

    A quadratic surface is fitted by least absolute deviation, so ink, the smaller part of the
    picture on either side, hardly moves it.
    """
    small = np.asarray(cv2.resize(work, (_GRID, _GRID), interpolation=cv2.INTER_AREA))
    target = small.astype(np.float64).ravel()
    basis = _surfaces(_GRID, _GRID)
    weights = np.ones(len(target))
    surface: NDArray[np.float64] = np.zeros(basis.shape[1])
    for _ in range(6):
        weighted = basis * weights[:, None]
        solved = np.linalg.solve(weighted.T @ basis, weighted.T @ target)
        surface = np.asarray(solved, np.float64)
        weights = np.asarray(1 / np.maximum(np.abs(target - basis @ surface), 2.0), np.float64)
    light = (_surfaces(*work.shape) @ surface).reshape(work.shape)
    flat, asis = _stretch(work - light), _stretch(work.astype(np.float64))
    if flat is None or asis is None:
        return None
    return flat if _separability(flat) > _separability(asis) else asis


def _stretch(even: NDArray[np.float64]) -> Plane | None:
    low, high = np.percentile(even, [0.2, 99.8])
    if high - low < _LEAST_CONTRAST:
        return None
    flat: Plane = ((even - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return flat


def _separability(plane: Plane) -> float:
    """Measure how much of the variance a threshold explains (Otsu's criterion, 0 to 1)."""
    _, mask = cv2.threshold(plane, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    share = float(mask.mean()) / 255
    above, whole = cv2.mean(plane, mask)[0], float(plane.mean())
    between = share * (above - whole) ** 2 / max(1e-9, 1 - share)
    return between / max(1e-9, float(plane.var()))


def _surfaces(height: int, width: int) -> NDArray[np.float64]:
    down, across = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    y, x = (axis.ravel() for axis in np.meshgrid(down, across, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _relief(work: Plane, flat: Plane) -> Plane:
    """Subtract the paper, as it shows between the strokes, from bright ink."""
    _, mask = cv2.threshold(flat, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inked = np.asarray(mask, dtype=np.uint8)
    if _widest(inked) > _WIDEST * max(work.shape):
        inked = _narrow_parts(work)
    raised = np.asarray(cv2.subtract(work, _paper(work, inked)), dtype=np.uint8)
    rest = float(np.median(raised[inked == 0])) if (inked == 0).any() else 0.0
    return np.asarray(cv2.subtract(raised, np.full_like(raised, round(rest))), dtype=np.uint8)


def _widest(mask: Plane) -> float:
    depth = distance(pad(mask, 1, 0))
    return 2 * float(depth.max())


def _narrow_parts(work: Plane) -> Plane:
    """Find bright parts narrower than a stroke can be, where a shadow has hidden them."""
    reach = 2 * int(0.2 * max(work.shape)) + 1
    smooth = pad(np.asarray(cv2.GaussianBlur(work, (5, 5), 0), dtype=np.uint8), reach)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach))
    raised = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, kernel)[reach:-reach, reach:-reach]
    _, mask = cv2.threshold(
        np.asarray(raised, dtype=np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU
    )
    return np.asarray(mask, dtype=np.uint8)


def _paper(work: Plane, inked: Plane) -> Plane:
    """Smooth the paper around the ink, and carry it on under the ink."""
    spread = 2 * int(0.06 * max(work.shape)) + 3
    halo = 2 * int(0.04 * max(work.shape)) + 1
    grown = cv2.dilate(inked, np.ones((halo, halo), np.uint8), borderValue=0)
    bare = (np.asarray(grown) == 0).astype(np.float32)
    usual = float(np.median(work[bare > 0])) if bare.any() else float(work.min())
    deviation = (work - np.float32(usual)) * bare
    for _ in range(2):
        deviation = np.asarray(cv2.blur(deviation, (spread, spread)), np.float32)
        bare = np.asarray(cv2.blur(bare, (spread, spread)), np.float32)
    paper: Plane = np.rint(usual + deviation / (bare + 0.1)).clip(0, 255).astype(np.uint8)
    return paper


def _levels(relief: Plane) -> tuple[float, float]:
    """Measure the level of full ink, and how far paper strays from zero."""
    threshold, mask = cv2.threshold(relief, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inked = mask > 0
    if not inked.any() or inked.all():
        return 0.0, 0.0
    paper = relief[relief < threshold / 2]
    noise = 1.5 * float(np.percentile(paper, 84)) if paper.size else 0.0
    return float(np.percentile(relief[inked], 75)), noise


def to_mask(ink: Ink) -> Plane:
    """Cut the relief at half of the full ink nearby, and nowhere below the floor."""
    longer = max(ink.relief.shape)
    near = 2 * int(0.06 * longer) + 1
    around = cv2.dilate(ink.relief, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near)))
    threshold = np.maximum(0.5 * around, ink.floor)
    return np.where(ink.relief > threshold, 255, 0).astype(np.uint8)
