"""How wide the strokes of a digit are, and bringing them towards MNIST's."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, distance, pad, trim

# Shares of the digit's longer side; MNIST's own strokes lie around 0.13.
_THIN: Final = 0.12
_THICK: Final = 0.24
# A loop stays open by this radius, of the longer side: a pixel and a half in 28 x 28.
_LEAST_LOOP: Final = 0.04
_PINHOLE: Final = 0.45


def stroke_width(mask: Plane) -> float:
    """Measure the mean width of strokes in a (h, w) mask of 0 and 255, in pixels.

    A stroke of width w and length l covers w * l and is 2 * (w + l) around; this solves for w.
    """
    outlines, _ = cv2.findContours(pad(mask, 1, 0), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # An outline runs through the middles of its pixels: half a pixel inside of the edge.
    around = sum(cv2.arcLength(outline, closed=True) + math.pi for outline in outlines)
    covered = float(np.count_nonzero(mask))
    quarter = around / 4
    return quarter - math.sqrt(max(0.0, quarter * quarter - covered))


def even_strokes(mask: Plane, width: float) -> Plane:
    """Thicken or thin a (h, w) mask of 0 and 255 whose strokes are `width` pixels wide."""
    side = max(mask.shape)
    wanted = min(max(width, _THIN * side), _THICK * side)
    grow = (wanted - width) / 2
    margin = int(np.ceil(max(grow, 0.0))) + 1
    padded = pad(mask, margin, 0)
    paper = distance(~padded)
    grown = np.where(distance(padded) - paper + grow > 0, 255, 0).astype(np.uint8)
    if grow > 0:
        grown[_loops(padded, paper, grow, _LEAST_LOOP * side)] = 0
    return trim(grown) if grown.any() else mask


def _loops(mask: Plane, paper: NDArray[np.float32], grow: float, least: float) -> NDArray[np.bool_]:
    """Find the paper inside of loops that thicker strokes would close: their hearts stay open.

    `paper` is how far each pixel lies from the ink, `least` the radius that stays, if it was one.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(~mask, connectivity=4)
    kept = np.zeros(mask.shape, np.bool_)
    for loop in range(2, count):
        left, top, wide, tall = boxes[loop, :4]
        if min(wide, tall) > 2 * (grow + least):
            continue
        place = slice(top, top + tall), slice(left, left + wide)
        depth = np.where(labels[place] == loop, paper[place], 0)
        deepest = float(depth.max())
        if deepest >= _PINHOLE * least:
            kept[place] |= depth > deepest - max(deepest - grow, min(deepest, least))
    return kept
