"""The service: everything that happens unattended on one machine, kept alive by one process."""

import asyncio
import logging
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    State,
    StateType,
)
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner
from prefect.schedules import Cron, Schedule
from prefect.states import Crashed, Scheduled
from prefect.types.entrypoint import EntrypointType

from digitline.commit import locked
from digitline.errors import BusyError, SettingsError
from digitline.home import Home
from digitline.keeping.memory import read_memory
from digitline.settings import Settings
from flows.automations import apply_automations
from flows.ticks import (
    close_children,
    keep_up,
    retrain_on_schedule,
    score_inbox,
    watch_drift,
)

JOBS: Mapping[str, Flow[..., Any]] = {
    "retrain": retrain_on_schedule,
    "inbox": score_inbox,
    "monitor": watch_drift,
    "upkeep": keep_up,
}
ONE_AT_A_TIME = ConcurrencyLimitConfig(
    limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
)

_log = logging.getLogger("digitline")
_ALIVE = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def serve(settings: Settings) -> None:
    """Do what is due at its time until the process is told to end.

    Raises `BusyError` where a service runs already, `SettingsError` for a time or a time zone
    that makes no sense.
    """
    home = settings.places
    schedules = {job: plan_times(settings, job) for job in JOBS}
    with locked(home.lock("service"), "the service"):
        inbox = settings.inbox
        if isinstance(inbox, Path) and not Path(settings.service.inbox).is_absolute():
            inbox.mkdir(parents=True, exist_ok=True)
        asyncio.run(_run(schedules, home))


async def _run(schedules: Mapping[str, list[Schedule]], home: Home) -> None:
    runner = Runner(name="digitline", pause_on_shutdown=False)
    deployed: dict[str, UUID] = {}
    for job, tended in JOBS.items():
        deployment = await tended.ato_deployment(
            job,
            schedules=schedules[job],
            concurrency_limit=ONE_AT_A_TIME,
            tags=["digitline"],
            entrypoint_type=EntrypointType.MODULE_PATH,  # found from any working directory
        )
        deployed[job] = await runner.aadd_deployment(deployment)
        if _close_dead(job, deployed[job], home):
            _take_up(job, deployed[job])
    apply_automations()
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # by now the runner has its own way to end, which leaves runs behind
    for word in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(word, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
    for job, deployment_id in deployed.items():
        _close_dead(job, deployment_id, home)


def plan_times(settings: Settings, job: str) -> list[Schedule]:
    """Say when a job is due: at the times of its setting, or never.

    Raises `SettingsError` for a cron line or a time zone that makes no sense.
    """
    service = settings.service
    lines = {
        "retrain": service.retrain,
        "inbox": service.score,
        "monitor": service.monitor,
        "upkeep": service.upkeep,
    }
    if not lines[job]:
        return []
    try:
        CronSchedule(cron=lines[job], timezone=service.time_zone)
    except ValueError as error:
        raise SettingsError(
            f"`{lines[job]}` in `{service.time_zone}` is no time",
            todo="Correct `service`: five cron fields, and a zone such as Europe/Zurich",
        ) from error
    return [Cron(lines[job], timezone=service.time_zone)]


def _close_dead(job: str, deployment: UUID, home: Home) -> bool:
    """Close the runs whose process ended before they did; say whether they left work undone."""
    try:
        with locked(home.lock(f"service-{job}"), job):
            unfinished = read_memory(home.service, job).open
    except BusyError:
        return False  # a run outlived the service that began it, and is well
    with get_client(sync_client=True) as client:
        for run in _alive(client, deployment):
            close_children(run, "the service ended before it did")
            state: State[None] = Crashed(message="the service ended before the run did")
            client.set_flow_run_state(run.id, state, force=True)
    return unfinished


def _take_up(job: str, deployment: UUID) -> None:
    _log.info("%s was cut off, and is taken up again", job)
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(deployment, state=Scheduled())


def _alive(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=_ALIVE))
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=states),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
    )
