"""What events carry, and that none of them costs a run."""

import logging
from collections.abc import Iterator

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from flows import events
from flows.events import DriftFound, tell_drift

pytestmark = pytest.mark.usefixtures("prefect_server")

FOUND = DriftFound(
    run="score-0003",
    model="m0001",
    verdict="rescan",
    sentence="The pictures changed.",
    reference="the training data of m0001",
    report="file:///srv/digits/reports/score-0003/report.html",
)


@pytest.fixture
def witness() -> Iterator[type[AssertingEventsClient]]:
    """Let Prefect's own worker hand events to a client that keeps them."""
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    yield AssertingEventsClient
    EventsWorker.set_client_override(None)


def test_drift_is_told_of_the_job_with_all_that_was_found(
    witness: type[AssertingEventsClient],
) -> None:
    assert tell_drift("monday", FOUND)
    EventsWorker.instance().wait_until_empty()
    assert witness.last is not None
    (event,) = witness.last.events
    assert event.event == "digitline.drift.found"
    assert event.resource.id == "digitline.job.monday"
    assert DriftFound.model_validate(event.payload) == FOUND


def test_an_event_that_cannot_be_sent_costs_the_run_a_line_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr(events, "emit_event", fail)
    with caplog.at_level(logging.WARNING, logger="digitline"):
        assert not tell_drift(None, FOUND)
    assert "no server" in caplog.text
