"""What a network is fed: training rows shuffled, distorted and weighted, made ahead of need."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digitline.learning.hardness import EVERY, Hardness
from digitline.learning.recipe import Recipe
from digitline.learning.stream import DIGITS, Chunk, Part, ahead, in_order, shuffled
from digitline.pixels.aspect import Aspect, sense, stand
from digitline.pixels.distort import distort

# Rows handed over at a time: 16 MB as float32.
_CHUNK = 5_000
_AHEAD = 2
_LOOK = 0


@dataclass(frozen=True)
class Meal:
    """Rows ready for a few steps: `digits` (n, width) in 0 .. 1, `labels` (n,), `weights` (n,)."""

    digits: NDArray[np.float32]
    labels: NDArray[np.int8]
    weights: NDArray[np.float32] | None  # None where all rows count the same


class Feed:
    """The training rows of each epoch; the seed alone decides what an epoch gives."""

    def __init__(
        self,
        recipe: Recipe,
        parts: Sequence[Part],
        counts: NDArray[np.int64],
        seed: int,
        aspect: Aspect = "plain",
    ) -> None:
        """Feed the rows of `parts`, of which `counts`, (10,), tells how many of each digit."""
        self._recipe = recipe
        self._parts = parts
        self._seed = seed
        self._aspect = aspect
        self.hardness = Hardness(int(counts.sum()), recipe.focus, recipe.hard)
        self._class_weights = _class_weights(recipe, counts)
        self._weighted = recipe.class_weight != "none" or len({part.weight for part in parts}) > 1

    def steps(self) -> list[int]:
        """Tell how many mini-batches each epoch has."""
        first = min(self._recipe.epochs, EVERY - 1)
        rest = self._recipe.epochs - first
        rows = [len(self.hardness.losses)] * first + [self.hardness.visits] * rest
        return [math.ceil(count / self._recipe.batch) for count in rows]

    def epoch(self, number: int) -> Iterator[Meal]:
        """Yield the rows of an epoch, counted from 1, in whole mini-batches but for the last."""
        batch = self._recipe.batch
        size = batch * max(1, _CHUNK // batch)
        rng = np.random.default_rng([self._seed, number])
        chosen = self.hardness.choose(number, rng)
        rows = shuffled(self._parts, size, rng, chosen=chosen)
        return self._make(rows, [self._seed, number], self._recipe.label_noise)

    def look(self, number: int) -> Iterator[Meal]:
        """Yield all rows in the order of the files, distorted anew for a look before an epoch."""
        return self._make(in_order(self._parts), [self._seed, number, _LOOK], label_noise=0)

    def _make(self, chunks: Iterator[Chunk], seed: list[int], label_noise: float) -> Iterator[Meal]:
        # A generator of its own for each chunk: whichever thread makes it, it comes out the same.
        items = (
            (chunk, np.random.default_rng([*seed, place]))
            for place, chunk in enumerate(chunks, start=1)
        )
        prepare = partial(self._prepare, label_noise=label_noise)
        return ahead(items, prepare, workers=os.cpu_count() or 1, depth=_AHEAD)

    def _prepare(self, item: tuple[Chunk, np.random.Generator], label_noise: float) -> Meal:
        chunk, rng = item
        # Stood before it is distorted: of a digit to be read, the stance is as good as it gets.
        stood = stand(chunk.digits, self._aspect)
        digits = sense(distort(stood, self._recipe.distortion, rng), self._aspect)
        labels = chunk.labels
        weights = chunk.weights * self._class_weights[labels] if self._weighted else None
        if label_noise:
            wrong = rng.random(len(labels)) < label_noise
            labels = np.where(wrong, rng.integers(0, DIGITS, len(labels), np.int8), labels)
        return Meal(digits, labels, weights)


def _class_weights(recipe: Recipe, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weigh each digit, (10,)."""
    if recipe.class_weight == "none":
        return np.ones(len(counts), np.float32)
    even = counts.sum() / np.count_nonzero(counts)
    return np.asarray(even / np.maximum(counts, 1), np.float32)
