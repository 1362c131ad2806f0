"""What Prefect's server has planned: the next run of each deployment."""

from typing import TYPE_CHECKING

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from digitline.keeping.overview import NextRun

if TYPE_CHECKING:
    from datetime import datetime

_MOST = 200


def read_plans() -> tuple[NextRun, ...] | None:
    """Read the next run of every deployment, soonest first; `None` where no server answers."""
    scheduled = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    )
    try:
        with get_client(sync_client=True) as client:
            names = {each.id: each.name for each in client.read_deployments(limit=_MOST)}
            runs = client.read_flow_runs(
                flow_run_filter=scheduled,
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=_MOST,
            )
    except (httpx.HTTPError, RuntimeError):
        return None
    soonest: dict[str, datetime] = {}
    for run in runs:
        name = names.get(run.deployment_id) if run.deployment_id is not None else None
        if name is not None and run.expected_start_time is not None:
            soonest.setdefault(name, run.expected_start_time)
    return tuple(NextRun(deployment=name, when=when) for name, when in soonest.items())
