"""Events that automations can listen to: what a run found, sent through Prefect at no risk."""

import logging
from typing import Literal, TypeAlias

from prefect.events import emit_event
from pydantic import BaseModel, ConfigDict

Name: TypeAlias = Literal[
    "digitline.drift.found",
    "digitline.champion.promoted",
    "digitline.challenger.held",
    "digitline.errors.passed-threshold",
]

_log = logging.getLogger("digitline")


class Payload(BaseModel):
    """What an event carries; each kind of event has a payload of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DriftFound(Payload):
    """The images of a run differ from the reference: the evidence, and what to do about it."""

    run: str
    model: str
    verdict: Literal["rescan", "retrain"]
    sentence: str
    reference: str
    report: str


def tell_drift(job: str | None, found: DriftFound) -> bool:
    """Tell of drift in the images of a job, or of runs that belong to none."""
    return emit("digitline.drift.found", "job" if job is None else f"job.{job}", found)


def emit(name: Name, subject: str, payload: Payload) -> bool:
    """Emit an event about `subject` (`job.monday`, `model`); say whether it is on its way."""
    resource = {
        "prefect.resource.id": f"digitline.{subject}",
        "prefect.resource.name": subject,
    }
    try:
        sent = emit_event(name, resource, payload=payload.model_dump(mode="json"))
    except Exception as error:  # noqa: BLE001 - the run is done and well, whoever listens to it
        _log.warning("  event      %s could not be sent: %s", name, error)
        return False
    return sent is not None
