"""Collect the shards of a scoring: count them, and commit the directory of results."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from digitline.commit import Manifest, write_manifest
from digitline.scoring.results import Counts, ScoredShard
from tasks import stage

_log = logging.getLogger("digitline")


@stage("count")
def count_results(shards: Sequence[ScoredShard], images: int) -> Counts:
    """Count what the shards hold; `DataError` unless it is every one of the `images` listed."""
    counts = Counts.of(shards, images)
    _log.info("  collect    %s", counts)
    return counts


@stage("collect")
def collect_results(
    shards: Sequence[ScoredShard], counts: Counts, facts: dict[str, JsonValue], out: Path
) -> None:
    """Commit the shards in `out` under one manifest, the last file of a run."""
    manifest = Manifest(
        kind="predictions",
        shards=(
            *(shard.predictions for shard in shards),
            *(shard.errors for shard in shards),
        ),
        facts={**facts, "counts": counts.model_dump()},
    )
    write_manifest(out, manifest)
