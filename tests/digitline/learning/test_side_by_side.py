import os
import signal
import threading
import time
from threading import Event

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from digitline.learning.side_by_side import Stopped, one_at_a_time, side_by_side


def wait_for(stop: Event) -> int:
    if stop.wait(30):
        raise Stopped
    return 0


def test_results_come_in_order() -> None:
    def later_the_sooner(number: int, _stop: Event) -> int:
        time.sleep(0.05 * (3 - number))
        return number

    assert side_by_side(later_the_sooner, 3) == [0, 1, 2]


def test_a_failure_stops_the_others_and_is_raised() -> None:
    def fail_last(number: int, stop: Event) -> int:
        if number == 1:
            raise ValueError("broken")
        return wait_for(stop)

    with pytest.raises(ValueError, match="broken"):
        side_by_side(fail_last, 2)
    assert not [one for one in threading.enumerate() if one.name.startswith("training")]


def test_ctrl_c_stops_all() -> None:
    def interrupt(number: int, stop: Event) -> int:
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return wait_for(stop)

    # A shell's background jobs begin with Ctrl-C ignored, and tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side(interrupt, 2)
    finally:
        signal.signal(signal.SIGINT, before)


def test_several_leave_each_other_a_core() -> None:
    def count(_number: int, _stop: Event) -> int:
        blas = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
        return max(int(pool["num_threads"]) for pool in blas)

    with threadpool_limits(2):
        assert side_by_side(count, 1) == [2]
        assert side_by_side(count, 2) == [1, 1]


def test_calls_from_threads_do_not_overlap() -> None:
    inside: list[int] = []

    def enter(number: int) -> None:
        inside.append(number)
        time.sleep(0.01)
        assert inside == [number]
        inside.clear()

    tell = one_at_a_time(enter)

    def call(number: int, _stop: Event) -> None:
        for _ in range(5):
            tell(number)

    side_by_side(call, 4)
