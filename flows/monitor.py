"""The `monitor` flow: looks back over recent scorings, and tells whether their images drift."""

import logging
import time
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, write_manifest
from digitline.judging.drift import Drift, assess
from digitline.models.card import Card
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.provenance import digest_of
from digitline.report import data as report_data
from digitline.report.covers import cover_drift
from digitline.report.drift import name_verdict
from digitline.report.monitoring import MonitorReport, write_monitor
from digitline.runs import now, open_run
from digitline.scoring.usual import read_usual
from digitline.settings import Settings, load_settings
from flows.acceptance import find_threshold
from flows.artifacts import Row, show_run
from flows.orchestration import at_home
from flows.references import find_references, tell
from flows.retrain import retrain
from flows.score import Reader
from tasks.recall import Recalled, recall_scorings

_log = logging.getLogger("digitline")


class Monitored(BaseModel):
    """What a look back came to: the verdict, the scorings it is about, and the report.

    `retrained` is the model that a retraining came to, where drift started one.
    """

    model_config = ConfigDict(frozen=True)

    drift: Drift
    scorings: tuple[str, ...]
    report: Path
    retrained: str | None = None


@flow(persist_result=False)
@at_home
def monitor(subject: str | None = None, scorings: int = 10) -> Monitored:
    """Compare the images of recent scorings, taken together, with the champion's reference.

    Args:
        subject: A job by name, or a directory of results; all scorings of the home where none
            is given.
        scorings: How many scorings to look back over.
    """
    began = time.perf_counter()
    settings = load_settings()
    home = settings.places
    registry = Registry(home.models, home.keys)
    card = registry.card(registry.champion())
    reader = Reader(registry, card, find_threshold(card, settings), settings)
    recalled = recall_scorings(home, subject, scorings, card.version, reader.accept_from)
    drift = _compare(recalled, reader)
    _log.info("  monitor    %s: %s", drift.verdict, drift.sentence)
    report = _report(recalled, drift, card, settings, began)
    show_run(name_verdict(drift), drift.sentence, _numbers(drift), report, cover_drift(drift))
    retrained = None
    if drift.verdict == "retrain" and settings.drift_retrain == "auto":
        retrained = retrain(card.data.name.split(", ")).version
    return Monitored(drift=drift, scorings=recalled.runs, report=report, retrained=retrained)


def _compare(recalled: Recalled, reader: Reader) -> Drift:
    jobs, job = reader.settings.places.jobs, recalled.job
    usual = None if job is None else read_usual(jobs, job, digest_of(reader.basis), NORMALISER)
    references = find_references(reader.card, reader.accept_from, job, usual)
    return assess(recalled.census, references, reader.card.version)


def _numbers(drift: Drift) -> list[Row]:
    """Put what was tested last in a table."""
    return [
        {
            "measure": finding.title,
            "usual": finding.typical,
            "now": finding.seen,
            finding.effect_name: f"{finding.effect:.3f}",
            "counts from": f"{finding.limit:g}",
            "changed": "yes" if finding.changed else "no",
        }
        for finding in (drift.ruling.findings if drift.ruling else ())
    ]


def _report(recalled: Recalled, drift: Drift, card: Card, settings: Settings, began: float) -> Path:
    """Write the page, tell whoever listens, and commit the run."""
    home, when = settings.places, now()
    run = open_run(home, "monitor", digest_of({"scorings": list(recalled.runs), "at": when}), when)
    page = write_monitor(
        home.reports,
        MonitorReport(
            run=report_data.Run(id=run.id, when=when, seconds=time.perf_counter() - began),
            model=report_data.Version(version=card.version, error=card.metrics.error),
            job=recalled.job or "",
            scorings=recalled.runs,
            drift=drift,
        ),
    )
    tell(drift, run.id, recalled.job, card.version, page.as_uri())
    facts = {"verdict": drift.verdict, "report": str(page)}
    write_manifest(run.directory, Manifest(kind="monitor run", shards=(), facts=facts))
    return page
