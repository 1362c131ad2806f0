"""The `score` flow: from a folder of images to predictions, errors, a manifest and a report."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, JsonValue

from digitline.commit import Manifest, Shard, describe, locked, write_manifest
from digitline.errors import DigitlineError, TooManyErrorsError
from digitline.judging.drift import Drift
from digitline.models.card import Card
from digitline.models.registry import Registry
from digitline.objects import Address, is_address
from digitline.pixels.normalise import NORMALISER
from digitline.progress import Advance, showing, watched_by
from digitline.provenance import digest_of, library_versions
from digitline.report import data as report_data
from digitline.report.covers import cover_scoring
from digitline.report.pages import REPORT_NAME
from digitline.report.words import score_headline
from digitline.runs import Run, claim, now, open_run, read_plan
from digitline.scoring.bulk import Bulk, Engine
from digitline.scoring.changes import compare
from digitline.scoring.crew import Crew, warm_up
from digitline.scoring.export import Format
from digitline.scoring.job import LastRun, check_name, read_last, write_last
from digitline.scoring.past import Past, write_index
from digitline.scoring.publish import Claim
from digitline.scoring.publish import claim as claim_place
from digitline.scoring.reasons import Tolerance
from digitline.scoring.results import Counts, ScoredShard, shard_files, sweep
from digitline.scoring.shard import Task
from digitline.scoring.usual import read_usual
from digitline.scoring.worker import Duty
from digitline.settings import Settings, load_settings
from digitline.sources.bucket import fetch, find
from digitline.sources.listing import Selection
from flows.acceptance import find_threshold
from flows.artifacts import Row, show_progress, show_run
from flows.events import ErrorsPassed, tell_errors
from flows.orchestration import at_home, require_engine
from flows.references import find_references, remember, tell
from tasks.collect import collect_results, count_results, export_results
from tasks.compare import compare_images
from tasks.render import render_score
from tasks.score import score_shard
from tasks.snapshot import Snapshot, snapshot_source

Since: TypeAlias = Literal["last", "never"]

_PAST = "past.npy"
# Shards a process: the next wait for it, not it for Prefect, which may take seconds to note one.
_IN_HAND = 4
_log = logging.getLogger("digitline")


class Scored(BaseModel):
    """What a scoring came to: the counts, and where the results and the report lie."""

    model_config = ConfigDict(frozen=True)

    counts: Counts
    results: Path
    report: Path
    drift: Drift
    published: str | None = None
    changes: str = ""


@dataclass(frozen=True)
class Order:
    """What is to be scored, and how the results are wanted."""

    source: str
    out: str | Path | None = None
    selection: Selection = field(default_factory=Selection)
    kind: Format = "parquet"
    joined: bool = False
    job: str | None = None
    since: Since = "last"

    def columns(self, cache: Path) -> Path | None:
        """Find the CSV file whose columns are wanted beside the results, copied to `cache`."""
        if not self.joined:
            return None
        if is_address(self.source):
            return fetch([find(Address.parse(self.source))], cache)[1][0]
        return Path(self.source).expanduser().absolute()

    def facts(self) -> dict[str, JsonValue]:
        """Say it in plain values, the same wherever the command was given."""
        return {
            "source": _name_place(self.source),
            "out": None if self.out is None else _name_place(self.out),
            "include": list(self.selection.include),
            "exclude": list(self.selection.exclude),
            "format": self.kind,
            "joined": self.joined,
            "job": self.job,
            "since": self.since,
        }


@dataclass(frozen=True)
class Reader:
    """The model that scores, from which confidence on, and with which settings."""

    registry: Registry
    card: Card
    accept_from: float
    settings: Settings

    @property
    def duty(self) -> Duty:
        """Say what a worker needs to know."""
        return Duty(
            registry=self.registry,
            version=self.card.version,
            threshold=self.accept_from,
            limits=self.settings.decoding,
            memory=self.settings.bulk.worker_memory,
        )

    @property
    def basis(self) -> dict[str, JsonValue]:
        """Give all that an answer rests on, beside the image."""
        return {
            "model": self.card.version,
            "normaliser": NORMALISER,
            "threshold": self.accept_from,
            "decoding": self.settings.model_dump(mode="json")["decoding"],
        }


def _name_place(place: str | Path) -> str:
    """Name a place the same wherever the command was given."""
    if is_address(place):
        return str(Address.parse(str(place)))
    return str(Path(place).expanduser().absolute())


@flow(persist_result=False)
@at_home
def score(
    source: str,
    out: str | Path | None = None,
    threshold: float | None = None,
    workers: int | None = None,
    max_error: float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    error_threshold: str | None = None,
    kind: Format = "parquet",
    join: bool = False,  # noqa: FBT001, FBT002 - Prefect calls a flow by names
    job: str | None = None,
    since: Since = "last",
    engine: Engine | None = None,
    address: str | None = None,
) -> Scored:
    """Score images with the champion: each ends as accept, review or error.

    Args:
        source: Folder of images, zip or tar archive, Parquet of raw or normalised rows, or CSV
            manifest; a path, or an address such as s3://bucket/scans.
        out: Directory or address for the results; the run's own directory where none is given.
        threshold: Confidence from which an answer is accepted, in place of a certified one.
        workers: Processes that read images; the setting where none is given.
        max_error: Share of accepted answers that may be wrong; the setting where none is given.
        include: Patterns of the names to score; all where there are none.
        exclude: Patterns of the names to leave out.
        error_threshold: Images that may fail (`25`, `2%`, `-1` for any) before the run ends
            with an error.
        kind: Format of the results beside Parquet: csv or jsonl.
        join: Write the columns of a CSV manifest with what became of each of its images.
        job: Name under which later runs score only what is new or changed.
        since: Score what has changed since the `last` run of the job, or all of it with
            `never`.
        engine: What scores the shards: `local` processes, or the workers of a `dask` cluster;
            the setting where none is given.
        address: Dask scheduler, such as `tcp://10.0.0.7:8786`; a cluster on this machine where
            neither this nor the setting gives one.
    """
    bulk = {
        "workers": workers,
        "error_threshold": error_threshold,
        "engine": engine,
        "address": address,
    }
    given = {name: value for name, value in bulk.items() if value is not None}
    settings = load_settings(threshold=threshold, max_error=max_error, bulk=given)
    require_engine(settings.bulk, address)
    tolerance = Tolerance.parse(settings.bulk.error_threshold)
    order = Order(source, out, Selection(tuple(include), tuple(exclude)), kind, join, job, since)
    reader = open_reader(settings)
    if settings.bulk.engine == "local":
        warm_up()
    lock = locked(_lock(order, reader), f"score {job or source}")
    with lock, watched_by(show_progress):
        scored = _score(order, reader)
    _check(scored, tolerance, reader, job)
    return scored


def _check(scored: Scored, tolerance: Tolerance, reader: Reader, job: str | None) -> None:
    """Tell of more failures than are allowed, and raise `TooManyErrorsError`."""
    try:
        tolerance.check(scored.counts, scored.results)
    except TooManyErrorsError as error:
        passed = ErrorsPassed(
            run=scored.report.parent.name,
            model=reader.card.version,
            failed=scored.counts.error,
            images=scored.counts.n_in,
            sentence=str(error),
            report=scored.report.as_uri(),
        )
        tell_errors(job, passed)
        raise


def open_reader(settings: Settings) -> Reader:
    """Find the champion, and from which confidence on its answers are accepted."""
    registry = Registry(settings.places.models, settings.places.keys)
    card = registry.card(registry.champion())
    return Reader(registry, card, find_threshold(card, settings), settings)


def _lock(order: Order, reader: Reader) -> Path:
    """Name the lock: a job runs once at a time, and so does the same order without a name."""
    if order.job is None:
        return reader.settings.places.lock(f"score-{_key(order, reader, None)[:16]}")
    check_name(order.job)
    return reader.settings.places.lock(f"job-{order.job}")


def _score(order: Order, reader: Reader) -> Scored:
    began = time.perf_counter()
    home = reader.settings.places
    last = None if order.job is None else read_last(home.jobs, order.job)
    key = _key(order, reader, last)
    run = open_run(home, "score", key, now())
    results, claimed = open_results(run, order.out)
    _log.info("%s%s", run.id, ", taken up again" if run.resumed else "")
    listing = run.directory / "listing.parquet"
    snapshot = snapshot_source(order.source, order.selection, listing, home.downloads)
    past = _open_past(order, reader, last, run)
    shards = score_all(snapshot, reader.duty, reader.settings.bulk, past, results)
    counts = count_results(shards, snapshot.images)
    changes = "" if order.job is None else _tell_changes(last, len(shards), results)
    columns = order.columns(home.downloads)
    exported = export_results(len(shards), listing, columns, order.kind, results)
    basis = digest_of(reader.basis)
    usual = None if order.job is None else read_usual(home.jobs, order.job, basis, NORMALISER)
    references = find_references(reader.card, reader.accept_from, order.job, usual)
    drift = compare_images(len(shards), results, listing, references, reader.card.version)
    report = render_score(
        run=report_data.Run(id=run.id, when=run.started, seconds=time.perf_counter() - began),
        model=report_data.Version(version=reader.card.version, error=reader.card.metrics.error),
        source=order.source,
        job=order.job or "",
        threshold=reader.accept_from,
        lineage=report_data.Lineage(normaliser=NORMALISER, libraries=library_versions()),
        results=results,
        listing=snapshot.listing,
        limits=reader.settings.decoding,
        drawn=reader.settings.audit,
        corrections=home.corrections,
        reports=home.reports,
        drift=drift,
    )
    facts = _facts(run, order, reader) | {"census": drift.census.model_dump(mode="json")}
    kept = keep_notes(run, snapshot) if results == run.directory else ()
    collect_results(shards, (*exported, *kept), counts, facts, results, claimed)
    finish_run(run, results, snapshot)
    if order.job is not None:
        write_last(home.jobs, order.job, LastRun(run=run.id, results=results, basis=basis))
    if order.job is not None and usual is not None:
        remember(home, order.job, usual, drift)
    page = home.reports / run.id / REPORT_NAME
    tell(drift, run.id, order.job, reader.card.version, page.as_uri())
    scored = Scored(
        counts=counts,
        results=results,
        report=page,
        drift=drift,
        published=None if claimed is None else str(claimed.place),
        changes=changes,
    )
    _publish(scored, report)
    return scored


def _open_past(order: Order, reader: Reader, last: LastRun | None, run: Run) -> Past | None:
    """Open the answers of the job's last run, where they are what would be answered today."""
    if last is None or order.since == "never":
        return None
    manifest = last.manifest()
    if manifest is None:
        _log.info("  since      the results of %s are gone: all images are scored", last.run)
    elif last.basis != digest_of(reader.basis):
        _log.info("  since      model or settings differ from %s: all images are scored", last.run)
    else:
        return write_index(run.directory / _PAST, last.results, manifest)
    return None


