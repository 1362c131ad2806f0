"""How much a view of a picture looks like one digit, written on paper."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, distance, pad
from digitline.pixels.views import View

# Each cue's usual value, spread and weight: a ridge regression of the overlap with the true
# ink, fitted on renderings by bench/fit_views.py.
_WEIGHTS: Final = (
    (4.041, 1.933, 0.094),  # polarity
    (0.391, 0.039, 0.020),  # small
    (0.028, 0.086, -0.065),  # along the frame
    (0.286, 0.149, 0.016),  # fill
    (0.022, 0.036, -0.028),  # unusual fill
    (0.154, 0.099, 0.041),  # all ink
    (0.806, 0.265, 0.041),  # kept
    (0.102, 0.079, -0.060),  # stroke
    (0.324, 0.401, -0.074),  # uneven strokes
    (0.014, 0.057, -0.049),  # wider than pens
    (0.264, 0.328, -0.014),  # wider than reach
    (1.353, 0.727, -0.075),  # pieces
    (4.864, 0.588, 0.036),  # contrast
    (0.102, 0.093, -0.056),  # off centre
    (0.069, 0.219, -0.035),  # wide
    (0.263, 0.436, 0.036),  # lines left
    (0.244, 0.430, 0.024),  # through lines left
    (0.321, 0.623, 0.009),  # thick lines left
    (0.297, 0.537, 0.039),  # many lines left
    (0.329, 0.950, -0.031),  # sides touched with lines
    (0.053, 0.167, -0.097),  # lines in the digit
    (0.263, 0.436, 0.008),  # lines erased
    (0.244, 0.430, 0.051),  # through lines erased
    (0.276, 0.561, -0.004),  # thick lines erased
    (0.297, 0.537, 0.019),  # many lines erased
    (0.088, 0.438, -0.019),  # sides touched without lines
)
_COLUMNS: Final = np.array(_WEIGHTS).T
# Of the digit's longer side, the widest of strokes.
_PEN: Final = 0.3
_USUAL: Final = 0.741


def judge(view: View) -> float:
    """Estimate which share of the digit's ink a view got right, about 0 to 1."""
    usual, spread, weight = _COLUMNS
    far = np.clip((np.array(list(cues(view).values())) - usual) / spread, -4, 4)
    return _USUAL + float(far @ weight)


def cues(view: View) -> dict[str, float]:
    """Measure a view: its digit against the frame, its strokes, its pieces, its contrast."""
    mask, (left, top, wide, tall) = view.findings.mask, view.findings.box
    height, width = mask.shape
    inked, all_inked = float(np.count_nonzero(mask)), float(np.count_nonzero(view.inked))
    depth = distance(pad(mask, 1, 0))[1:-1, 1:-1]
    ridge = _ridge(depth)
    usual = float(np.median(ridge))
    fill = inked / (wide * tall)
    widest = 2 * float(depth.max()) / max(mask.shape)
    off_centre = np.hypot((left + wide / 2) / width - 0.5, (top + tall / 2) / height - 0.5)
    return {
        "polarity": view.sure,
        "small": min(max(wide, tall) / max(mask.shape), 0.4),
        "along the frame": _along_frame(mask),
        "fill": fill,
        "unusual fill": (fill - 0.3) ** 2,
        "all ink": all_inked / mask.size,
        "kept": inked / all_inked,
        "stroke": 2 * usual / max(wide, tall),
        "uneven strokes": float(ridge.std()) / usual,
        "wider than pens": max(0.0, 2 * float(depth.max()) / max(wide, tall) - _PEN),
        "wider than reach": widest / view.reach if view.reach else 0.0,
        "pieces": float(np.log(view.findings.pieces + 1)),
        "contrast": float(np.log(view.level + 1)),
        "off centre": float(off_centre),
        "wide": max(0.0, float(np.log(wide / tall))),
        **_line_cues(view, 2 * usual),
    }


def _line_cues(view: View, stroke: float) -> dict[str, float]:
    """Measure the lines that were erased from the ink, or left in it."""
    lines, mask = view.rulings, view.findings.mask
    spans = both = thick = count = sides = shared = 0.0
    if lines is not None:
        spans, both, count = lines.spans, float(lines.reaching > 1), float(np.log(1 + lines.count))
        thick = min(2.0, lines.thickness * max(mask.shape) / max(1.0, stroke))
        sides = float(_sides_touched(mask))
        of_lines = np.count_nonzero((lines.ink > 0) & (view.findings.mask > 0))
        shared = of_lines / np.count_nonzero(mask)
    left, erased = float(not view.erased), float(view.erased)
    return {
        "lines left": spans * left,
        "through lines left": both * left,
        "thick lines left": thick * left,
        "many lines left": count * left,
        "sides touched with lines": sides * left,
        "lines in the digit": shared * left,
        "lines erased": spans * erased,
        "through lines erased": both * erased,
        "thick lines erased": thick * erased,
        "many lines erased": count * erased,
        "sides touched without lines": sides * erased,
    }


def _sides_touched(mask: Plane) -> int:
    margin = max(1, round(0.015 * max(mask.shape)))
    sides = (mask[:margin], mask[-margin:], mask[:, :margin], mask[:, -margin:])
    return sum(bool(side.any()) for side in sides)


def _ridge(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the depths along the middle of strokes."""
    highest = np.asarray(cv2.dilate(depth, np.ones((3, 3), np.uint8)), np.float32)
    return depth[(depth > 0) & (depth >= highest - np.float32(0.05))]


def _along_frame(mask: Plane) -> float:
    frame = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(np.count_nonzero(frame)) / frame.size
