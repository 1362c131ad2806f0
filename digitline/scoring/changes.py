"""How the images of a run differ from those of the run before it: new, changed, unchanged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from digitline.commit import Manifest
from digitline.rows import read_batches
from digitline.scoring.past import prefixes
from digitline.scoring.results import list_shards

# A name in a set of results: its hash, and the first eight bytes of its digest, 0 for an error.
_NAME = np.dtype([("name", "<u8"), ("prefix", "<u8")])


@dataclass(frozen=True)
class Changes:
    """How the images of a run differ from those of the run before it, name by name."""

    new: int
    changed: int
    unchanged: int

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.new:,} new, {self.changed:,} changed, {self.unchanged:,} unchanged"


def compare(before: tuple[Path, Manifest] | None, now: Sequence[tuple[Path, Path]]) -> Changes:
    """Count the names in `now`, files of predictions and errors, against an earlier run."""
    known = np.empty(0, _NAME)
    if before is not None:
        known = np.concatenate([known, *_names(list_shards(*before))])
        known = known[np.argsort(known["name"], kind="stable")]
    counts = np.zeros(3, np.int64)
    for names in _names(now):
        places = np.searchsorted(known["name"], names["name"])
        inside = np.minimum(places, max(0, len(known) - 1))
        there = known["name"][inside] == names["name"] if len(known) else np.zeros(len(names), bool)
        same = there & (known["prefix"][inside] == names["prefix"]) if len(known) else there
        counts += [np.sum(~there), np.sum(there & ~same), np.sum(same)]
    new, changed, unchanged = counts.tolist()
    return Changes(new, changed, unchanged)


def _names(shards: Sequence[tuple[Path, Path]]) -> Iterator[NDArray[np.void]]:
    for predictions, errors in shards:
        for batch in read_batches(predictions, ["path", "id"]):
            yield _hashed(batch, prefixes(batch))
        for batch in read_batches(errors, ["path"]):
            yield _hashed(batch, np.zeros(batch.num_rows, np.uint64))


def _hashed(batch: pa.RecordBatch, firsts: NDArray[np.uint64]) -> NDArray[np.void]:
    names = np.empty(batch.num_rows, _NAME)
    paths = batch.column("path").to_numpy(zero_copy_only=False)
    names["name"] = pd.util.hash_array(paths, categorize=False)
    names["prefix"] = firsts
    return names
