"""The `score` flow: from a folder of images to predictions, errors, a manifest and a report."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, JsonValue

from digitline.commit import Manifest, locked, write_manifest
from digitline.errors import IncompatibleError
from digitline.judging.certificate import certify
from digitline.models.card import Card
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.progress import showing
from digitline.provenance import digest_of, library_versions
from digitline.report import data as report_data
from digitline.runs import Run, claim, open_run
from digitline.scoring.bulk import Bulk, with_workers
from digitline.scoring.crew import Crew
from digitline.scoring.results import Counts, ScoredShard, sweep
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from digitline.settings import Settings, load_settings
from digitline.sources.listing import Selection
from tasks.collect import collect_results, count_results
from tasks.render import render_score
from tasks.score import score_shard
from tasks.snapshot import Snapshot, snapshot_source

_log = logging.getLogger("digitline")


class Scored(BaseModel):
    """What a scoring came to: the counts, and where the results and the report lie."""

    model_config = ConfigDict(frozen=True)

    counts: Counts
    results: Path
    report: Path


@flow(persist_result=False)
def score(
    source: str,
    out: Path | None = None,
    threshold: float | None = None,
    workers: int | None = None,
    max_error: float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Scored:
    """Score images with the champion: each ends as accept, review or error.

    Parameters
    ----------
    source
        Folder of images, Parquet of raw or normalised rows, or CSV manifest.
    out
        Directory for the results; the run's own where none is given.
    threshold
        Confidence from which an answer is accepted, in place of a certified one.
    workers
        Processes that read images; the setting where none is given.
    max_error
        Share of accepted answers that may be wrong; the setting where none is given.
    include, exclude
        Patterns of the names to score, and of those to leave out.
    """
    settings = load_settings(threshold=threshold, max_error=max_error)
    home = settings.places
    home.prepare()
    registry = Registry(home.models, home.keys)
    version = registry.champion()
    card = registry.card(version)
    accept_from = _threshold(card, settings)
    bulk = settings.bulk if workers is None else with_workers(settings.bulk, workers)
    began = time.perf_counter()
    selection = Selection(tuple(include), tuple(exclude))
    key = _key(source, out, version, settings, selection)
    with locked(home.lock(f"score-{key[:16]}"), f"score {source}"):
        run = open_run(home, "score", key, _now())
        results = _open_results(run, out, key)
        _log.info("%s%s", run.id, ", taken up again" if run.resumed else "")
        snapshot = snapshot_source(source, selection, run.directory / "listing.parquet")
        duty = Duty(registry, version, accept_from, settings.decoding, bulk.worker_memory)
        shards = _score_all(snapshot, duty, bulk, results)
        counts = count_results(shards, snapshot.images)
        report = render_score(
            run=report_data.Run(id=run.id, when=run.started, seconds=time.perf_counter() - began),
            model=report_data.Version(version=version, error=card.metrics.error),
            source=source,
            threshold=accept_from,
            lineage=report_data.Lineage(normaliser=NORMALISER, libraries=library_versions()),
            results=results,
            listing=snapshot.listing,
            limits=settings.decoding,
            reports=home.reports,
        )
        collect_results(shards, counts, _facts(run, source, version, settings), results)
        _finish(run, results)
    _publish(run, counts, report)
    return Scored(counts=counts, results=results, report=report)


def _threshold(card: Card, settings: Settings) -> float:
    """Give the threshold that was set, or the one the card certifies for the error allowed."""
    if settings.threshold is not None:
        return settings.threshold
    if card.curve is None:
        raise IncompatibleError(
            f"{card.version} was made before thresholds were certified",
            todo="Train again with `digitline retrain`, or set a threshold",
        )
    certificate = certify(card.curve, settings.max_error, settings.certainty)
    _log.info("  certified  %s", certificate.sentence)
    return certificate.threshold


def _open_results(run: Run, out: Path | None, key: str) -> Path:
    """Choose where the results go, and clear away what a killed run left half written."""
    results = run.directory if out is None else out.expanduser().absolute()
    if results != run.directory:
        claim(results, run, key)
    sweep(results)
    return results


def _key(
    source: str, out: Path | None, version: str, settings: Settings, selection: Selection
) -> str:
    return digest_of(
        {
            "source": str(Path(source).expanduser().absolute()),
            "out": None if out is None else str(out.expanduser().absolute()),
            "model": version,
            "normaliser": NORMALISER,
            "settings": _scoring_settings(settings),
            "selection": asdict(selection),
        }
    )


def _scoring_settings(settings: Settings) -> dict[str, JsonValue]:
    wanted = dict.fromkeys(("threshold", "max_error", "certainty", "decoding"), True)
    return settings.model_dump(mode="json", include={**wanted, "bulk": {"shard_rows"}})


def _score_all(snapshot: Snapshot, duty: Duty, bulk: Bulk, out: Path) -> list[ScoredShard]:
    """Score shard by shard, as many at a time as there are processes."""
    size = bulk.size_shards(snapshot.images)
    tasks = [
        Task(snapshot.listing, start, min(start + size, snapshot.images), number, out)
        for number, start in enumerate(range(0, snapshot.images, size))
    ]
    processes = min(bulk.processes, len(tasks))
    with (
        showing("score", snapshot.images) as advance,
        Crew(duty, processes, bulk.patience, advance) as crew,
        ThreadPoolTaskRunner[ScoredShard](max_workers=processes) as runner,
    ):
        futures = [runner.submit(score_shard, {"task": task, "crew": crew}) for task in tasks]
        return [future.result() for future in futures]


def _facts(run: Run, source: str, version: str, settings: Settings) -> dict[str, JsonValue]:
    return {
        "run": run.id,
        "source": source,
        "model": version,
        "normaliser": NORMALISER,
        "settings": _scoring_settings(settings),
    }


def _finish(run: Run, results: Path) -> None:
    """Mark the run as done where its results lie elsewhere."""
    if results != run.directory:
        facts = {"results": str(results)}
        write_manifest(run.directory, Manifest(kind="score run", shards=(), facts=facts))


def _publish(run: Run, counts: Counts, page: Path) -> None:
    """Show the counts and the way to the report in Prefect's UI."""
    create_markdown_artifact(key="counts", markdown=f"**{run.id}** {counts}")
    create_link_artifact(key="report", link=page.as_uri(), link_text=f"Report of {run.id}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
