"""How wide the strokes of a digit are, and bringing them towards MNIST's."""

from typing import Final

import cv2
import numpy as np

from digitline.pixels.planes import Plane, distance, pad

_THIN: Final = 0.11
_THICK: Final = 0.20


def stroke_width(mask: Plane) -> float:
    """Measure the usual width of strokes in a (h, w) mask of 0 and 255, in pixels."""
    depth = distance(mask)
    ridge = (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)) - 0.1) & (depth > 0)
    return 2.0 * float(np.median(depth[ridge])) - 1.0 if ridge.any() else 0.0


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
