"""Digits as tiles of one tall strip, so that one call fetches the pixels of many."""

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.rows import PIXELS, SIDE

# A border of paper around each digit: a pixel fetched from outside lands here, never in the
# neighbour's ink.
BORDER = 1
TILE = SIDE + 2 * BORDER
# OpenCV addresses at most 32,767 rows: 1,024 tiles one below the other.
STRIP = 1024


def with_border(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a border around digits, (n, 784) to (n, 30, 30)."""
    tiles = np.zeros((len(digits), TILE, TILE), np.uint8)
    tiles[:, BORDER:-BORDER, BORDER:-BORDER] = digits.reshape(-1, SIDE, SIDE)
    return tiles


def without_border(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take the border off, (n, 30, 30) to (n, 784)."""
    inside = tiles[:, BORDER:-BORDER, BORDER:-BORDER]
    return np.ascontiguousarray(inside).reshape(len(tiles), PIXELS)


def fetch(
    tiles: NDArray[np.uint8], across: NDArray[np.float32], down: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Fetch every pixel of at most `STRIP` new digits from where it lay, (n, 30, 30) to (n, 784).

    `across` and `down`, (n, 784), are places in the old digit; they are changed.
    """
    count = len(tiles)
    np.clip(across, -BORDER, SIDE, out=across)
    np.clip(down, -BORDER, SIDE, out=down)
    across += BORDER
    down += BORDER + np.arange(0, count * TILE, TILE, dtype=np.float32)[:, np.newaxis]
    strip = tiles.reshape(count * TILE, TILE)
    return np.asarray(cv2.remap(strip, across, down, cv2.INTER_LINEAR), np.uint8)
