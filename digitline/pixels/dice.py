"""Chance, said in words: a thin layer over numpy's generator."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Dice:
    """Draws that all come from one generator, so that one seed makes one picture."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw from `rng` and from nothing else."""
        self.rng = rng

    def happens(self, chance: float) -> bool:
        """Say yes with a chance from 0 to 1."""
        return bool(self.rng.random() < chance)

    def between(self, low: float, high: float) -> float:
        """Draw evenly from an interval."""
        return float(self.rng.uniform(low, high))

    def scale(self, low: float, high: float) -> float:
        """Draw from an interval evenly by ratio, as sizes come."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def about(self, middle: float, spread: float) -> float:
        """Draw from the bell curve."""
        return float(self.rng.normal(middle, spread))

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from `low` up to `high`, both possible."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, choices: Sequence[T]) -> T:
        """Draw one of several, all as likely."""
        return choices[int(self.rng.integers(len(choices)))]

    def clouds(self, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
        """Draw smooth noise of about unit size over (h, w), `cells` hills across."""
        coarse = self.rng.normal(size=(cells, cells)).astype(np.float32)
        smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(smooth, np.float32)
