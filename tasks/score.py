"""Score one shard of a listing: predictions and errors, each in a file of its own."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Shard, describe
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.rows import ERRORS, PREDICTIONS, count_rows, write_rows
from digitline.scoring.shard import score_entries
from digitline.sources.listing import read_listing
from tasks import stage


class ScoredShard(BaseModel):
    """The two files of a shard."""

    model_config = ConfigDict(frozen=True)

    predictions: Shard
    errors: Shard


@stage("score {number}")
def score_shard(
    listing: Path,
    number: int,
    size: int,
    registry: Registry,
    version: str,
    threshold: float,
    limits: Limits,
    out: Path,
) -> ScoredShard:
    """Score the shard `number`, `size` images, of a listing with a model; skip what is there.

    The predictions are written last, so a shard counts as done once they are there.
    """
    predictions, errors = shard_files(out, number)
    if not predictions.exists():
        entries = read_listing(listing, number * size, (number + 1) * size)
        scored = score_entries(entries, registry.load(version), threshold, limits)
        write_rows(errors, ERRORS, iter([scored.errors]))
        write_rows(predictions, PREDICTIONS, iter([scored.predictions]))
    return ScoredShard(
        predictions=describe(predictions, count_rows(predictions)),
        errors=describe(errors, count_rows(errors)),
    )


def shard_files(out: Path, number: int) -> tuple[Path, Path]:
    """Name the files of a shard: predictions and errors."""
    return out / f"predictions-{number:05d}.parquet", out / f"errors-{number:05d}.parquet"
