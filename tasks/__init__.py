"""One stage of work a file: reads, calls the trade, writes, returns a small record."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

P = ParamSpec("P")
R = TypeVar("R")


def stage(
    run_name: str | None = None,
    *,
    tags: tuple[str, ...] = (),
    retries: int = 0,
    retry_on: tuple[type[Exception], ...] = (),
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task of ours, tried again with back-off on errors that may pass.

    The committed files say what is done, not Prefect's state, which cannot see that a file is
    gone; and a pickled result in the home would be code waiting to run. So neither is kept. For the
    sake of tags, Prefect asks its server for a limit before and after a task: a scoring has none.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(
            function,
            task_run_name=run_name,
            tags=tags,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=retries,
            retry_delay_seconds=exponential_backoff(2) if retries else 0,
            retry_condition_fn=lambda _task, _run, state: _is_passing(state, retry_on),
        )

    return decorate


def _is_passing(state: State[object], passing: tuple[type[Exception], ...]) -> bool:
    return isinstance(state.result(raise_on_failure=False), passing)
