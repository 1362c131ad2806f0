"""A crew at a Dask worker: model and public key reach it once, however many shards it scores.

Dask hands a plugin to every worker, to those that join later too, and takes it back in the end.
"""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import current_process
from pathlib import Path
from typing import Final

from distributed import Worker, WorkerPlugin, get_worker

from digitline.errors import DigitlineError, IncompatibleError, StorageError
from digitline.models.parcel import Parcel
from digitline.provenance import code_digest, library_versions
from digitline.scoring.crew import Crew, ending
from digitline.scoring.results import ScoredShard
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty

# Should whoever sent us be killed, nobody takes us back; the processes then end by themselves.
_IDLE: Final = 60.0  # seconds


class Outpost(WorkerPlugin):
    """A crew that scores at a Dask worker: a process for each of its threads, begun when needed."""

    def __init__(self, name: str, duty: Duty, patience: float, needs: Sequence[Path]) -> None:
        """Pack what the `duty` takes; `needs` are the paths that a worker must see."""
        self.name = name
        self._duty = duty
        self._patience = patience
        self._needs = tuple(needs)
        self._parcel = Parcel.pack(duty.registry, duty.version)
        self._software = _software()

    def setup(self, worker: Worker) -> None:
        """Arrive at a worker."""
        self._address = worker.address
        self._place = Path(worker.local_directory) / self.name
        self._size = worker.state.nthreads
        self._lock = threading.Lock()
        self._crew: Crew | None = None
        self._at_work = 0
        self._timer: threading.Timer | None = None

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask calls it so
        """Leave a worker, and nothing behind."""
        with self._lock:
            self._stop_waiting()
            self._dismiss()
        shutil.rmtree(self._place, ignore_errors=True)

    def check(self) -> None:
        """Raise `IncompatibleError` or `StorageError` where this worker would answer otherwise."""
        for (name, wanted), found in zip(self._software.items(), _software().values(), strict=True):
            if found != wanted:
                raise IncompatibleError(
                    f"a Dask worker has {name} {found}, this machine {wanted}",
                    where=self._address,
                    todo="Install the same requirements.lock on every worker",
                )
        for path in self._needs:
            if not path.exists():
                raise StorageError(
                    f"a Dask worker ({self._address}) does not see",
                    where=path,
                    todo="Mount home, images and results on every worker, under the same paths",
                )

    def score(self, task: Task) -> ScoredShard:
        """Have a shard scored by the next free process; raises as `check` and `Crew.score` do."""
        crew = self._begin()
        try:
            return crew.score(task)
        finally:
            self._end()

    def _begin(self) -> Crew:
        with self._lock:
            self._stop_waiting()
            self._at_work += 1
            if self._crew is None:
                self._crew = self._muster()
            return self._crew

    def _end(self) -> None:
        with self._lock:
            self._at_work -= 1
            if self._at_work == 0:
                self._timer = threading.Timer(_IDLE, self._retire)
                self._timer.daemon = True
                self._timer.start()

    def _retire(self) -> None:
        with self._lock:
            if self._at_work == 0:
                self._dismiss()

    def _muster(self) -> Crew:
        self.check()
        # Dask's workers are daemons, which may have no children that outlive them: ours do not.
        current_process().daemon = False
        duty = replace(self._duty, registry=self._parcel.unpack(self._place))
        return Crew(duty, self._size, self._patience, _count_nothing)

    def _dismiss(self) -> None:
        if self._crew is not None:
            self._crew.end()
            self._crew = None

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Posting:
    """The crew at whichever Dask worker a task runs on: what a task carries in place of a model."""

    def __init__(self, name: str) -> None:
        """Name the outpost."""
        self.name = name

    def score(self, task: Task) -> ScoredShard:
        """Have a shard scored at this worker; raises as `Outpost.score` does."""
        outpost = get_worker().plugins.get(self.name)
        if not isinstance(outpost, Outpost):  # it has been taken back
            raise ending()
        return outpost.score(task)

    def skip(self, images: int) -> None:
        """Pass over images that were scored before: whoever sent the task counts them."""

    def find_fault(self, dask_worker: Worker) -> DigitlineError | None:
        """Give what `Outpost.check` raises at a worker, for Dask to run there."""
        outpost = dask_worker.plugins[self.name]
        assert isinstance(outpost, Outpost)
        try:
            outpost.check()
        except DigitlineError as error:
            return error
        return None


def _count_nothing(steps: int, words: str) -> None:
    """Leave the counting to whoever sees all workers."""


def _software() -> dict[str, str]:
    return {"the code": code_digest()[:12], **library_versions()}
