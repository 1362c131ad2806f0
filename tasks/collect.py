"""Collect the shards of a scoring: count them, and commit the directory of results."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from digitline.commit import Manifest, Shard, write_manifest
from digitline.scoring.export import Format, export, join
from digitline.scoring.publish import Claim
from digitline.scoring.results import Counts, ScoredShard, shard_files
from tasks import stage

_log = logging.getLogger("digitline")


@stage("count")
def count_results(shards: Sequence[ScoredShard], images: int) -> Counts:
    """Count what the shards hold; `DataError` unless it is every one of the `images` listed."""
    counts = Counts.of(shards, images)
    _log.info("  collect    %s", counts)
    return counts


@stage("export")
def export_results(
    shards: int, listing: Path, source: Path | None, kind: Format, out: Path
) -> tuple[Shard, ...]:
    """Write the results in another format, and with the columns of the CSV `source` if given."""
    files = [shard_files(out, number) for number in range(shards)]
    written = export(files, out, kind)
    if source is not None:
        written.append(join(listing, files, source, out, kind))
    return tuple(written)


@stage("collect")
def collect_results(
    shards: Sequence[ScoredShard],
    exported: Sequence[Shard],
    counts: Counts,
    facts: dict[str, JsonValue],
    out: Path,
    claim: Claim | None = None,
) -> None:
    """Commit the files in `out` under one manifest, the last file of a run.

    Before that they are published where the run has a `claim`.
    """
    manifest = Manifest(
        kind="predictions",
        shards=(
            *(shard.predictions for shard in shards),
            *(shard.errors for shard in shards),
            *exported,
        ),
        facts={**facts, "counts": counts.model_dump()},
    )
    if claim is not None:
        claim.publish(out, manifest)
        _log.info("  publish    %s", claim.place)
    write_manifest(out, manifest)
