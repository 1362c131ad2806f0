"""A directory of results: two files a shard, taken as done once both are there and whole."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, Shard, describe
from digitline.errors import DataError
from digitline.judging.census import Sample
from digitline.rows import read_batches, read_note
from digitline.scoring.answers import ACCEPT

# Where the footer of a file of predictions keeps what was measured of its images.
SAMPLE = "digitline.sample"
_DRAFT = re.compile(r"\.(predictions|errors|joined)(-\d{5,})?\.(parquet|csv|jsonl)\.[0-9a-f]{12}")


class ScoredShard(BaseModel):
    """The two files of a shard, and how many of its predictions are accepted."""

    model_config = ConfigDict(frozen=True)

    predictions: Shard
    errors: Shard
    accept: int

    @property
    def rows(self) -> int:
        """Images in it, whatever became of them."""
        return self.predictions.rows + self.errors.rows


class Counts(BaseModel):
    """What became of the images that went in."""

    model_config = ConfigDict(frozen=True)

    n_in: int
    accept: int
    review: int
    error: int

    @classmethod
    def of(cls, shards: Sequence[ScoredShard], images: int) -> Self:
        """Add up shards; `DataError` where they do not hold the `images` that were listed."""
        accept = sum(shard.accept for shard in shards)
        predicted = sum(shard.predictions.rows for shard in shards)
        failed = sum(shard.errors.rows for shard in shards)
        counts = cls(n_in=images, accept=accept, review=predicted - accept, error=failed)
        if predicted + failed != images:
            raise DataError(
                f"the counts do not add up: {counts}", todo="Score again into a new directory"
            )
        return counts

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.n_in:,} images = {self.accept:,} accept + {self.review:,} review "
            f"+ {self.error:,} error"
        )


def shard_files(out: Path, number: int) -> tuple[Path, Path]:
    """Name the files of a shard: predictions and errors."""
    return out / f"predictions-{number:05d}.parquet", out / f"errors-{number:05d}.parquet"


def list_shards(out: Path, manifest: Manifest) -> list[tuple[Path, Path]]:
    """Give the two files of every shard that a manifest lists."""
    count = sum(shard.name.startswith("predictions-") for shard in manifest.shards)
    return [shard_files(out, number) for number in range(count)]


def find_shard(out: Path, number: int, images: int) -> ScoredShard | None:
    """Find a shard that holds its `images`; `None` where a file is missing or is not whole."""
    predictions, errors = shard_files(out, number)
    try:
        shard = describe_shard(predictions, errors)
    except (FileNotFoundError, DataError):  # never committed, or a disk that lost what it had
        return None
    return shard if shard.rows == images else None


def describe_shard(predictions: Path, errors: Path) -> ScoredShard:
    """Describe the two files of a shard; `DataError` where one is not Parquet."""
    predicted = accept = 0
    for batch in read_batches(predictions, ["status"]):
        predicted += batch.num_rows
        accept += pc.sum(pc.equal(batch.column("status"), ACCEPT)).as_py() or 0
    failed = sum(batch.num_rows for batch in read_batches(errors, ["reason"]))
    return ScoredShard(
        predictions=describe(predictions, predicted),
        errors=describe(errors, failed),
        accept=accept,
    )


def read_sample(predictions: Path) -> Sample:
    """Read what was measured of a shard's images; nothing where its writer did not measure."""
    note = read_note(predictions, SAMPLE)
    return Sample() if note is None else Sample.model_validate_json(note)


def sweep(out: Path) -> None:
    """Remove what a killed run left half written; nobody else may be at work in `out`."""
    if out.is_dir():
        for path in out.iterdir():
            if _DRAFT.fullmatch(path.name):
                path.unlink(missing_ok=True)
