"""From image files to digits: decode each, normalise those that could be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import Diagnosis, normalise


@dataclass(frozen=True)
class Failure:
    """An image that could not be decoded: its place in the input, a short code, and why."""

    place: int
    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """The digits of those images that could be decoded.

    `places` (k,) are their places in the input, `digits` (k, 28, 28) uint8.
    """

    places: NDArray[np.int64]
    digits: NDArray[np.uint8]
    diagnoses: tuple[Diagnosis, ...]
    failures: tuple[Failure, ...]


def read_images(contents: Sequence[bytes], limits: Limits) -> Reading:
    """Read n image files; an image that cannot be decoded becomes a failure."""
    images: list[NDArray[np.uint8]] = []
    places: list[int] = []
    failures: list[Failure] = []
    for place, content in enumerate(contents):
        try:
            images.append(decode(content, limits))
        except UndecodableError as error:
            failures.append(Failure(place, error.reason, error.message))
        else:
            places.append(place)
    normalised = normalise(images)
    return Reading(
        np.array(places, np.int64), normalised.digits, normalised.diagnoses, tuple(failures)
    )
