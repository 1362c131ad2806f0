"""Views of a picture: which side is ink, where the paper is, and what of the ink is a digit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from digitline.pixels.clutter import Findings, keep_one_digit
from digitline.pixels.paper import (
    LEAST_CONTRAST,
    Relief,
    Sheet,
    flatten,
    raise_from_surface,
    raise_from_surroundings,
)
from digitline.pixels.planes import Plane
from digitline.pixels.polarity import find_polarity
from digitline.pixels.rulings import Rulings, find_rulings

Polarity = Literal["dark", "light"]

# How far around itself ink is compared: over the whole sheet (0), or within a share of it.
_WHOLE: Final = 0.0
_NEAR: Final = 0.22
_SURE: Final = 2.0
_MANY: Final = 8000
_LEAST_INK: Final = 5e-4


@dataclass(frozen=True)
class View:
    """One way to see a picture at a working size (h, w).

    `level` is how far ink stands above paper and `noise` how far paper strays, both in grey
    levels; `inked` is all ink, `findings` the part of it that makes a digit.
    """

    polarity: Polarity
    reach: float
    sure: float
    level: float
    noise: float
    inked: Plane
    findings: Findings
    rulings: Rulings | None
    erased: bool


def view_evenly(work: Plane, *, rulings: bool) -> list[View]:
    """Read a (h, w) grey picture as if its light were even, or nearly; none for a blank sheet.

    There are two views, of dark and of light ink, if the picture does not make that plain.
    """
    return _view_sides(work, _WHOLE, rulings=rulings)


def view_through_shadows(work: Plane, *, rulings: bool) -> list[View]:
    """Read a (h, w) grey picture whose light may change abruptly; wide strokes get lost."""
    return _view_sides(work, _NEAR, rulings=rulings)


def _view_sides(work: Plane, reach: float, *, rulings: bool) -> list[View]:
    flat = flatten(work)
    if flat is None:
        return []
    sure = find_polarity(flat.plane)
    sides: tuple[Polarity, ...] = ("dark",) if sure > _SURE else ("dark", "light")
    sides = ("light",) if sure < -_SURE else sides
    return [
        view for side in sides for view in _look(work, flat, side, reach, sure, rulings=rulings)
    ]


def view_again(work: Plane, first: View, *, rulings: bool) -> View | None:
    """Read the same picture at another size the way it was read before."""
    flat = flatten(work)
    if flat is None:
        return None
    sure = first.sure if first.polarity == "dark" else -first.sure
    again = _look(work, flat, first.polarity, first.reach, sure, rulings=rulings)
    return next((view for view in again if view.erased == first.erased), None)


def _look(
    work: Plane, flat: Sheet, polarity: Polarity, reach: float, sure: float, *, rulings: bool
) -> Iterator[View]:
    """Read a picture in one way, and again without the lines that cross it, if there are any."""
    dark = polarity == "dark"
    relief = (
        raise_from_surroundings(work, reach, dark=dark)
        if reach
        else raise_from_surface(flat, dark=dark)
    )
    level, noise = _measure(relief)
    inked = _cut(relief, level, noise)
    if not inked.any():
        return
    sure = sure if dark else -sure
    lines = find_rulings(_cut_low(relief, level, noise)) if rulings else None
    yield View(
        polarity, reach, sure, level, noise, inked, keep_one_digit(inked), lines, erased=False
    )
    if lines is None:
        return
    rest = np.where(lines.ink > 0, 0, relief).astype(np.float32)
    level, noise = _measure(rest)
    mask = _cut(rest, level, noise)
    if mask.any():
        yield View(
            polarity, reach, sure, level, noise, inked, keep_one_digit(mask), lines, erased=True
        )


def _cut_low(relief: Relief, level: float, noise: float) -> Plane:
    """Cut where faint lines still show."""
    return np.where(relief > max(3 * noise, 0.12 * level, 4.0), 255, 0).astype(np.uint8)


def _measure(relief: Relief) -> tuple[float, float]:
    """Measure how far ink stands above paper (0 if nothing does), and how far paper strays."""
    low, high = float(relief.min()), float(relief.max())
    if high - low < LEAST_CONTRAST:
        return 0.0, 0.0
    sample = np.ascontiguousarray(relief[::2, ::2] if relief.size > _MANY else relief)
    steps = ((sample - low) * (255 / (high - low))).astype(np.uint8)
    threshold, _ = cv2.threshold(steps, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    paper = sample[steps <= threshold]
    middle = float(np.median(paper))
    noise = 1.4826 * float(np.median(np.abs(paper - middle)))
    raised = sample[sample > middle + max(4 * noise, 5.0)]
    if raised.size < _LEAST_INK * sample.size:
        return 0.0, noise
    return float(np.percentile(raised, 85)) - middle, noise


def _cut(relief: Relief, level: float, noise: float) -> Plane:
    """Cut at half of the full ink nearby, and nowhere near the noise of paper."""
    if level < max(LEAST_CONTRAST, 2 * noise):
        return np.zeros(relief.shape, np.uint8)
    near = 2 * int(0.06 * max(relief.shape)) + 1
    around = np.asarray(cv2.dilate(relief, np.ones((near, near), np.uint8)), np.float32)
    threshold = np.maximum(0.5 * around, max(3.5 * noise, 0.25 * level))
    return np.where(relief > threshold, 255, 0).astype(np.uint8)
