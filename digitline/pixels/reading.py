"""From image files to digits: decode each, normalise those that could be."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import NORMALISER, Diagnosis, normalise
from digitline.pixels.traits import measure_traits
from digitline.rows import labels, normalised_batch


@dataclass(frozen=True)
class Failure:
    """An image that could not be decoded: its place in the input, a short code, and why."""

    place: int
    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """The digits of those images that could be decoded.

    `places` (k,) are their places in the input, `digits` (k, 28, 28) uint8, `traits` (k, 5)
    float32 of the pictures.
    """

    places: NDArray[np.int64]
    digits: NDArray[np.uint8]
    traits: NDArray[np.float32]
    diagnoses: tuple[Diagnosis, ...]
    failures: tuple[Failure, ...]


Watch: TypeAlias = Callable[[Reading], None]


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
        np.array(places, np.int64),
        normalised.digits,
        measure_traits(images, normalised),
        normalised.diagnoses,
        tuple(failures),
    )


def normalise_rows(
    batches: Iterable[pa.RecordBatch], limits: Limits, watch: Watch | None = None
) -> Iterator[pa.RecordBatch]:
    """Turn raw rows into normalised ones; an image that cannot be decoded is left out.

    What is read is shown to `watch` as well.
    """
    for batch in batches:
        contents = batch.column("image").field("bytes").to_pylist()
        reading = read_images(contents, limits)
        if watch is not None:
            watch(reading)
        ids = [hashlib.sha256(contents[place]).digest() for place in reading.places]
        yield normalised_batch(
            ids, np.take(labels(batch), reading.places), reading.digits, NORMALISER
        )
