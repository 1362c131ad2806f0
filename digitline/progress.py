"""Progress of long stages: a bar with the time left on a terminal, plain lines elsewhere.

Whoever else wants to know can watch.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_log = logging.getLogger("digitline")
_SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Say that `steps` more are done, with a few words about the last."""

    def __call__(self, steps: int, words: str) -> None: ...  # noqa: D102 - the class says it


Watch: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]


_watches: ContextVar[tuple[Watch, ...]] = ContextVar("watches", default=())


@contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """Have `watch` entered, too, with title and total of every stage in the block."""
    token = _watches.set((*_watches.get(), watch))
    try:
        yield
    finally:
        _watches.reset(token)


@contextmanager
def showing(title: str, total: int) -> Iterator[Advance]:
    """Show how far a stage of `total` steps has come while the block runs."""
    with ExitStack() as stack:
        told = [stack.enter_context(each(title, total)) for each in (_shown, *_watches.get())]

        def advance(steps: int, words: str) -> None:
            for tell in told:
                tell(steps, words)

        yield advance


@contextmanager
def _shown(title: str, total: int) -> Iterator[Advance]:
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(title, total=total, words="")
            yield lambda steps, words: bar.update(task, advance=steps, words=words)
    else:
        yield _Lines(title, total)


class _Lines:
    """A line every few seconds, and one at the end."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()

    def __call__(self, steps: int, words: str) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_LINES and self._done < self._total:
            return
        self._told = now
        left = (now - self._began) / self._done * (self._total - self._done)
        parts = (f"{self._done:,} of {self._total:,}", words, f"{left:.0f} s left")
        _log.info("  %-10s %s", self._title, ", ".join(filter(None, parts)))


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
