"""Recall what the images of recent scorings looked like, from their manifests alone."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest
from digitline.errors import SourceError
from digitline.home import Home
from digitline.judging.census import Census
from digitline.runs import number
from tasks import stage

_log = logging.getLogger("digitline")


class Recalled(BaseModel):
    """The census over some scorings, newest first, and the job that all of them belong to."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[str, ...]
    job: str | None
    census: Census


@stage("recall", tags=("digitline",))
def recall_scorings(
    home: Home, subject: str | None, most: int, model: str, threshold: float
) -> Recalled:
    """Recall the last scorings of a job, of all jobs, or the one whose results are named.

    What they say of the writing counts as far as `model` read it and `threshold` was used. Raises
    `SourceError` where there are none.
    """
    job, found = _choose(home, subject)
    runs, census = [], Census()
    for manifest in islice(found, most):
        runs.append(str(manifest.facts["run"]))
        census += _comparable(manifest, model, threshold)
    if not runs:
        raise SourceError(
            "no scorings to look back on", where=subject, todo="Run `digitline score` first"
        )
    _log.info("  recall     %s images of %s", f"{census.images:,}", ", ".join(runs))
    return Recalled(runs=tuple(runs), job=job, census=census)


def _choose(home: Home, subject: str | None) -> tuple[str | None, Iterator[Manifest]]:
    named = None if subject is None else read_manifest(Path(subject).expanduser())
    if named is not None and "census" in named.facts:
        return named.facts.get("job"), iter([named])
    return subject, (
        manifest
        for manifest in _scorings(home)
        if subject is None or manifest.facts.get("job") == subject
    )


def _scorings(home: Home) -> Iterator[Manifest]:
    """Yield the manifests of scorings that measured anything, newest first."""
    directories = sorted(home.runs.glob("score-*"), key=lambda path: -number(path.name))
    for directory in directories:
        manifest = read_manifest(directory)
        if manifest is not None and "results" in manifest.facts:
            manifest = read_manifest(directory / manifest.facts["results"])
        if manifest is not None and manifest.facts.get("census", {}).get("images"):
            yield manifest


def _comparable(manifest: Manifest, model: str, threshold: float) -> Census:
    census = Census.model_validate(manifest.facts["census"])
    if manifest.facts["model"] != model:
        return census.of_pictures()
    if manifest.facts["threshold"] != threshold:
        counts = {name: each for name, each in census.counts.items() if name != "review"}
        return census.model_copy(update={"counts": counts})
    return census
