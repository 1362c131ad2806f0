"""Automations that Prefect's server does by itself: drift retrains, silence is a crash."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from prefect.automations import AutomationCore
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from digitline.errors import OrchestrationError

# A heartbeat is 30 s apart. Less than three of them would take live runs for dead.
HEARTBEAT = 30
SILENCE = timedelta(seconds=4 * HEARTBEAT)
_RETRAIN = "scheduled-retrain/retrain"
_END = frozenset({"Completed", "Failed", "Cancelled", "Crashed"})


@dataclass(frozen=True)
class Applied:
    """An automation, and whether it was made, changed or right as it was."""

    name: str
    outcome: Literal["made", "changed", "unchanged"]


def apply_automations() -> tuple[Applied, ...]:
    """Set up the automations on the server; done twice, the second time changes nothing.

    Raises `OrchestrationError` where the deployment that retrains is not there yet.
    """
    with get_client(sync_client=True) as client:
        wanted = (retrain_on_drift(client), end_silent_runs())
        return tuple(_apply(client, automation) for automation in wanted)


def retrain_on_drift(client: SyncPrefectClient) -> AutomationCore:
    """Retrain where drift was found that other training data would help against."""
    try:
        deployment = client.read_deployment_by_name(_RETRAIN)
    except ObjectNotFound as error:
        raise OrchestrationError(
            f"there is no deployment {_RETRAIN}",
            todo="Start `digitline serve` once, which makes it",
        ) from error
    return AutomationCore(
        name="Digitline: retrain on drift",
        description="Drift whose verdict is `retrain` starts a retraining.",
        trigger=EventTrigger(
            expect={"digitline.drift.found"},
            match={"prefect.resource.id": "digitline.job*", "digitline.verdict": "retrain"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="selected", deployment_id=deployment.id)],
    )


def end_silent_runs() -> AutomationCore:
    """Take a run for crashed whose heartbeats have stopped without its end."""
    ends = {f"prefect.flow-run.{state}" for state in _END}
    return AutomationCore(
        name="Digitline: end silent runs",
        description="A run without a heartbeat for two minutes has crashed, and frees its place.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ends},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="No heartbeat: its process has ended."
            )
        ],
    )


def _apply(client: SyncPrefectClient, wanted: AutomationCore) -> Applied:
    same_name = client.read_automations_by_name(wanted.name)
    if not same_name:
        client.create_automation(wanted)
        return Applied(wanted.name, "made")
    there = same_name[0]
    if _plain(there) == _plain(wanted):
        return Applied(wanted.name, "unchanged")
    client.update_automation(there.id, wanted)
    return Applied(wanted.name, "changed")


def _plain(automation: AutomationCore) -> dict[str, object]:
    fields = set(AutomationCore.model_fields) - {"enabled"}  # a person may have switched it off
    return automation.model_dump(include=fields)  # sets stay sets: they have no order
