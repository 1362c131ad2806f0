"""Collect the shards of a scoring: count them, and commit the directory of results."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, JsonValue

from digitline.commit import Manifest, Shard, write_manifest
from digitline.errors import DataError
from digitline.rows import read_batches
from digitline.scoring.answers import ACCEPT
from tasks import stage

_log = logging.getLogger("digitline")


class Counts(BaseModel):
    """What became of the images that went in."""

    model_config = ConfigDict(frozen=True)

    n_in: int
    accept: int
    review: int
    error: int

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.n_in:,} images = {self.accept:,} accept + {self.review:,} review "
            f"+ {self.error:,} error"
        )


@stage("collect")
def collect_results(
    predictions: Sequence[Shard],
    errors: Sequence[Shard],
    images: int,
    facts: dict[str, JsonValue],
    out: Path,
) -> Counts:
    """Count what the shards in `out` hold and commit them under one manifest.

    Raises `DataError` where the counts do not add up to the `images` that were listed.
    """
    accept = sum(_count_accepted(out / shard.name) for shard in predictions)
    predicted = sum(shard.rows for shard in predictions)
    failed = sum(shard.rows for shard in errors)
    counts = Counts(n_in=images, accept=accept, review=predicted - accept, error=failed)
    if predicted + failed != images:
        raise DataError(
            f"the counts do not add up: {counts}",
            where=out,
            todo="Score again into a new directory",
        )
    manifest = Manifest(
        kind="predictions",
        shards=(*predictions, *errors),
        facts={**facts, "counts": counts.model_dump()},
    )
    write_manifest(out, manifest)
    _log.info("  collect    %s", counts)
    return counts


def _count_accepted(path: Path) -> int:
    return sum(
        pc.sum(pc.equal(batch.column("status"), ACCEPT)).as_py() or 0
        for batch in read_batches(path, ["status"])
    )
