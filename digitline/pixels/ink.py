"""Ink told from paper: grey, an even background, the polarity, a threshold."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from digitline.pixels.planes import Plane, grey, pad, resize

_WORK_MOST: Final = 200
_WORK_LEAST: Final = 112
_LEAST_CONTRAST: Final = 12.0


@dataclass(frozen=True)
class Ink:
    """A mask (h, w) of 0 and 255 at the working size, `scale` times the picture's own."""

    mask: Plane
    polarity: str
    contrast: float
    scale: float
    doubt: str = ""


def find_ink(image: Plane) -> Ink:
    """Find the ink in a (h, w) or (h, w, 3) picture, dark or light."""
    lightness = grey(image)
    height, width = lightness.shape
    scale = _working_scale(height, width)
    work = resize(lightness, width * scale, height * scale)
    readings = [
        _separate(_relief(work, hat), polarity, scale)
        for polarity, hat in (("dark", cv2.MORPH_BLACKHAT), ("light", cv2.MORPH_TOPHAT))
    ]
    return min(readings, key=_implausibility)


def _relief(work: Plane, hat: int) -> Plane:
    """Keep what is darker (or lighter) than all around it and narrower than a stroke can be."""
    reach = 2 * int(0.2 * max(work.shape)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach))
    relief = cv2.morphologyEx(pad(work, reach), hat, kernel)
    return np.asarray(relief, dtype=np.uint8)[reach:-reach, reach:-reach]


def _working_scale(height: int, width: int) -> float:
    longer = max(height, width)
    if longer > _WORK_MOST:
        return _WORK_MOST / longer
    return float(-(-_WORK_LEAST // longer))


def _separate(relief: Plane, polarity: str, scale: float) -> Ink:
    threshold, mask = cv2.threshold(relief, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inked = mask > 0
    if not inked.any() or inked.all():
        return Ink(np.zeros_like(relief), polarity, 0.0, scale, "blank")
    contrast = float(np.median(relief[inked])) - float(np.median(relief[~inked]))
    doubt = "blank" if contrast < _LEAST_CONTRAST or threshold == 0 else ""
    return Ink(np.asarray(mask, dtype=np.uint8), polarity, contrast, scale, doubt)


def _implausibility(ink: Ink) -> float:
    """Score a reading of the picture: ink is rare, and rarer along the frame."""
    mask = ink.mask > 0
    frame = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(mask.mean() + frame.mean()) + 10.0 * bool(ink.doubt)
