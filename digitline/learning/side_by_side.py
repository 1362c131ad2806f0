"""Trainings side by side: each on a core of its own, stopped together.

Two networks on a core each are trained in little more time than one whose every matrix product
is shared out between two cores: the products of a mini-batch are too small for that.
"""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from threading import Event, Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

Told = TypeVar("Told")
Made = TypeVar("Made")


class Stopped(Exception):  # noqa: N818 - it tells of no fault
    """A training ends because another one failed, or because somebody asked for it."""


def side_by_side(make: Callable[[int, Event], Made], count: int) -> list[Made]:
    """Give `make(number, stop)` for each number below `count`, as many at once as there are cores.

    It is to look at `stop` often and to raise `Stopped` once that is set, which happens when
    another one fails or Ctrl-C is pressed.
    """
    workers = min(count, os.cpu_count() or 1)
    stop = Event()
    # A single one may use all cores for its matrix products.
    threads = nullcontext() if count == 1 else threadpool_limits(1, user_api="blas")
    with threads, ThreadPoolExecutor(workers, thread_name_prefix="training") as pool:
        futures = [pool.submit(copy_context().run, make, number, stop) for number in range(count)]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()
        return [future.result() for future in futures]


def one_at_a_time(call: Callable[[Told], None]) -> Callable[[Told], None]:
    """Let threads wait for each other to make a call."""
    lock = Lock()

    def locked(told: Told) -> None:
        with lock:
            call(told)

    return locked