def _tell_changes(last: LastRun | None, shards: int, results: Path) -> str:
    manifest = None if last is None else last.manifest()
    before = None if last is None or manifest is None else (last.results, manifest)
    changes = compare(before, [shard_files(results, number) for number in range(shards)])
    _log.info("  changes    %s", changes)
    return str(changes)


def open_results(run: Run, out: str | Path | None) -> tuple[Path, Claim | None]:
    """Choose where the results go, and clear away what a killed run left half written.

    Those for an object store are made beneath the run's own directory, and their claim to the
    place is given.
    """
    plan = read_plan(run)
    if is_address(out):
        results = run.directory / "results"
        try:
            claimed = claim_place(Address.parse(str(out)), plan)
        except DigitlineError:
            if not run.resumed:  # it has not begun
                shutil.rmtree(run.directory)
            raise
    elif out is not None:
        results, claimed = Path(out).expanduser().absolute(), None
        claim(results, run, plan.key)
    else:
        results, claimed = run.directory, None
    sweep(results)
    return results, claimed


def _key(order: Order, reader: Reader, last: LastRun | None) -> str:
    """Identify the work: an unfinished run with the same key is taken up again."""
    return digest_of(
        {
            "order": order.facts(),
            "basis": reader.basis,
            "shard_rows": reader.settings.bulk.shard_rows,
            "last": None if last is None else last.run,
        }
    )


