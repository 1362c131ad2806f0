"""Which side of a picture is ink: dark on light, or light on dark."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, distance

# Paper is the larger part, lies along the frame and in the corners, is wide where strokes are
# narrow, and ink is what deviates strongly from its surroundings (a skewed difference).
_WEIGHTS: Final = np.array([2.0, 1.0, 1.0, 0.3, 0.3, 0.7, 0.7])
_RING: Final = 0.03
_CORNER: Final = 0.12


def find_polarity(flat: Plane) -> float:
    """Say how surely the ink of an evenly lit (h, w) picture is dark (> 0) or light (< 0)."""
    _, mask = cv2.threshold(flat, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = np.asarray(mask, dtype=np.uint8)
    ring, corners = _frame(light)
    cues = [
        _share(light),
        _share(ring),
        _share(corners),
        -_skew(flat, 0.08),
        -_skew(flat, 0.25),
        *_spaciousness(light),
    ]
    return float(np.clip(cues, -2.0, 2.0) @ _WEIGHTS)


def _share(light: Plane) -> float:
    return float(light.mean()) / 255 - 0.5


def _frame(light: Plane) -> tuple[Plane, Plane]:
    longer = max(light.shape)
    ring, corner = max(1, round(_RING * longer)), max(2, round(_CORNER * longer))
    sides = [light[:ring], light[-ring:], light[:, :ring], light[:, -ring:]]
    ends = (slice(None, corner), slice(-corner, None))
    corners = [light[rows, columns] for rows in ends for columns in ends]
    return np.concatenate([side.ravel() for side in sides]), np.concatenate(
        [part.ravel() for part in corners]
    )


def _skew(flat: Plane, reach: float) -> float:
    """Measure how lopsidedly the picture strays from its surroundings."""
    side = 2 * round(1.7 * reach * max(flat.shape)) + 1
    near = flat.astype(np.float32)
    around = cv2.blur(cv2.blur(near, (side, side)), (side, side))
    deviation = near - np.asarray(around, dtype=np.float32)
    deviation = deviation - deviation.mean()
    square = deviation * deviation
    return float((square * deviation).mean() / (float(square.mean()) ** 1.5 + 1e-6))


def _spaciousness(light: Plane) -> tuple[float, float]:
    """Compare how wide the light and the dark parts are, at most and on average."""
    dark = ~light
    ours, theirs = distance(light), distance(dark)
    most = math.log((float(ours.max()) + 1) / (float(theirs.max()) + 1))
    usual = math.log((_mean(ours) + 0.5) / (_mean(theirs) + 0.5))
    return most, usual


def _mean(depth: NDArray[np.float32]) -> float:
    inside = int(np.count_nonzero(depth))
    return float(depth.sum()) / max(1, inside)
