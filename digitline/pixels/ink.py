"""The ink of one digit, found in a picture of any size."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from digitline.pixels.clutter import Findings
from digitline.pixels.planes import Plane, grey, resize, trim
from digitline.pixels.plausibility import judge
from digitline.pixels.views import View, cut, raise_ink, view_evenly, view_through_shadows

# Views are compared on a sheet of about this size; then the digit itself is cut out of the
# picture as large.
_SHEET: Final = 112
_LEAST_SHEET: Final = 96
_DIGIT: Final = 96
_MARGIN: Final = 0.08
# In smaller pictures a ruling cannot be told from a stroke.
_RULED: Final = 20
_TWO_TONE: Final = 0.01
_LIKELY: Final = 0.7
# No view that is less likely than this shows a digit.
UNLIKELY: Final = 0.45


@dataclass(frozen=True)
class Found:
    """The ink of a digit: a mask (h, w) of 0 and 255, and the view that showed it.

    `scale` is the size of the view over that of the picture, `likely` how much of the ink the
    view probably got right, about 0 to 1.
    """

    mask: Plane
    view: View
    scale: float
    likely: float


def find_digit(image: Plane) -> Found | None:
    """Find the digit in a (h, w) or (h, w, 3) picture; None if there is no ink at all."""
    sheet = grey(image)
    work, scale, rulings = prepare(sheet)
    views = view_evenly(work, rulings=rulings)
    likely, best = _best(views)
    # In a picture too small for rulings, strokes are as wide as shadows.
    if likely < _LIKELY and rulings and not _is_two_tone(sheet):
        views += view_through_shadows(work, rulings=rulings)
        likely, best = _best(views)
    if likely < UNLIKELY:
        likely, best = _best(views + view_evenly(work, rulings=rulings, either=True))
    if best is None:
        return None
    # A picture that was enlarged to be looked at has no more to show.
    return Found(_cut_out(sheet if scale < 1 else work, best), best, scale, likely)


def prepare(sheet: Plane) -> tuple[Plane, float, bool]:
    """Bring a grey picture to working size; give the scale, and whether rulings can show."""
    longer = max(sheet.shape)
    scale = _SHEET / longer if longer > _SHEET else float(-(-_LEAST_SHEET // longer))
    work = resize(sheet, sheet.shape[1] * scale, sheet.shape[0] * scale)
    return work, scale, min(sheet.shape) > _RULED


def _best(views: list[View]) -> tuple[float, View | None]:
    judged = [(judge(view), view) for view in views]
    return max(judged, key=lambda pair: pair[0], default=(0.0, None))


def _is_two_tone(sheet: Plane) -> bool:
    low, high = int(sheet.min()), int(sheet.max())
    margin = (high - low) // 5
    between = np.count_nonzero((sheet > low + margin) & (sheet < high - margin))
    return bool(between < _TWO_TONE * sheet.size)


def _cut_out(sheet: Plane, view: View) -> Plane:
    """Cut the digit out of the picture, its longer side about 96 pixels, without a margin."""
    left, top, right, bottom = _region(view.findings, view.inked.shape)
    zoom = _DIGIT / max(view.findings.box[2:])
    size = ((right - left) * zoom, (bottom - top) * zoom)
    high, wide = (own / seen for own, seen in zip(sheet.shape, view.inked.shape, strict=True))
    rows = slice(int(top * high), math.ceil(bottom * high))
    columns = slice(int(left * wide), math.ceil(right * wide))
    work = resize(sheet[rows, columns], *size)
    paper = _enlarge(view.paper[top:bottom, left:right], work)
    relief = raise_ink(work, paper, dark=view.polarity == "dark")
    fine = cut(relief, view.level, view.noise)
    seen = _enlarge(_widen(view.findings.mask)[top:bottom, left:right].astype(np.float32), work)
    digit = np.where(seen > 0, fine, 0).astype(np.uint8)
    return trim(digit if digit.any() else view.findings.mask)


def _region(findings: Findings, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Take the digit's box with a margin: left, top, right, bottom."""
    left, top, wide, tall = findings.box
    margin = 2 + round(_MARGIN * max(wide, tall))
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(shape[1], left + wide + margin),
        min(shape[0], top + tall + margin),
    )


def _widen(mask: Plane) -> Plane:
    return np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), np.uint8)


def _enlarge(part: np.typing.NDArray[np.float32], like: Plane) -> np.typing.NDArray[np.float32]:
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)
