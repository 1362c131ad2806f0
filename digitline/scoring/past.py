"""What an earlier run of a job answered, looked up by the digest of an image's bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digitline.commit import Manifest, replacing
from digitline.errors import DataError
from digitline.rows import digests, read_batches
from digitline.scoring.results import list_shards, shard_files

# An answer in the index: its digest, that digest's first eight bytes, its shard and its row.
_ANSWER = np.dtype([("prefix", "<u8"), ("id", "u1", 32), ("shard", "<u4"), ("row", "<u4")])
_SHARDS_KEPT = 2


@dataclass(frozen=True)
class Past:
    """The answers in `results`, by the index that `write_index` made of them."""

    index: Path
    results: Path

    def knows(self, digest: bytes) -> bool:
        """Say whether the image of that SHA-256 has been answered."""
        return self._find(digest) is not None

    def answers(self, wanted: Sequence[bytes]) -> pa.Table:
        """Give the predictions for digests that are known, in their order."""
        places = [self._find(digest) for digest in wanted]
        if None in places:
            raise DataError("an answer has gone", where=self.results, todo="Use --since never")
        rows = self._answers[np.array(places, np.intp)]
        tables, positions = [], np.empty(len(rows), np.int64)
        done = 0
        for shard in np.unique(rows["shard"]).tolist():
            inside = np.flatnonzero(rows["shard"] == shard)
            tables.append(_shard(self.results, shard).take(pa.array(rows["row"][inside])))
            positions[inside] = np.arange(done, done + len(inside))
            done += len(inside)
        return pa.concat_tables(tables).take(pa.array(positions))

    def _find(self, digest: bytes) -> int | None:
        prefix = np.uint64(int.from_bytes(digest[:8], "little"))
        place = int(np.searchsorted(self._prefixes, prefix))
        while place < len(self._answers) and self._prefixes[place] == prefix:
            if self._answers["id"][place].tobytes() == digest:
                return place
            place += 1
        return None

    @cached_property
    def _answers(self) -> NDArray[np.void]:
        return _mapped(self.index)

    @cached_property
    def _prefixes(self) -> NDArray[np.uint64]:
        return np.ascontiguousarray(self._answers["prefix"])


def write_index(index: Path, results: Path, manifest: Manifest) -> Past:
    """Index the answers in a directory of results by their digests."""
    parts = [np.empty(0, _ANSWER)]
    for number, (predictions, _) in enumerate(list_shards(results, manifest)):
        row = 0
        for batch in read_batches(predictions, ["id"]):
            part = np.empty(batch.num_rows, _ANSWER)
            part["id"] = digests(batch)
            part["prefix"] = prefixes(batch)
            part["shard"] = number
            part["row"] = np.arange(row, row + batch.num_rows)
            row += batch.num_rows
            parts.append(part)
    answers = np.concatenate(parts)
    with replacing(index) as draft, draft.open("wb") as file:
        np.save(file, answers[np.argsort(answers["prefix"], kind="stable")])
    return Past(index, results)


def prefixes(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """Give the first eight bytes of each id, as a number: (n,)."""
    return np.ascontiguousarray(digests(batch)[:, :8]).view("<u8")[:, 0]


def _mapped(index: Path) -> NDArray[np.void]:
    mapped: NDArray[np.void] = np.load(index, mmap_mode="r")
    return mapped


@lru_cache(maxsize=_SHARDS_KEPT)
def _shard(results: Path, number: int) -> pa.Table:
    return pq.read_table(shard_files(results, number)[0])
