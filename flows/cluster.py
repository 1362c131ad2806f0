"""Scoring on a Dask cluster: its workers found fit for it, and a crew posted at each."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dask
from distributed import Client, KilledWorker
from distributed.client import FutureCancelledError
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_dask.task_runners import DaskTaskRunner

from digitline.errors import IncompatibleError, OrchestrationError
from digitline.provenance import digest_of
from digitline.scoring.bulk import Bulk
from digitline.scoring.outpost import Outpost, Posting
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from digitline.sources.listing import read_listing
from flows.background import answers

_PATIENCE: Final = 30  # seconds for a scheduler to answer, and for a first worker to be there
# A scheduler that loads our code on a busy machine does not listen meanwhile, but is not dead.
_TIMEOUTS: Final = {"distributed.comm.timeouts.tcp": "5m"}


@contextmanager
def posted(
    tasks: Sequence[Task], duty: Duty, bulk: Bulk
) -> Iterator[tuple[DaskTaskRunner, Posting]]:
    """Have a crew at every worker of the cluster while the block runs.

    Raises `OrchestrationError` where scheduler, workers or Prefect's server cannot be reached,
    and as `Outpost.check` where a worker does not fit.
    """
    # Dask tells at length of workers that come and go; what matters is told by our errors.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    name = f"digitline-{digest_of({'out': str(tasks[0].out)})[:12]}"
    outpost = Outpost(name, duty, bulk.patience, _needs(tasks[0]))
    with (
        dask.config.set(_TIMEOUTS),
        _running(bulk, len(tasks)) as runner,
        _reporting_to(_api(), runner.client),
    ):
        _post(runner.client, outpost)
        posting = Posting(name)
        try:
            for fault in filter(None, runner.client.run(posting.find_fault).values()):
                raise fault
            yield runner, posting
        except KilledWorker as error:
            raise OrchestrationError(
                "Dask's workers keep ending over the same shard",
                todo="See whether memory runs out on their machines",
            ) from error
        except FutureCancelledError as error:
            raise OrchestrationError(
                "the Dask scheduler has gone",
                where=bulk.address,
                todo="Start it, and its workers; the same command takes the run up again",
            ) from error
        finally:
            if runner.client.status == "running":
                runner.client.unregister_worker_plugin(name)  # type: ignore[no-untyped-call]  # Dask's own


@contextmanager
def _running(bulk: Bulk, shards: int) -> Iterator[DaskTaskRunner]:
    """Reach the scheduler, or start a cluster of a thread a process on this machine."""
    cluster = {
        "n_workers": min(bulk.processes, shards),
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",  # its own port, for this machine alone
        "silence_logs": logging.CRITICAL,
    }
    runner = DaskTaskRunner(
        address=bulk.address or None,
        cluster_kwargs=None if bulk.address else cluster,
        client_kwargs={"timeout": _PATIENCE},
    )
    with runner:
        _await_worker(_connect(runner), bulk.address)
        yield runner


def _connect(runner: DaskTaskRunner) -> Client:
    try:
        return runner.client
    except OSError as error:
        raise OrchestrationError(
            "the Dask scheduler cannot be reached",
            where=runner.address,
            todo="Start it with `dask scheduler`, or correct the address",
        ) from error


def _await_worker(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise OrchestrationError(
            "the Dask scheduler has no worker",
            where=address,
            todo=f"Start some with `dask worker {address}`",
        ) from error


def _post(client: Client, outpost: Outpost) -> None:
    try:
        client.register_plugin(outpost, outpost.name)
    except ImportError as error:
        raise IncompatibleError(
            f"a Dask worker cannot load Digitline ({error})",
            todo="Install the same Digitline and requirements.lock on every worker",
        ) from error


@contextmanager
def _reporting_to(api: str, client: Client) -> Iterator[None]:
    """Let tasks report to the server that we use; the embedded one is in no setting."""
    for worker, heard in client.run(answers, api).items():
        if not heard:
            raise OrchestrationError(
                f"Prefect's server cannot be reached from the Dask worker {worker}",
                where=api,
                todo="Start one for others with `server.host` set and `digitline server start`",
            )
    with temporary_settings({PREFECT_API_URL: api}):
        yield


def _api() -> str:
    with get_client(sync_client=True) as client:
        return str(client.api_url).rstrip("/")


def _needs(task: Task) -> list[Path]:
    """Name what a worker must see: the listing, the results, and the first image of all."""
    images = [entry.path for entry in read_listing(task.listing, 0, 1) if entry.location]
    return [path for path in (task.listing, task.out, *images) if path.exists()]
