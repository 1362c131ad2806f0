"""Training rows from Parquet in a new order every epoch, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.errors import TrainingError
from digitline.rows import UNLABELLED, labels, open_parquet, pixels, read_batches

DIGITS = 10
# Row groups shuffled together: eight of 8,192 digits are 51 MB. All of MNIST fits.
_WINDOW = 8

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Part:
    """A Parquet file of normalised, labelled rows, and how much each of its rows counts."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class Chunk:
    """Some rows: `digits` (n, 784) uint8, `labels` (n,) int8, `weights` (n,) float32."""

    digits: NDArray[np.uint8]
    labels: NDArray[np.int8]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.labels)

    def take(self, rows: NDArray[np.int64] | slice) -> "Chunk":
        """Pick rows, by their numbers or a slice."""
        return Chunk(self.digits[rows], self.labels[rows], self.weights[rows])


def join(chunks: Sequence[Chunk]) -> Chunk:
    """Put chunks one after the other."""
    return Chunk(
        np.concatenate([chunk.digits for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]),
        np.concatenate([chunk.weights for chunk in chunks]),
    )


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
    parts: Sequence[Part], size: int, rng: np.random.Generator, window: int = _WINDOW
) -> Iterator[Chunk]:
    """Yield every row once, in chunks of `size` (the last may be shorter), in random order.

    Row groups come in random order; rows are shuffled within a window of `window` groups, so that
    the memory needed does not grow with the number of rows.
    """
    groups = [(part, number) for part in parts for number in range(_group_count(part.path))]
    order = rng.permutation(len(groups))
    rest: list[Chunk] = []
    for start in range(0, len(groups), window):
        chosen = [groups[place] for place in order[start : start + window]]
        pool = join(rest + [_read_group(part, number) for part, number in chosen])
        pool = pool.take(rng.permutation(len(pool)))
        whole = len(pool) - len(pool) % size
        for row in range(0, whole, size):
            yield pool.take(slice(row, row + size))
        rest = [pool.take(slice(whole, None))]
    if rest and len(rest[0]):
        yield rest[0]


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


def _group_count(path: Path) -> int:
    with open_parquet(path) as file:
        return int(file.num_row_groups)


def _read_group(part: Part, number: int) -> Chunk:
    # Opened anew each time: a file kept mapped would count as memory page by page.
    with open_parquet(part.path) as file:
        table = file.read_row_group(number, columns=["label", "px"]).combine_chunks()
    batches = table.to_batches()
    batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    weights = np.full(batch.num_rows, part.weight, np.float32)
    return Chunk(pixels(batch), labels(batch), weights)
