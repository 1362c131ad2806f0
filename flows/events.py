"""Events that automations can listen to: what a run found, sent through Prefect at no risk."""

import logging
from typing import Literal, TypeAlias

from prefect.events import emit_event
from pydantic import BaseModel, ConfigDict

from digitline.judging.verdict import Verdict
from digitline.settings import load_settings
from flows.notices import tell_somebody

Name: TypeAlias = Literal[
    "digitline.drift.found",
    "digitline.champion.promoted",
    "digitline.challenger.held",
    "digitline.errors.passed-threshold",
    "digitline.run.crashed",
    "digitline.job.failing",
    "digitline.job.recovered",
]

_log = logging.getLogger("digitline")


class Payload(BaseModel):
    """What an event carries; each kind of event has a payload of its own.

    `sentence` says what happened and what to do, `report` is the address of the page about it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentence: str
    report: str = ""

    @property
    def paragraph(self) -> str:
        """Say it to a person."""
        return f"{self.sentence} Report: {self.report}" if self.report else self.sentence


class DriftFound(Payload):
    """The images of a run differ from the reference: the evidence, and what to do about it."""

    run: str
    model: str
    verdict: Literal["rescan", "retrain"]
    reference: str
    report: str


class Judged(Payload):
    """A challenger was promoted or held, with its share of wrong readings on the test rows."""

    run: str
    model: str
    champion: str | None
    error: float


class ErrorsPassed(Payload):
    """More images failed than the run allows; the results are written all the same."""

    run: str
    model: str
    failed: int
    images: int


class Crashed(Payload):
    """The process of a run ended before the run did."""

    run: str


class Failing(Payload):
    """A job has failed several times in a row, or does well again."""

    job: str
    failures: int


def tell_drift(job: str | None, found: DriftFound) -> bool:
    """Tell of drift in the images of a job, or of runs that belong to none."""
    return emit("digitline.drift.found", "job" if job is None else f"job.{job}", found)


def tell_verdict(verdict: Verdict, judged: Judged) -> bool:
    """Tell what became of a challenger."""
    crowned = verdict.promotes
    return emit(
        "digitline.champion.promoted" if crowned else "digitline.challenger.held", "model", judged
    )


def tell_errors(job: str | None, passed: ErrorsPassed) -> bool:
    """Tell that more images of a job failed than its run allows."""
    subject = "job" if job is None else f"job.{job}"
    return emit("digitline.errors.passed-threshold", subject, passed)


def emit(name: Name, subject: str, payload: Payload) -> bool:
    """Emit an event about `subject` (`job.monday`, `model`); say whether it is on its way.

    Whoever the settings name is told as well. An automation can ask for the label
    `digitline.verdict`.
    """
    tell_somebody(load_settings().notify, name.removeprefix("digitline."), payload.paragraph)
    resource = {
        "prefect.resource.id": f"digitline.{subject}",
        "prefect.resource.name": subject,
        "digitline.verdict": str(getattr(payload, "verdict", "")),
    }
    try:
        sent = emit_event(name, resource, payload=payload.model_dump(mode="json"))
    except Exception as error:  # noqa: BLE001 - the run is done and well, whoever listens to it
        _log.warning("  event      %s could not be sent: %s", name, error)
        return False
    return sent is not None
