"""How wide the strokes of a digit are, and bringing them towards MNIST's."""

import math
from typing import Final

import cv2
import numpy as np

from digitline.pixels.planes import Plane, distance, pad

# Shares of the digit's longer side; MNIST's own strokes lie around 0.13.
_THIN: Final = 0.12
_THICK: Final = 0.24


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
    signed = distance(padded) - distance(~padded)
    grown = np.where(signed + grow > 0, 255, 0).astype(np.uint8)
    if not grown.any():
        return mask
    left, top, wide, tall = cv2.boundingRect(grown)
    return grown[top : top + tall, left : left + wide]
