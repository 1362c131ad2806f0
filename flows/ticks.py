"""What the service does at its times: each job a flow that is skipped, tried or put off.

A tick asks its job's memory first. It is skipped where another run has caught up since its time,
where its job failed lately and pauses, or where the job is being done by somebody else. A failure
is remembered, and told once it has lasted; a job that has no tick soon is tried again on its own.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Crashed, Failed, Scheduled

from digitline.commit import locked
from digitline.errors import BusyError, DigitlineError, NoModelError
from digitline.holdings import delete_unneeded
from digitline.keeping.inbox import fingerprint
from digitline.keeping.inventory import take_inventory
from digitline.keeping.memory import Memory, read_memory, write_memory
from digitline.keeping.prune import prune
from digitline.keeping.retention import plan
from digitline.keeping.unattended import INBOX_JOB
from digitline.models.registry import Registry
from digitline.provenance import digest_of
from digitline.report.index import rebuild_index
from digitline.scoring.job import read_last
from digitline.settings import Settings, load_settings
from flows.events import Crashed as CrashedRun
from flows.events import Failing, emit
from flows.monitor import monitor
from flows.retrain import retrain
from flows.score import score

if TYPE_CHECKING:
    from prefect.flows import Flow

_log = logging.getLogger("digitline")
_PREFIX = "scheduled-"


@dataclass(frozen=True)
class Done:
    """What a try came to: the state's `name` and a `sentence`; `what` tells it from the next."""

    name: str
    sentence: str
    what: str = ""


_Work = Callable[[Settings, Memory], Done]


def bury(flow: "Flow[..., Any]", flow_run: FlowRun, state: "State[Any]") -> None:
    """Note that a run's process has ended before it did, and plan another try."""
    job, run = flow.name.removeprefix(_PREFIX), flow_run
    settings = load_settings()
    home = settings.places
    failed = read_memory(home.service, job).fail(
        f"the run {run.name} crashed: {state.message}", _now(), settings.service.longest_pause
    )
    write_memory(home.service, job, failed)
    close_children(run, f"{run.name} crashed")
    plan_retry(run, failed)
    emit("digitline.run.crashed", f"job.{job}", CrashedRun(run=run.name, sentence=failed.error))


@flow(name=f"{_PREFIX}retrain", persist_result=False, on_crashed=[bury])
def retrain_on_schedule() -> "State[Any]":
    """Retrain on the sources that the setting `service.sources` names.

    Ends as `Unchanged` in seconds where the data, the recipe and the code are the champion's.
    """
    return _tend("retrain", _retrain, retried=True)


@flow(name=f"{_PREFIX}inbox", persist_result=False, on_crashed=[bury])
def score_inbox() -> "State[Any]":
    """Score what is new in the folder, or beneath the address, that `service.inbox` names.

    The images stay where they are. Ends as `Unchanged` at once where neither the folder nor the
    champion has changed.
    """
    return _tend(INBOX_JOB, _score, retried=False)


@flow(name=f"{_PREFIX}upkeep", persist_result=False, on_crashed=[bury])
def keep_up() -> "State[Any]":
    """Delete what is old and not needed, and write the index over all reports anew."""
    return _tend("upkeep", _keep_up, retried=True)


@flow(name=f"{_PREFIX}monitor", persist_result=False, on_crashed=[bury])
def watch_drift() -> "State[Any]":
    """Look back over the last scorings of the inbox, and tell whether their images drift."""
    return _tend("monitor", _monitor, retried=True)


def close_children(run: FlowRun, why: str) -> None:
    """Mark the runs that a dead run had begun as crashed: nobody else ever will."""
    with get_client(sync_client=True) as client:
        children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
        for child in client.read_flow_runs(flow_run_filter=children):
            if child.state is not None and not child.state.is_final():
                client.set_flow_run_state(child.id, Crashed(message=why), force=True)


def plan_retry(run: FlowRun, memory: Memory) -> None:
    """Plan another run of the same deployment for when the pause is over."""
    if run.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            run.deployment_id, state=Scheduled(scheduled_time=memory.again or _now())
        )


def _retrain(settings: Settings, _: Memory) -> Done:
    done = retrain(settings.service.sources)
    told = f"{done.version}, {done.error:.2%} test error; {done.report}"
    return Done(done.verdict.capitalize(), told, done.version)


