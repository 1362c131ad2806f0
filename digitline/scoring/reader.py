"""From rows of a listing to digits: open, decode, normalise, one image after the other."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import normalise
from digitline.pixels.reading import Failure
from digitline.pixels.traits import TRAITS, measure_traits
from digitline.rows import PIXELS, SIDE
from digitline.sources.files import UnreadableError
from digitline.sources.listing import Entry, read_digit_rows, read_entries, to_entries

# Says which places (first, one after the last) are being read, for whoever watches over us.
Mark = Callable[[int, int], None]
# Says whether the image of that SHA-256 needs no reading.
Known = Callable[[bytes], bool]
# Pictures of MNIST's size are normalised together, this many at a time.
_TOGETHER = 256


@dataclass(frozen=True)
class Digits:
    """Some images' digits, and why others have none; places count from the first image.

    `places` (k,) are the places of those with digits, ascending, `ids` (k, 32) uint8 the SHA-256
    of their bytes, `px` (k, 784) uint8, `doubtful` (k,) whether one may show something else than
    one digit, `traits` (k, 5) float32 of the pictures, NaN where none was read. `known` are the
    places and digests of images that needed no reading.
    """

    places: NDArray[np.int64]
    ids: NDArray[np.uint8]
    px: NDArray[np.uint8]
    doubtful: NDArray[np.bool_]
    traits: NDArray[np.float32]
    failures: tuple[Failure, ...]
    known: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Care:
    """What is known of images that ended the process reading them, by their places.

    `guilty` are not opened again: each becomes a failure for the reason given; `alone` are the
    places (first, one after the last) of pictures to be normalised one by one.
    """

    guilty: dict[int, str] = field(default_factory=dict)
    alone: tuple[tuple[int, int], ...] = ()

    def is_alone(self, place: int) -> bool:
        """Say whether the picture at that place is to be normalised by itself."""
        return any(first <= place < after for first, after in self.alone)


def read_digits_of(
    batch: pa.RecordBatch,
    first: int,
    limits: Limits,
    *,
    care: Care,
    mark: Mark,
    known: Known | None = None,
) -> Digits:
    """Read the images that rows of a listing name; `first` is the place of the first row."""
    rows = pc.equal(batch.column("opener"), "normalised").to_numpy(zero_copy_only=False)
    breaks = [0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), len(rows)]
    parts = []
    for start, stop in pairwise(breaks):
        run = batch.slice(start, stop - start)
        if rows[start]:
            parts.append(_from_rows(run, first + start, known))
        else:
            reader = _Images(limits, care, mark, known)
            parts.append(reader.read(to_entries(run), first + start))
    return parts[0] if len(parts) == 1 else _join(parts)


def open_images(
    entries: Sequence[Entry], first: int, limits: Limits, care: Care, mark: Mark
) -> Iterator[tuple[int, bytes | UnreadableError]]:
    """Open images one by one, none that is guilty, marking each before it is opened.

    Gives the place of each, counted from `first`, and its bytes, or why it has none.
    """
    places = range(first, first + len(entries))
    for guilty, run in groupby(places, lambda place: place in care.guilty):
        if guilty:
            for place in run:
                yield place, UnreadableError("crashed", care.guilty[place])
            continue
        innocent = list(run)
        wanted = entries[innocent[0] - first : innocent[-1] + 1 - first]
        contents = read_entries(wanted, limits.max_bytes)
        for place, entry in zip(innocent, wanted, strict=True):
            if entry.opener == "object":  # where a store is slow, no image is to blame
                mark(-1, -1)
            else:
                mark(place, place + 1)
            content = next(contents)
            mark(place, place + 1)
            yield place, content
        mark(innocent[-1] + 1, innocent[-1] + 2)


def decode_image(place: int, content: bytes, limits: Limits) -> NDArray[np.uint8] | Failure:
    """Decode the image at a place of the listing, or say why that is not possible."""
    try:
        return decode(content, limits)
    except UndecodableError as error:
        if isinstance(error.__context__, MemoryError):  # which says nothing about the image
            raise error.__context__ from None
        return Failure(place, error.reason, error.message)


def _join(parts: Sequence[Digits]) -> Digits:
    return Digits(
        places=np.concatenate([part.places for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        px=np.concatenate([part.px for part in parts]),
        doubtful=np.concatenate([part.doubtful for part in parts]),
        traits=np.concatenate([part.traits for part in parts]),
        failures=tuple(failure for part in parts for failure in part.failures),
        known=tuple(pair for part in parts for pair in part.known),
    )


def _from_rows(batch: pa.RecordBatch, first: int, known: Known | None) -> Digits:
    ids, px = read_digit_rows(batch)
    places = np.arange(first, first + len(ids))
    seen = []
    if known is not None:
        digests = [(place, row.tobytes()) for place, row in zip(places.tolist(), ids, strict=True)]
        seen = [(place, digest) for place, digest in digests if known(digest)]
        fresh = np.isin(places, [place for place, _ in seen], invert=True)
        places, ids, px = places[fresh], ids[fresh], px[fresh]
    blank, traits = np.logical_not(px.any(axis=1)), np.full((len(px), len(TRAITS)), np.nan)
    return Digits(places, ids, px, blank, traits.astype(np.float32), (), tuple(seen))


class _Images:
    """Read images of any kind; those of MNIST's size wait until they are many."""

    def __init__(self, limits: Limits, care: Care, mark: Mark, known: Known | None) -> None:
        self._limits = limits
        self._care = care
        self._mark = mark
        self._known = known
        self._places: list[int] = []
        self._ids: list[bytes] = []
        self._px: list[NDArray[np.uint8]] = []  # each (k, 28, 28)
        self._doubtful: list[bool] = []
        self._traits: list[NDArray[np.float32]] = []  # each (k, 5)
        self._failures: list[Failure] = []
        self._seen: list[tuple[int, bytes]] = []
        self._waiting: list[tuple[int, bytes, NDArray[np.uint8]]] = []

    def read(self, entries: Sequence[Entry], first: int) -> Digits:
        """Read n entries, of which the first has the place `first`."""
        for place, content in open_images(entries, first, self._limits, self._care, self._mark):
            if isinstance(content, UnreadableError):
                self._failures.append(Failure(place, content.reason, content.message))
            else:
                self._take(place, content)
            if len(self._waiting) == _TOGETHER:
                self._normalise_waiting()
        self._normalise_waiting()
        return self._gather()

    def _take(self, place: int, content: bytes) -> None:
        digest = hashlib.sha256(content).digest()
        if self._known is not None and self._known(digest):
            self._seen.append((place, digest))
            return
        picture = decode_image(place, content, self._limits)
        if isinstance(picture, Failure):
            self._failures.append(picture)
        elif picture.shape == (SIDE, SIDE) and not self._care.is_alone(place):
            self._waiting.append((place, digest, picture))
        else:
            self._normalise([(place, digest, picture)])

    def _normalise_waiting(self) -> None:
        if self._waiting:
            self._mark(self._waiting[0][0], self._waiting[-1][0] + 1)
            self._normalise(self._waiting)
            self._waiting = []

    def _normalise(self, pictures: Sequence[tuple[int, bytes, NDArray[np.uint8]]]) -> None:
        images = [picture for _, _, picture in pictures]
        normalised = normalise(images)
        self._places += [place for place, _, _ in pictures]
        self._ids += [digest for _, digest, _ in pictures]
        self._px.append(normalised.digits)
        self._doubtful += [bool(diagnosis.doubt) for diagnosis in normalised.diagnoses]
        self._traits.append(measure_traits(images, normalised))

    def _gather(self) -> Digits:
        places = np.array(self._places, np.int64)
        order = np.argsort(places)
        px = np.concatenate([np.empty((0, SIDE, SIDE), np.uint8), *self._px])
        ids = np.frombuffer(b"".join(self._ids), np.uint8).reshape(-1, 32)
        traits = np.concatenate([np.empty((0, len(TRAITS)), np.float32), *self._traits])
        return Digits(
            places=places[order],
            ids=ids[order],
            px=px.reshape(-1, PIXELS)[order],
            doubtful=np.array(self._doubtful, np.bool_)[order],
            traits=traits[order],
            failures=tuple(self._failures),
            known=tuple(self._seen),
        )
