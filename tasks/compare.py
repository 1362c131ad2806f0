"""Compare what the shards of a scoring saw with what is usual: the verdict on drift."""

import logging
from collections.abc import Sequence
from pathlib import Path

from digitline.judging.census import Sample
from digitline.judging.drift import (
    Drift,
    Evidence,
    Finding,
    Reference,
    assess,
    pick_evidence,
    strongest,
)
from digitline.rows import read_slice
from digitline.scoring.results import read_sample, shard_files
from tasks import stage

_log = logging.getLogger("digitline")


@stage("compare")
def compare_images(
    shards: int, results: Path, listing: Path, references: Sequence[Reference], model: str
) -> Drift:
    """Compare the images that the shards in `results` read with each reference.

    Images whose answers were taken over from an earlier run are not among them.
    """
    files = (shard_files(results, number)[0] for number in range(shards))
    seen = sum(map(read_sample, files), Sample())
    drift = assess(seen.census, references, model)
    ruling = drift.ruling
    if ruling is not None:
        evidence = tuple(_show(finding, seen, listing) for finding in strongest(ruling))
        drift = drift.model_copy(update={"evidence": evidence})
    _log.info("  compare    %s: %s", drift.verdict, drift.sentence)
    return drift


def _show(finding: Finding, seen: Sample, listing: Path) -> Evidence:
    unusual, typical = pick_evidence(finding, seen.examples.get(finding.measure, {}))
    return Evidence(
        title=finding.title, unusual=_names(listing, unusual), typical=_names(listing, typical)
    )


def _names(listing: Path, places: Sequence[int]) -> tuple[str, ...]:
    """Look up the names of some images by their places in the listing."""
    return tuple(
        name
        for place in places
        for batch in read_slice(listing, place, place + 1, ["name"])
        for name in batch.column("name").to_pylist()
    )
