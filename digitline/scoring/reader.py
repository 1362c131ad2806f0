"""From entries of a listing to digits: open, decode, normalise, in bounded memory."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from digitline.pixels.decode import Limits
from digitline.pixels.reading import Failure, read_images
from digitline.rows import PIXELS
from digitline.sources.files import UnreadableError
from digitline.sources.listing import Entry, read_digits, read_entries

# Opened images wait together until they are this many, or this many bytes.
_MOST_IMAGES = 256
_MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class Digits:
    """Some entries' digits, and why the others have none.

    `places` (k,) are the entries' places, `ids` their k SHA-256 digests, `px` (k, 784) uint8,
    `doubtful` (k,) whether an image may show something else than one digit.
    """

    places: NDArray[np.int64]
    ids: tuple[bytes, ...]
    px: NDArray[np.uint8]
    doubtful: NDArray[np.bool_]
    failures: tuple[Failure, ...]


def read_entries_as_digits(entries: Sequence[Entry], limits: Limits) -> Iterator[Digits]:
    """Read entries in their order, some at a time; the places count from the first entry."""
    place = 0
    for normalised, group in groupby(entries, lambda entry: entry.opener == "normalised"):
        run = list(group)
        if normalised:
            yield _from_rows(run, place)
        else:
            yield from _from_images(run, place, limits)
        place += len(run)


def _from_rows(entries: Sequence[Entry], first: int) -> Digits:
    ids, px = read_digits(entries)
    places = np.arange(first, first + len(entries))
    return Digits(places, tuple(ids), px, np.asarray(~px.any(axis=1)), ())


def _from_images(entries: Sequence[Entry], first: int, limits: Limits) -> Iterator[Digits]:
    places: list[int] = []
    contents: list[bytes] = []
    failures: list[Failure] = []
    waiting = 0
    for place, content in enumerate(read_entries(entries, limits.max_bytes), first):
        if isinstance(content, UnreadableError):
            failures.append(Failure(place, content.reason, content.message))
        else:
            places.append(place)
            contents.append(content)
            waiting += len(content)
        if len(contents) >= _MOST_IMAGES or waiting >= _MOST_BYTES:
            yield _decode(places, contents, failures, limits)
            places, contents, failures, waiting = [], [], [], 0
    yield _decode(places, contents, failures, limits)


def _decode(
    places: list[int], contents: list[bytes], unreadable: list[Failure], limits: Limits
) -> Digits:
    reading = read_images(contents, limits)
    undecodable = [
        Failure(places[failure.place], failure.reason, failure.message)
        for failure in reading.failures
    ]
    return Digits(
        places=np.array(places, np.int64)[reading.places],
        ids=tuple(hashlib.sha256(contents[place]).digest() for place in reading.places),
        px=reading.digits.reshape(-1, PIXELS),
        doubtful=np.array([bool(each.doubt) for each in reading.diagnoses], np.bool_),
        failures=tuple(sorted([*unreadable, *undecodable], key=lambda failure: failure.place)),
    )
