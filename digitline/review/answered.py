"""A scoring that has ended, found by its run, its job or the directory of its results."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from digitline.commit import Manifest, check_shards, read_manifest
from digitline.errors import SourceError
from digitline.home import Home
from digitline.rows import count_rows, read_batches, read_slice
from digitline.runs import finished
from digitline.scoring.job import read_last
from digitline.scoring.results import list_shards

_RUN = re.compile(r"score-\d{4,}")
_LISTING = "listing.parquet"


@dataclass(frozen=True)
class Answered:
    """The answers of a scoring; `audit` accepted ones are drawn for people to look at."""

    run: str
    results: Path
    listing: Path
    threshold: float
    audit: int
    files: tuple[Path, ...]

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read its predictions, in listing order."""
        for file in self.files:
            yield from read_batches(file, columns)

    def take(self, rows: Sequence[int]) -> pa.Table:
        """Give the predictions of those numbers, counted over all files, in that order."""
        return take_rows(self.files, rows)


def find_answered(home: Home, name: str | None = None) -> Answered:
    """Find a scoring by run (`score-0004`), job or directory; the newest where none is named.

    Raises `SourceError` where there is none, or its results are gone; `TamperedError` where they
    are not what was written.
    """
    results = _results(home, name)
    manifest = read_manifest(results)
    if manifest is None or "run" not in manifest.facts:
        raise SourceError("no results of a scoring", where=results, todo="Score again")
    check_shards(results, manifest)
    return _open(home, results, manifest)


def take_rows(files: Sequence[Path], rows: Sequence[int]) -> pa.Table:
    """Give rows by their numbers, counted over all `files`, in the order of the numbers."""
    wanted = np.asarray(rows, np.int64)
    order = np.argsort(wanted, kind="stable")
    pieces, start = [], 0
    for file in files:
        stop = start + count_rows(file)
        inside = wanted[order][(wanted[order] >= start) & (wanted[order] < stop)] - start
        if len(inside):
            first = int(inside[0])
            table = pa.Table.from_batches(read_slice(file, first, int(inside[-1]) + 1))
            pieces.append(table.take(pa.array(inside - first)))
        start = stop
    return pa.concat_tables(pieces).take(pa.array(np.argsort(order, kind="stable")))


def _results(home: Home, name: str | None) -> Path:
    if name is None:
        runs = finished(home, "score")
        if not runs:
            raise SourceError("nothing has been scored yet", todo="Run `digitline score` first")
        return _of_run(runs[-1])
    if _RUN.fullmatch(name):
        return _of_run(home.runs / name)
    if Path(name).is_dir():
        return Path(name).absolute()
    last = read_last(home.data / "jobs", name)
    if last is None:
        raise SourceError(
            "no such run, job or directory", where=name, todo="Name a run such as score-0004"
        )
    return last.results


def _of_run(directory: Path) -> Path:
    manifest = read_manifest(directory)
    if manifest is None:
        raise SourceError("no such run", where=directory.name, todo="Name one that has ended")
    return directory / str(manifest.facts.get("results", ""))


def _open(home: Home, results: Path, manifest: Manifest) -> Answered:
    run = str(manifest.facts["run"])
    return Answered(
        run=run,
        results=results,
        listing=home.runs / run / _LISTING,
        threshold=float(manifest.facts["threshold"]),
        audit=int(manifest.facts.get("audit", 0)),
        files=tuple(predictions for predictions, _ in list_shards(results, manifest)),
    )
