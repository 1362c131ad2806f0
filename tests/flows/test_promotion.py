"""A person decides: a paused run, resumed with typed input, over Prefect's real API."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType

from digitline.errors import OrchestrationError
from digitline.judging.gate import Promotion
from digitline.judging.verdict import Verdict
from flows.retrain import Approval, ask, retrain

PASSED = Verdict(kind="promote", sentence="It passed every rule.")
FAILED = Verdict(kind="hold", sentence="It failed not-worse.")
PAUSED = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.PAUSED]}}})


@flow
def asking(verdict: Verdict) -> str:
    return ask(verdict, first=False, poll=1).kind


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("verdict", "answer", "kind"),
    [(PASSED, "never", "hold"), (FAILED, "force", "promote"), (FAILED, "auto", "hold")],
)
def test_run_waits_for_a_person_and_heeds_the_answer(
    verdict: Verdict, answer: Promotion, kind: str
) -> None:
    pool = ThreadPoolExecutor(1)
    running = pool.submit(asking, verdict)
    pool.shutdown(wait=False)  # a run that nobody answers waits for days
    with get_client(sync_client=True) as client:
        client.resume_flow_run(paused_run(), run_input=Approval(promote=answer).model_dump())
        deadline = time.monotonic() + 60
        while not running.done() and time.monotonic() < deadline:  # an answer can go unheard
            for run in client.read_flow_runs(flow_run_filter=PAUSED):
                client.resume_flow_run(run.id, run_input=Approval(promote=answer).model_dump())
            time.sleep(0.5)
    assert running.result(timeout=0) == kind


def paused_run() -> UUID:
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            for run in client.read_flow_runs(flow_run_filter=PAUSED):
                return run.id
            time.sleep(0.2)
    raise TimeoutError("no run was paused")


@pytest.mark.usefixtures("prefect_server", "home")
def test_without_a_server_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(OrchestrationError, match="prefect server start"):
        retrain(promote="ask")
