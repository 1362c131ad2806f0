"""Views of a picture: which side is ink, where the paper is, and what of the ink is a digit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.clutter import Findings, keep_one_digit
from digitline.pixels.paper import (
    LEAST_CONTRAST,
    Relief,
    Sheet,
    bare_paper,
    flatten,
    paper_around,
)
from digitline.pixels.planes import Plane
from digitline.pixels.polarity import find_polarity
from digitline.pixels.rulings import Rulings, find_rulings

Polarity = Literal["dark", "light"]

_NEAR: Final = 0.22
_SURE: Final = 2.0
_SURE_IN_SHADOW: Final = 4.0
_LEAST_INK: Final = 5e-4
_STEPS: Final = 256
# Of the full ink nearby: where a stroke ends, and where one that fades is still whole.
_HALF: Final = 0.5
_QUARTER: Final = 0.25
_OF_LINES: Final = 0.8
_DEEPER: Final = 1.8


@dataclass(frozen=True)
class View:
    """One way to see a picture at a working size (h, w).

    `sure` says how plain the polarity is (below 0: it speaks against this view). `level` is how
    far ink stands above `paper`, and `noise` how far paper strays, in grey levels. `inked` is
    all ink, `findings` the part of it that makes a digit; `erased` whether it was looked for
    without the `rulings` that were found. `reach` is 0, or how far around the paper was sought.
    """

    polarity: Polarity
    sure: float
    reach: float
    paper: Relief
    level: float
    noise: float
    inked: Plane
    findings: Findings
    rulings: Rulings | None
    erased: bool


def view_evenly(work: Plane, *, rulings: bool, either: bool = False) -> list[View]:
    """View a (h, w) grey picture as one in even light, or nearly; no views of a blank sheet.

    There are views of dark and of light ink if the picture does not make its polarity plain, or
    if `either` is asked for; and views with and without rulings if it has any.
    """
    return _view_sides(work, 0.0, math.inf if either else _SURE, rulings=rulings)


def view_through_shadows(work: Plane, *, rulings: bool) -> list[View]:
    """View a (h, w) grey picture whose light may change abruptly; wide strokes get lost."""
    return _view_sides(work, _NEAR, _SURE_IN_SHADOW, rulings=rulings)


def _view_sides(work: Plane, reach: float, plain: float, *, rulings: bool) -> list[View]:
    sheet = flatten(work)
    if sheet is None:
        return []
    sure = find_polarity(sheet.flat)
    sides: tuple[Polarity, ...] = ("dark",) if sure > plain else ("dark", "light")
    sides = ("light",) if sure < -plain else sides
    return [
        view for side in sides for view in _look(work, sheet, side, sure, reach, rulings=rulings)
    ]


def _look(
    work: Plane, sheet: Sheet, polarity: Polarity, sure: float, reach: float, *, rulings: bool
) -> Iterator[View]:
    """View a picture in one way, and again without the lines that cross it, if there are any."""
    dark = polarity == "dark"
    paper = paper_around(work, reach, dark=dark) if reach else bare_paper(work, sheet, dark=dark)
    relief = raise_ink(work, paper, dark=dark)
    level, noise = _measure(relief)
    inked, traced = _cut_at(relief, level, noise, (_HALF, _QUARTER))
    if not inked.any():
        return
    sure = sure if dark else -sure
    lines = find_rulings(_cut_low(relief, level, noise)) if rulings else None
    findings = keep_one_digit(inked, traced, crowded=rulings)
    yield View(polarity, sure, reach, paper, level, noise, inked, findings, lines, erased=False)
    if lines is None:
        return
    rest = np.where(lines.ink > 0, 0, relief).astype(np.float32)
    level, noise = _measure(rest)
    for mask, traces in (
        _cut_at(rest, level, noise, (_HALF, _QUARTER)),
        *_cut_deep(relief, lines, level),
    ):
        if mask.any():
            findings = keep_one_digit(mask, traces, crowded=rulings)
            yield View(
                polarity, sure, reach, paper, level, noise, inked, findings, lines, erased=True
            )


def _cut_deep(relief: Relief, lines: Rulings, level: float) -> Iterator[list[Plane]]:
    """Cut ink that is darker than any line from lines, wherever they cross, if there is such."""
    faint = relief[lines.ink > 0]
    depth = float(np.quantile(faint, _OF_LINES)) if faint.size else level
    if level > _DEEPER * depth:
        mask = np.where(relief > (depth + level) / 2, 255, 0).astype(np.uint8)
        yield [mask, mask]


def raise_ink(work: Plane, paper: Relief, *, dark: bool) -> Relief:
    """Measure how far each pixel stands above (or, for dark ink, below) the paper."""
    return paper - work if dark else work - paper


def _measure(relief: Relief) -> tuple[float, float]:
    """Measure how far ink stands above paper (0 if nothing does), and how far paper strays."""
    low, high = float(relief.min()), float(relief.max())
    if high - low < LEAST_CONTRAST:
        return 0.0, 0.0
    step = (high - low) / (_STEPS - 1)
    steps = ((relief - low) * (1 / step)).astype(np.uint8)
    threshold, _ = cv2.threshold(steps, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    counts = np.bincount(steps.ravel(), minlength=_STEPS)
    paper = counts.copy()
    paper[int(threshold) + 1 :] = 0
    middle = _quantile(paper, 0.5)
    around = np.bincount(np.abs(np.arange(_STEPS) - round(middle)), paper)
    noise = 1.4826 * _quantile(around, 0.5)
    counts[: round(middle + max(4 * noise, 5 / step)) + 1] = 0
    if counts.sum() < _LEAST_INK * relief.size:
        return 0.0, noise * step
    return (_quantile(counts, 0.85) - middle) * step, noise * step


def _quantile(counts: NDArray[np.generic], share: float) -> float:
    """Read a quantile off a histogram, between its steps."""
    sums = np.cumsum(counts)
    wanted = share * sums[-1]
    place = int(np.searchsorted(sums, wanted))
    before = float(sums[place - 1]) if place else 0.0
    return place - 0.5 + (float(wanted) - before) / max(1.0, float(counts[place]))


def cut(relief: Relief, level: float, noise: float) -> Plane:
    """Cut at half of the full ink nearby, and nowhere near the noise of paper."""
    return _cut_at(relief, level, noise, (_HALF,))[0]


def _cut_at(relief: Relief, level: float, noise: float, shares: Sequence[float]) -> list[Plane]:
    """Cut at some shares of the full ink nearby: the lower, the more of strokes that fade."""
    if level < max(LEAST_CONTRAST, 2 * noise):
        return [np.zeros(relief.shape, np.uint8) for _ in shares]
    near = 2 * int(0.06 * max(relief.shape)) + 1
    around = np.asarray(cv2.dilate(relief, np.ones((near, near), np.uint8)), np.float32)
    least = 3.5 * noise
    floors = [np.maximum(share * around, max(least, 0.5 * share * level)) for share in shares]
    return [np.where(relief > floor, 255, 0).astype(np.uint8) for floor in floors]


def _cut_low(relief: Relief, level: float, noise: float) -> Plane:
    """Cut where faint lines still show."""
    return np.where(relief > max(3 * noise, 0.12 * level, 4.0), 255, 0).astype(np.uint8)