def score_all(
    snapshot: Snapshot, duty: Duty, bulk: Bulk, past: Past | None, out: Path
) -> list[ScoredShard]:
    """Score shard by shard, each process one at a time."""
    size = bulk.size_shards(snapshot.images)
    tasks = [
        Task(snapshot.listing, start, min(start + size, snapshot.images), number, out, past=past)
        for number, start in enumerate(range(0, snapshot.images, size))
    ]
    score_tasks = _score_here if bulk.engine == "local" else _score_on_dask
    with showing("score", snapshot.images) as advance:
        shards = score_tasks(tasks, duty, bulk, advance)
    sweep(out)  # a process that was killed leaves half a file behind
    return shards


def _score_here(
    tasks: Sequence[Task], duty: Duty, bulk: Bulk, advance: Advance
) -> list[ScoredShard]:
    processes = min(bulk.processes, len(tasks))
    with (
        Crew(duty, processes, bulk.patience, advance) as crew,
        ThreadPoolTaskRunner[ScoredShard](max_workers=_IN_HAND * processes) as runner,
    ):
        futures = [runner.submit(score_shard, {"task": task, "crew": crew}) for task in tasks]
        return [future.result() for future in futures]


def _score_on_dask(
    tasks: Sequence[Task], duty: Duty, bulk: Bulk, advance: Advance
) -> list[ScoredShard]:
    from flows.cluster import posted  # noqa: PLC0415 - Dask is an extra, and loads slowly

    with posted(tasks, duty, bulk) as (runner, posting):
        futures = [runner.submit(score_shard, {"task": task, "crew": posting}) for task in tasks]
        shards = []
        for future in futures:
            shards.append(future.result())
            advance(shards[-1].rows, "")
        return shards


