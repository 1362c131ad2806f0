"""Worker processes that score shards, watched over: an image that ends one costs an error row.

Pillow holds the interpreter's lock, so images are read in processes. They are started by a
server that was forked before any thread began, as forking a process with threads is not safe.
"""

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Final, Self

from digitline.errors import StorageError
from digitline.progress import Advance
from digitline.scoring.reader import Care
from digitline.scoring.results import ScoredShard
from digitline.scoring.shard import Task
from digitline.scoring.worker import OUT_OF_MEMORY, Duty, Place, work

_LOOK_EVERY: Final = 0.2
# An image is not guilty at once: the process may have been ended for something else.
_CHANCES: Final = 2
_IDLE_DEATHS: Final = 3
_NOTHING: Final = (-1, -1)


def warm_up() -> None:
    """Let the server that workers are forked from begin to load what they need, and go on."""
    # Arrow loads pandas at the first array it makes: half a second, here once for all workers.
    forkserver.set_forkserver_preload([work.__module__, "pandas"])
    forkserver.ensure_running()


class WorkerError(StorageError):
    """The processes that read images end again and again, and no image is to blame."""


class Crew:
    """Some worker processes; any thread may have a shard scored by the next that is free."""

    def __init__(self, duty: Duty, size: int, patience: float, advance: Advance) -> None:
        """Have `size` workers, started when needed, that get `patience` seconds for an image."""
        warm_up()
        context = get_context("forkserver")
        self._members = [_Member(context, duty, patience) for _ in range(size)]
        self._free: queue.SimpleQueue[_Member | None] = queue.SimpleQueue()
        for member in self._members:
            self._free.put(member)
        self._pace = _Pace(advance)
        self._ending = False

    def __enter__(self) -> Self:
        """Use it in a `with` block: the processes end with it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End with the block."""
        self.end()

    def end(self) -> None:
        """End the processes, at work or not; who waits for one is told."""
        self._ending = True
        self._free.put(None)
        for member in self._members:
            member.end()

    def score(self, task: Task) -> ScoredShard:
        """Have a shard scored; wait for a free worker first.

        Raises what the worker raised, `WorkerError` where workers end for no image's fault.
        """
        member = self._free.get()
        if member is None:
            self._free.put(None)  # for the next that waits
            raise ending()
        try:
            return self._see_through(member, task)
        finally:
            self._free.put(member)

    def skip(self, images: int) -> None:
        """Count images that were scored by an earlier process."""
        self._pace.count(images)

    def _see_through(self, member: "_Member", task: Task) -> ScoredShard:
        inquest, progress = _Inquest(), _Progress(task.start, self._pace)
        while True:
            try:
                shard = member.do(task.with_care(inquest.care), progress)
            except _DeathError as death:
                if self._ending:
                    raise ending() from death
                inquest.hear(death)
            else:
                progress.reach(task.stop)
                return shard


def ending() -> WorkerError:
    """Tell that whoever asked for a shard does not want it any more."""
    return WorkerError("the run is ending", todo="The same command takes it up again")


class _DeathError(Exception):
    """A worker has ended with images in its hands (first, one after the last), or with none."""

    def __init__(self, in_hand: tuple[int, int], how: str) -> None:
        super().__init__(in_hand, how)
        self.in_hand = in_hand
        self.how = how


@dataclass
class _Inquest:
    """What the deaths over one shard teach about its images."""

    care: Care = field(default_factory=Care)
    deaths: Counter[tuple[int, int]] = field(default_factory=Counter)

    def hear(self, death: _DeathError) -> None:
        first, after = death.in_hand
        self.deaths[death.in_hand] += 1
        if death.in_hand == _NOTHING:
            if self.deaths[_NOTHING] == _IDLE_DEATHS:
                raise WorkerError(
                    f"the processes that read images keep ending ({death.how})",
                    todo="Use fewer --workers, or see whether memory runs out",
                )
        elif after - first > 1:
            self.care = Care(self.care.guilty, (*self.care.alone, death.in_hand))
        elif self.deaths[death.in_hand] == _CHANCES:
            guilty = self.care.guilty | {first: f"reading it {death.how}"}
            self.care = Care(guilty, self.care.alone)


class _Pace:
    """Count images done by all workers, and say how many a second."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._done = 0

    def count(self, images: int) -> None:
        with self._lock:
            self._done += images
            rate = self._done / max(time.monotonic() - self._began, 1e-3)
            self._advance(images, f"{rate:,.0f} images/s")


class _Progress:
    """How far one shard has come; a shard begun again counts from where it was before."""

    def __init__(self, start: int, pace: _Pace) -> None:
        self._reached = start
        self._pace = pace

    def reach(self, place: int) -> None:
        if place > self._reached:
            self._pace.count(place - self._reached)
            self._reached = place


class _Member:
    """One worker process, begun anew when it has ended."""

    def __init__(self, context: ForkServerContext, duty: Duty, patience: float) -> None:
        self._context = context
        self._duty = duty
        self._patience = patience
        self._place = Place(context.RawArray("q", 3))
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._ended = False

    def do(self, task: Task, progress: _Progress) -> ScoredShard:
        """Have a task done; `_DeathError` where the process ends over it."""
        process, connection = self._begin()
        self._place.clear()
        try:
            connection.send(task)
            self._watch(process, connection, progress)
            answer = connection.recv()
        except (EOFError, OSError):
            in_hand = self._place.in_hand
            process.join()
            self._forget()
            raise _DeathError(in_hand, _explain(process.exitcode)) from None
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, ScoredShard)
        return answer

    def end(self) -> None:
        """End the process for good."""
        with self._lock:
            self._ended = True
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _forget(self) -> None:
        """Let go of a process that is of no use any more."""
        with self._lock:
            self._kill()
            if self._connection is not None:
                self._connection.close()
            self._process = self._connection = None

    def _begin(self) -> tuple[BaseProcess, Connection]:
        with self._lock:
            if self._ended:
                raise ending()
            if self._process is None or self._connection is None:
                self._connection, self._process = self._start()
            return self._process, self._connection

    def _start(self) -> tuple[Connection, BaseProcess]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, self._place, self._duty), daemon=True
        )
        try:
            process.start()
        except (EOFError, OSError):  # the server it is forked from was ended
            ours.close()
            raise _DeathError(_NOTHING, "could not be started") from None
        finally:
            theirs.close()
        return ours, process

    def _watch(self, process: BaseProcess, connection: Connection, progress: _Progress) -> None:
        """Wait for an answer or the end; end a process that is too long over one image."""
        moved, before = time.monotonic(), _NOTHING
        while not wait([connection, process.sentinel], _LOOK_EVERY):
            progress.reach(self._place.reached)
            in_hand = self._place.in_hand
            if in_hand != before or in_hand == _NOTHING:
                moved, before = time.monotonic(), in_hand
            elif time.monotonic() - moved > self._patience:
                in_hand = self._place.in_hand
                self._forget()
                raise _DeathError(in_hand, f"took more than {self._patience:g} seconds")


def _explain(code: int | None) -> str:
    if code == OUT_OF_MEMORY:
        return "took more memory than it may"
    return "ended its process" if code is None or code >= 0 else f"ended by signal {-code}"
