"""The images a page shows, beside its report, which only says which they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitline.report.data import Judged
from digitline.rows import PIXELS, SIDE

THUMBNAIL = 144
EXAMPLES_PER_DIGIT = 12


@dataclass(frozen=True)
class Look:
    """A look at training data.

    `examples` (10, k, 784) uint8, blank where a digit has fewer than k; `means` (10, 784)
    float32 in [0, 255].
    """

    examples: NDArray[np.uint8]
    means: NDArray[np.float32]


@dataclass(frozen=True)
class RetrainPictures:
    """What a retrain page shows, each aligned with its part of the report.

    `readings` is (m, 784) for `judged.readings`, `flips` (f, 784) for `judged.flips.shown`,
    `suspects` (s, 784) for `data.suspects.shown`; `weights` (784, units) of the first layer.
    """

    look: Look | None = None
    readings: NDArray[np.uint8] | None = None
    flips: NDArray[np.uint8] | None = None
    suspects: NDArray[np.uint8] | None = None
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Shot:
    """One scored image, made by `Shot.of`.

    `original` is made small, (h, w) or (h, w, 3) uint8, or none; `seen` is the digit the network
    saw, (28, 28) uint8.
    """

    original: NDArray[np.uint8] | None
    seen: NDArray[np.uint8]

    @classmethod
    def of(cls, original: NDArray[np.uint8] | None, seen: NDArray[np.uint8]) -> Self:
        """Take a decoded image of any size (or none, for normalised rows) and its digit."""
        small = None if original is None else thumbnail(original)
        return cls(small, np.asarray(seen, np.uint8).reshape(SIDE, SIDE))


@dataclass(frozen=True)
class ScorePictures:
    """What a score page shows: a shot (or `None`) for each of the report's tiles, in order.

    `evidence` are the images that show drift, by name.
    """

    accepted: Sequence[Shot | None] = field(default_factory=tuple)
    review: Sequence[Shot | None] = field(default_factory=tuple)
    evidence: Mapping[str, Shot] = field(default_factory=dict)


def look(
    batches: Iterable[tuple[NDArray[np.uint8], NDArray[np.int8]]],
    per_digit: int = EXAMPLES_PER_DIGIT,
) -> Look:
    """Look at labelled digits as they stream by: (n, 784) pixels and (n,) labels a batch."""
    sums = np.zeros((10, PIXELS), np.float64)
    counts = np.zeros(10, np.int64)
    examples = np.zeros((10, per_digit, PIXELS), np.uint8)
    for px, labels in batches:
        for digit in range(10):
            mine = px[labels == digit]
            free = examples[digit, counts[digit] :]
            free[: len(mine)] = mine[: len(free)]
            sums[digit] += mine.sum(axis=0, dtype=np.int64)
            counts[digit] += len(mine)
    return Look(examples, (sums / np.maximum(counts, 1)[:, None]).astype(np.float32))


def retrain_pictures(
    judged: Judged | None,
    test_px: NDArray[np.uint8] | None,
    *,
    look: Look | None = None,
    suspects: NDArray[np.uint8] | None = None,
    weights: NDArray[np.float32] | None = None,
) -> RetrainPictures:
    """Pick a retrain page's pictures out of the test set's pixels, (n, 784) in row order."""
    if judged is None or test_px is None:
        return RetrainPictures(look=look, suspects=suspects, weights=weights)
    flips = judged.flips
    return RetrainPictures(
        look=look,
        readings=test_px[[item.row for item in judged.readings]],
        flips=None if flips is None else test_px[[item.row for item in flips.shown]],
        suspects=suspects,
        weights=weights,
    )


def thumbnail(image: NDArray[np.uint8], side: int = THUMBNAIL) -> NDArray[np.uint8]:
    """Shrink an image, (h, w) or (h, w, 3), to fit `side` x `side`; small ones stay as they are."""
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small)
