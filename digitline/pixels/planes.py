"""OpenCV's calls on planes of grey, with the types that its stubs leave open."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8]


def grey(image: Plane) -> Plane:
    """Take the lightness of a (h, w, 3) picture; a (h, w) picture is its own."""
    if image.ndim == 2:  # noqa: PLR2004 -- a grey picture has two axes
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def resize(plane: Plane, width: float, height: float) -> Plane:
    """Resize by area when shrinking, smoothly when growing; no side falls below a pixel."""
    size = (max(1, round(width)), max(1, round(height)))
    if size == plane.shape[::-1]:
        return plane
    shrinks = size[0] <= plane.shape[1] and size[1] <= plane.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, size, interpolation=method), dtype=np.uint8)


def pad(plane: Plane, margin: int, value: int | None = None) -> Plane:
    """Put a margin around a plane: of one value, or of its outermost pixels repeated."""
    kind = cv2.BORDER_REPLICATE if value is None else cv2.BORDER_CONSTANT
    padded = cv2.copyMakeBorder(plane, margin, margin, margin, margin, kind, value=value or 0)
    return np.asarray(padded, dtype=np.uint8)


def distance(mask: Plane) -> NDArray[np.float32]:
    """Measure how far each pixel of a mask lies from the nearest zero."""
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), dtype=np.float32)


def trim(mask: Plane) -> Plane:
    """Cut a mask to the box around what is not zero."""
    left, top, wide, tall = cv2.boundingRect(mask)
    return mask[top : top + tall, left : left + wide]
