"""A process that scores shards until it is told to stop, or whoever started it is gone."""

import os
import resource
from collections.abc import MutableSequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

import cv2
import pyarrow as pa
from threadpoolctl import threadpool_limits

from digitline.dependants import depend_on_parent
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.scoring.reader import Mark
from digitline.scoring.results import ScoredShard
from digitline.scoring.shard import Scorer, Task

OUT_OF_MEMORY: Final = 3


class ShardScorer(Protocol):
    """Whatever scores a shard."""

    def score_shard(self, task: Task, mark: Mark) -> ScoredShard:
        """Score a shard and commit its two files."""


@dataclass(frozen=True)
class Duty:
    """What a worker is to score with, and how many bytes of memory the images may take."""

    registry: Registry
    version: str
    threshold: float
    limits: Limits
    memory: int

    def scorer(self) -> ShardScorer:
        """Load the model; raises as `Registry.load` does."""
        return Scorer(self.registry.load(self.version, lean=True), self.threshold, self.limits)


@dataclass(frozen=True)
class Place:
    """What a worker is doing, in memory shared with whoever watches over it.

    `cells` holds the places (first, one after the last) of the images in its hands, -1 where
    there is none, and how far in the listing it has come.
    """

    cells: MutableSequence[int]

    def mark(self, first: int, after: int) -> None:
        """Take images in hand."""
        self.cells[0], self.cells[1] = first, after
        self.cells[2] = max(self.cells[2], first)

    def clear(self) -> None:
        """Have nothing in hand, and nothing done."""
        self.cells[0], self.cells[1], self.cells[2] = -1, -1, 0

    @property
    def in_hand(self) -> tuple[int, int]:
        """Say which images are in its hands."""
        return self.cells[0], self.cells[1]

    @property
    def reached(self) -> int:
        """Say how far in the listing it has come."""
        return self.cells[2]


def work(connection: Connection, place: Place, duty: Duty) -> None:
    """Answer each task with its shard, or with the exception that kept us from it."""
    _prepare(duty.memory)
    scorer = _load(duty)
    with suppress(EOFError):  # nobody is there to send more
        while True:
            task = connection.recv()
            place.clear()
            connection.send(_do(task, scorer, place))


def _load(duty: Duty) -> ShardScorer | Exception:
    try:
        return duty.scorer()
    except Exception as error:  # noqa: BLE001 - told to the process that can tell a person
        return error


def _do(task: Task, scorer: ShardScorer | Exception, place: Place) -> ScoredShard | Exception:
    if isinstance(scorer, Exception):
        return scorer
    try:
        return scorer.score_shard(task, place.mark)
    except MemoryError:  # what is left cannot be trusted to hold another image
        os._exit(OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - told to the process that can tell a person
        return error


def _prepare(memory: int) -> None:
    depend_on_parent()
    limit = _memory_taken() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    # Should memory run out, the kernel ends us, who can be replaced, before the coordinator.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    # One thread each: the processes are as many as the cores, and the last bits of a sum
    # depend on the number of threads.
    threadpool_limits(1)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def _memory_taken() -> int:
    """Give the bytes of private memory that the libraries take before the first image."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux, where the limit is not kept either
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData")), 0)
