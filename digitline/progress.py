"""Progress of long stages: a bar with the time left on a terminal, plain lines elsewhere."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_log = logging.getLogger("digitline")
_SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Say that `steps` more are done, with a few words about the last."""

    def __call__(self, steps: int, words: str) -> None: ...  # noqa: D102 - the class says it


@contextmanager
def showing(title: str, total: int) -> Iterator[Advance]:
    """Show how far a stage of `total` steps has come while the block runs."""
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
