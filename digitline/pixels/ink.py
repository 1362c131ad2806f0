"""The ink of one digit, found in a picture of any size."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from digitline.pixels.planes import Plane, grey, resize
from digitline.pixels.plausibility import judge
from digitline.pixels.views import View, view_again, view_evenly, view_through_shadows

# Views are compared on a sheet of about this size, and the best made anew so that the
# digit's own longer side is about as large.
_SHEET: Final = 112
_LEAST_SHEET: Final = 96
_DIGIT: Final = 96
_MOST_SHEET: Final = 400
# In smaller pictures a ruling cannot be told from a stroke.
_RULED: Final = 20
_TWO_TONE: Final = 0.01
_LIKELY: Final = 0.7


@dataclass(frozen=True)
class Found:
    """The best view of a picture, made at `scale` times its size, and how likely it is right."""

    view: View
    scale: float
    likely: float


def find_digit(image: Plane) -> Found | None:
    """Find the digit in a (h, w) or (h, w, 3) picture; None if there is no ink at all."""
    sheet = grey(image)
    work, scale, rulings = prepare(sheet)
    views = view_evenly(work, rulings=rulings)
    likely, best = _best(views)
    if likely < _LIKELY and not _is_two_tone(sheet):
        likely, best = _best(views + view_through_shadows(work, rulings=rulings))
    if best is None:
        return None
    return Found(*_refine(sheet, best, scale, rulings=rulings), likely)


def prepare(sheet: Plane) -> tuple[Plane, float, bool]:
    """Bring a grey picture to working size; give the scale, and whether rulings can show."""
    longer = max(sheet.shape)
    scale = _SHEET / longer if longer > _SHEET else float(-(-_LEAST_SHEET // longer))
    return _scaled(sheet, scale), scale, min(sheet.shape) > _RULED


def _best(views: list[View]) -> tuple[float, View | None]:
    judged = [(judge(view), view) for view in views]
    return max(judged, key=lambda pair: pair[0], default=(0.0, None))


def _is_two_tone(sheet: Plane) -> bool:
    low, high = int(sheet.min()), int(sheet.max())
    margin = (high - low) // 5
    between = np.count_nonzero((sheet > low + margin) & (sheet < high - margin))
    return bool(between < _TWO_TONE * sheet.size)


def _scaled(sheet: Plane, scale: float) -> Plane:
    return resize(sheet, sheet.shape[1] * scale, sheet.shape[0] * scale)


def _refine(sheet: Plane, first: View, scale: float, *, rulings: bool) -> tuple[View, float]:
    """Read a small digit again, larger, if that finds the same one."""
    size = max(first.findings.box[2:])
    finer = min(scale * _DIGIT / size, _MOST_SHEET / max(sheet.shape))
    if finer < 1.2 * scale:
        return first, scale
    second = view_again(_scaled(sheet, finer), first, rulings=rulings)
    if second is None or not _agree(first, second, finer / scale):
        return first, scale
    return second, finer


def _agree(first: View, second: View, zoom: float) -> bool:
    one = [zoom * edge for edge in first.findings.box]
    other = second.findings.box
    size = max(one[2:])
    corners = zip(
        (one[0], one[1], one[0] + one[2], one[1] + one[3]),
        (other[0], other[1], other[0] + other[2], other[1] + other[3]),
        strict=True,
    )
    return all(abs(a - b) < 0.2 * size for a, b in corners)
