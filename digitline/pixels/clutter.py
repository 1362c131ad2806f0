"""What is in a mask of ink besides the digit: specks, rulings, strokes from outside."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from digitline.pixels.planes import Plane

_PAGE: Final = 40


@dataclass(frozen=True)
class Findings:
    """The digit's mask, its box (left, top, width, height), what went, and any doubt."""

    mask: Plane
    box: tuple[int, int, int, int]
    removed: tuple[str, ...] = ()
    doubt: str = ""


def keep_one_digit(mask: Plane) -> Findings:
    """Keep the pieces of a (h, w) mask of 0 and 255 that make one digit."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[False], areas >= 0.05 * areas.max()])
    digit = np.where(kept[labels], mask, 0).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(digit)
    removed = () if kept[1:].all() else ("specks",)
    doubt = "page" if int(kept.sum()) > _PAGE else ""
    return Findings(digit, (left, top, width, height), removed, doubt)