def _facts(run: Run, order: Order, reader: Reader) -> dict[str, JsonValue]:
    settings = reader.settings.model_dump(
        mode="json",
        include={"threshold": True, "max_error": True, "certainty": True, "bulk": {"shard_rows"}},
    )
    audit = reader.settings.audit
    return {"run": run.id, **order.facts(), **reader.basis, "settings": settings, "audit": audit}


def keep_notes(run: Run, snapshot: Snapshot) -> tuple[Shard, ...]:
    """Describe what the run has noted on its way: what there was to score, and what it knew."""
    past = run.directory / _PAST
    known = (describe(past, rows=0),) if past.exists() else ()
    return describe(snapshot.listing, snapshot.images), *known


def finish_run(run: Run, results: Path, snapshot: Snapshot) -> None:
    """Mark the run as done where its results lie elsewhere."""
    if results != run.directory:
        inside = results.is_relative_to(run.directory)
        place = results.relative_to(run.directory) if inside else results
        facts = {"results": str(place)}
        notes = keep_notes(run, snapshot)
        write_manifest(run.directory, Manifest(kind="score run", shards=notes, facts=facts))


def _publish(scored: Scored, report: report_data.ScoreReport) -> None:
    """Show in Prefect's pages what the scoring came to."""
    show_run(
        score_headline(report),
        f"{scored.drift.sentence} {scored.changes}".strip(),
        count_rows(scored.counts),
        scored.report,
        cover_scoring(report),
    )


def count_rows(counts: Counts) -> list[Row]:
    """Put counts in a table."""
    return [
        {"images": name, "count": count, "share": f"{count / max(counts.n_in, 1):.4f}"}
        for name, count in counts.model_dump().items()
    ]
