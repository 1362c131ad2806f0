"""Training rows from Parquet in a new order every epoch, in bounded memory."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.errors import SettingsError, TrainingError
from digitline.rows import PIXELS, ROW_GROUP, UNLABELLED, labels, open_parquet, pixels, read_batches

DIGITS = 10
# Rows shuffled together: 51 MB of digits. All of MNIST fits.
_WINDOW = 8 * ROW_GROUP

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Part:
    """A Parquet file of normalised, labelled rows, and how much each of its rows counts.

    Raises `SettingsError` for a weight that is not above 0.
    """

    path: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the weight."""
        if not 0 < self.weight < math.inf:
            raise SettingsError(
                f"rows cannot weigh {self.weight}", where=self.path, todo="Give a number above 0"
            )


@dataclass(frozen=True)
class Chunk:
    """Some rows: `digits` (n, 784) uint8, `labels` (n,) int8, `weights` (n,) float32."""

    digits: NDArray[np.uint8]
    labels: NDArray[np.int8]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.labels)

    def only(self, chosen: NDArray[np.bool_]) -> "Chunk":
        """Keep the rows that are chosen, (n,)."""
        return Chunk(self.digits[chosen], self.labels[chosen], self.weights[chosen])


def count_labels(path: Path) -> NDArray[np.int64]:
    """Count the rows of each digit, (10,).

    Raises `TrainingError` where a row has no label, or one that is not a digit.
    """
    counts = np.zeros(DIGITS, np.int64)
    for batch in read_batches(path, ["label"], size=1 << 20):
        found = labels(batch)
        if found.size and (found.min() <= UNLABELLED or found.max() >= DIGITS):
            raise TrainingError(
                "a row without a label from 0 to 9", where=path, todo="Label it or leave it out"
            )
        counts += np.bincount(found, minlength=DIGITS)
    return counts


def shuffled(
    parts: Sequence[Part],
    size: int,
    rng: np.random.Generator,
    window: int = _WINDOW,
    chosen: NDArray[np.bool_] | None = None,
) -> Iterator[Chunk]:
    """Yield every row once, in chunks of `size` (the last may be shorter), in random order.

    Where rows are `chosen`, (n,) in the order of the files, the others are left out.

    Row groups come in random order into a pool of `window` rows from which rows are drawn at
    random: up to that many rows, every order is as likely as any other; beyond, rows still mix
    over many groups, and the memory needed does not grow with their number.
    """
    groups = list(_groups(parts))
    longest = max((group.rows for group in groups), default=0)
    total = sum(group.rows for group in groups)
    pool = _Pool(min(total, window + longest))
    for place in rng.permutation(len(groups)):
        group = groups[place]
        chunk = _read_group(group)
        pool.put(chunk if chosen is None else chunk.only(chosen[group.first :][: group.rows]))
        while pool.size > window:
            yield pool.draw(size, rng)
    while pool.size:
        yield pool.draw(size, rng)


def in_order(parts: Sequence[Part]) -> Iterator[Chunk]:
    """Yield every row once, a row group at a time, in the order of the files."""
    return map(_read_group, _groups(parts))


class _Pool:
    """Rows to draw from at random, in arrays made once."""

    def __init__(self, capacity: int) -> None:
        self.size = 0
        self._digits = np.empty((capacity, PIXELS), np.uint8)
        self._labels = np.empty(capacity, np.int8)
        self._weights = np.empty(capacity, np.float32)

    def put(self, chunk: Chunk) -> None:
        """Add rows."""
        place = slice(self.size, self.size + len(chunk))
        self._digits[place] = chunk.digits
        self._labels[place] = chunk.labels
        self._weights[place] = chunk.weights
        self.size += len(chunk)

    def draw(self, count: int, rng: np.random.Generator) -> Chunk:
        """Take out `count` rows, or all that are left, in random order."""
        rows = rng.choice(self.size, min(count, self.size), replace=False)
        drawn = Chunk(self._digits[rows], self._labels[rows], self._weights[rows])
        self.size -= len(rows)
        # The last rows that stay move into the holes left before them.
        holes = rows[rows < self.size]
        tail = np.arange(self.size, self.size + len(rows))
        movers = np.setdiff1d(tail, rows, assume_unique=True)
        self._digits[holes] = self._digits[movers]
        self._labels[holes] = self._labels[movers]
        self._weights[holes] = self._weights[movers]
        return drawn


def ahead(
    items: Iterable[Given], make: Callable[[Given], Made], workers: int, depth: int
) -> Iterator[Made]:
    """Yield `make(item)` in order, with up to `depth` of them made beforehand by threads."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """A row group: its part, its number there, and the rows of all parts before it."""

    part: Part
    number: int
    first: int
    rows: int


def _groups(parts: Sequence[Part]) -> Iterator[_Group]:
    first = 0
    for part in parts:
        with open_parquet(part.path) as file:
            found = file.metadata
            lengths = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
        for number, rows in enumerate(lengths):
            yield _Group(part, number, first, rows)
            first += rows


def _read_group(group: _Group) -> Chunk:
    # Opened anew each time: a file kept mapped would count as memory page by page.
    part = group.part
    with open_parquet(part.path) as file:
        table = file.read_row_group(group.number, columns=["label", "px"]).combine_chunks()
    batches = table.to_batches()
    batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    weights = np.full(batch.num_rows, part.weight, np.float32)
    return Chunk(pixels(batch), labels(batch), weights)