def _score(settings: Settings, memory: Memory) -> Done:
    there = fingerprint(settings.inbox)
    if not there:
        return Done("Skipped", f"the inbox is empty: {settings.inbox}")
    what = digest_of({"there": there, **_basis(settings)})
    if what == memory.done:
        return Done("Unchanged", "nothing new in the inbox", what)
    scored = score(str(settings.inbox), job=INBOX_JOB)
    return Done("Scored", f"{scored.counts}; {scored.changes}; {scored.report}", what)


def _monitor(settings: Settings, _: Memory) -> Done:
    if read_last(settings.places.jobs, INBOX_JOB) is None:
        return Done("Skipped", "nothing in the inbox has been scored yet")
    done = monitor(INBOX_JOB)
    return Done(done.drift.verdict.capitalize(), f"{done.drift.sentence} {done.report}")


def _basis(settings: Settings) -> dict[str, Any]:
    """Give all that the answers rest on, besides the images."""
    shaping = {"threshold", "max_error", "certainty", "decoding", "bulk"}
    champion = Registry(settings.places.models, settings.places.keys).champion()
    return {"model": champion, "settings": settings.model_dump(mode="json", include=shaping)}


def _keep_up(settings: Settings, _: Memory) -> Done:
    home = settings.places
    pruned = prune(plan(take_inventory(home), settings.retention, _now()), home)
    rebuild_index(home.reports)
    if home.remote is not None:
        delete_unneeded(home.remote, settings.retention.unfinished)
    freed = pruned.size / 1e6
    return Done("Completed", f"{len(pruned.gone)} old things have gone, {freed:,.1f} MB are free")


def _tend(job: str, work: _Work, *, retried: bool) -> "State[Any]":
    settings = load_settings()
    home = settings.places
    home.prepare()
    scheduled = runtime.flow_run.scheduled_start_time or _now()
    try:
        with locked(home.lock(f"service-{job}"), job):
            memory = read_memory(home.service, job)
            why = memory.why_not(scheduled, _now())
            return _skip(why) if why else _try(job, work, settings, memory, retried=retried)
    except BusyError as error:
        return _skip(str(error))


def _try(
    job: str, work: _Work, settings: Settings, before: Memory, *, retried: bool
) -> "State[Any]":
    home = settings.places
    memory = before.try_at(_now())
    write_memory(home.service, job, memory)
    try:
        done = work(settings, memory)
    except (BusyError, NoModelError) as error:  # somebody is at it, or there is nothing to do yet
        write_memory(home.service, job, memory.leave())
        return _skip(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and tried again
        return _fail(job, error, settings, memory, retried=retried)
    write_memory(home.service, job, memory.succeed(done.what))
    if memory.told:
        _tell_recovery(job, memory)
    return Completed(name=done.name, message=done.sentence)


def _fail(
    job: str, error: Exception, settings: Settings, memory: Memory, *, retried: bool
) -> "State[Any]":
    """Remember a failure; the run itself fails only where that is news."""
    home = settings.places
    words = str(error) if isinstance(error, DigitlineError) else f"{type(error).__name__}: {error}"
    failed = memory.fail(words, _now(), settings.service.longest_pause)
    news = failed.is_news(settings.service.patience)
    write_memory(home.service, job, failed.tell() if news else failed)
    _log.warning("%s failed %d times in a row: %s", job, failed.failures, words)
    if retried and runtime.deployment.id:
        with get_client(sync_client=True) as client:
            plan_retry(client.read_flow_run(runtime.flow_run.id), failed)
    if not news:
        return Completed(name="Failing", message=f"failure {failed.failures} in a row: {words}")
    sentence = f"The job {job} has failed {failed.failures} times in a row: {words}"
    emit(
        "digitline.job.failing",
        f"job.{job}",
        Failing(job=job, failures=failed.failures, sentence=sentence),
    )
    return Failed(message=sentence)


def _tell_recovery(job: str, memory: Memory) -> None:
    sentence = f"The job {job} does well again, after {memory.failures} failures in a row."
    emit(
        "digitline.job.recovered",
        f"job.{job}",
        Failing(job=job, failures=memory.failures, sentence=sentence),
    )


def _skip(why: str) -> "State[Any]":
    _log.info("  skipped    %s", why)
    return Completed(name="Skipped", message=why)


def _now() -> datetime:
    return datetime.now(UTC)
