"""Files of normalised rows, split into the parts a training needs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from digitline.commit import Manifest, describe, write_manifest
from digitline.learning.errata import Errata, put_right
from digitline.learning.split import PARTS, Shares, assign
from digitline.rows import RowWriter, digests, labels, normalised_schema, read_batches, writing

VALIDATION = "validation.parquet"
CALIBRATION = "calibration.parquet"
TEST = "test.parquet"


@dataclass(frozen=True)
class Origin:
    """Normalised rows of one data set: its name, and the files of its parts."""

    name: str
    train: Path
    test: Path | None = None


# Parts in which errata are put right; a row that people corrected has their word instead.
AMENDED = ("train", "validation", "calibration")
# Rows that people corrected: a data set of their own, which only trains.
CORRECTIONS = "corrections"


def train_name(origin: str) -> str:
    """Name the file of the training rows that come from that data set."""
    return f"train-{origin}.parquet"


def split_rows(
    origins: Sequence[Origin],
    directory: Path,
    shares: Shares,
    normaliser: str,
    key: str,
    corrections: Path | None = None,
    errata: Errata = MappingProxyType({}),
) -> Manifest:
    """Split data sets into `train-NAME`, `validation`, `calibration`, `test` files; commit them.

    Where data sets share an image, the first to bring it keeps it, and a test image is in no
    other part. `key` says what was split.

    Rows of `corrections` all go to training, in place of a training row of the same image: people
    were asked about hard images, and a part that judges or calibrates must not be harder than what
    it stands for. For the same reason an image that is held out stays where it is, as it is.
    `errata` put labels right in every part but the test rows, which are what they are.
    """
    writers = _open_writers(origins, directory, normaliser, corrected=corrections is not None)
    corrected = set() if corrections is None else set(_ids(corrections))
    with writers.stack:
        seen: set[bytes] = set()
        for origin in origins:
            _pass_test_rows(origin, writers, seen)
        corrected -= seen
        for origin in origins:
            _divide_train_rows(origin, writers, seen, shares, corrected, errata)
        if corrections is not None:
            for batch in read_batches(corrections):
                writers.write(train_name(CORRECTIONS), batch.filter(_among(batch, corrected)))
    manifest = Manifest(
        kind="split",
        shards=tuple(
            describe(directory / name, writer.rows) for name, writer in writers.by_name.items()
        ),
        facts={"key": key, "digits": writers.counts(), "relabelled": writers.relabelled},
    )
    write_manifest(directory, manifest)
    return manifest


def count_new_rows(before: Sequence[Path], now: Sequence[Path]) -> int | None:
    """Count the rows of the files `now` that are not in `before`; `None` where some have gone."""
    known = {row_id for path in before for row_id in _ids(path)}
    new = 0
    for path in now:
        for row_id in _ids(path):
            new += row_id not in known
            known.discard(row_id)
    return None if known else new


def _ids(path: Path) -> Iterator[bytes]:
    for batch in read_batches(path, ["id"]):
        yield from batch.column("id").to_pylist()


@dataclass
class _Writers:
    """The open files by name, and how often each digit went into each part."""

    stack: ExitStack
    by_name: dict[str, RowWriter]
    digits: Counter[tuple[str, int]] = field(default_factory=Counter)
    relabelled: int = 0

    def write(self, name: str, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        self.by_name[name].write(batch)
        part = "train" if name.startswith("train-") else Path(name).stem
        for label in batch.column("label").to_pylist():
            self.digits[part, label] += 1

    def counts(self) -> dict[str, list[int]]:
        return {part: [self.digits[part, digit] for digit in range(10)] for part in PARTS}


def _open_writers(
    origins: Sequence[Origin], directory: Path, normaliser: str, *, corrected: bool
) -> _Writers:
    schema = normalised_schema(normaliser)
    sets = [*(origin.name for origin in origins), *([CORRECTIONS] if corrected else [])]
    names = [*map(train_name, sets), VALIDATION, CALIBRATION, TEST]
    with ExitStack() as stack:
        by_name = {name: stack.enter_context(writing(directory / name, schema)) for name in names}
        return _Writers(stack.pop_all(), by_name)


def _pass_test_rows(origin: Origin, writers: _Writers, seen: set[bytes]) -> None:
    if origin.test is None:
        return
    for batch in read_batches(origin.test):
        writers.write(TEST, batch.filter(_unseen(batch, seen)))


def _divide_train_rows(
    origin: Origin,
    writers: _Writers,
    seen: set[bytes],
    shares: Shares,
    corrected: set[bytes],
    errata: Errata,
) -> None:
    for batch in read_batches(origin.train):
        new = batch.filter(_unseen(batch, seen))
        part = assign(digests(new), shares, own_test=origin.test is not None)
        if corrected:
            again = _among(new, corrected).to_numpy(zero_copy_only=False)
            corrected -= set(
                new.filter(pa.array(again & (part != "train"))).column("id").to_pylist()
            )
            part[again & (part == "train")] = CORRECTIONS
        right = put_right(new, errata)
        amended = (labels(right) != labels(new)) & np.isin(part, AMENDED)
        writers.relabelled += int(amended.sum())
        for name, file in (
            ("train", train_name(origin.name)),
            ("validation", VALIDATION),
            ("calibration", CALIBRATION),
            ("test", TEST),
        ):
            rows = right if name in AMENDED else new
            writers.write(file, rows.filter(pa.array(part == name)))


def _among(batch: pa.RecordBatch, ids: set[bytes]) -> pa.Array:
    return pa.array([row_id in ids for row_id in batch.column("id").to_pylist()], pa.bool_())


def _unseen(batch: pa.RecordBatch, seen: set[bytes]) -> pa.Array:
    fresh = np.ones(batch.num_rows, np.bool_)
    for place, row_id in enumerate(batch.column("id").to_pylist()):
        fresh[place] = row_id not in seen
        seen.add(row_id)
    return pa.array(fresh)
