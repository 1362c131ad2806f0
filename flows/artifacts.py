"""What Prefect's pages show of a run: the verdict, its numbers, a picture, its report, progress.

A run is never lost by it: what cannot be shown is told in one line.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from digitline.judging.verdict import Rule
from digitline.names import printable
from digitline.progress import Advance
from digitline.report.covers import Cover

_log = logging.getLogger("digitline")
_SECONDS_BETWEEN_UPDATES = 5.0
_LONGEST_GOODBYE = 10.0
# All that Markdown gives a meaning, so that no name on a page becomes a link or an image.
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&:@])")

Row = Mapping[str, str | int]


def show_run(
    headline: str,
    details: str,
    numbers: Sequence[Row],
    report: Path,
    cover: Cover | None = None,
    rules: Sequence[Rule] = (),
) -> None:
    """Show what a run came to: in words, in numbers, in a picture, and where its report lies."""
    with _at_no_risk():
        create_markdown_artifact(key="verdict", markdown=_tell(headline, details, rules))
        create_table_artifact(
            key="metrics", table=[dict(row) for row in numbers], description=plain(headline)
        )
        if cover is not None:
            create_image_artifact(cover.image, key="picture", description=plain(cover.words))
        create_link_artifact(
            _address(report),
            link_text="Report",
            key="report",
            description=f"Where the browser follows no link to a file: {plain(str(report))}",
        )


@contextmanager
def show_progress(title: str, total: int) -> Iterator[Advance]:
    """Show how far a stage has come, every few seconds."""
    teller = _Teller(title, total)
    # It runs as part of this run, and asks the same server.
    thread = Thread(target=copy_context().run, args=(teller.tell,), daemon=True)
    thread.start()
    try:
        yield teller
    finally:
        teller.over.set()
        thread.join(_LONGEST_GOODBYE)


def plain(text: str) -> str:
    """Give text as Markdown that shows just that."""
    return _MARKUP.sub(r"\\\1", printable(text))


class _Teller:
    """Tells Prefect how far a stage has come, in a thread: the stage never waits for that."""

    def __init__(self, title: str, total: int) -> None:
        self.over = Event()
        self._title = title
        self._total = total
        self._done = 0
        self._words = ""

    def __call__(self, steps: int, words: str) -> None:
        self._done += steps
        self._words = words

    def tell(self) -> None:
        """Tell every few seconds until it is over."""
        with _at_no_risk():
            artifact = create_progress_artifact(0.0, self._title, self._describe(0))
            assert isinstance(artifact, UUID)
            told, over = 0, False
            while not over:
                over = self.over.wait(_SECONDS_BETWEEN_UPDATES)
                done = self._done
                if done != told:
                    update_progress_artifact(
                        artifact, 100 * done / self._total, self._describe(done)
                    )
                    told = done

    def _describe(self, done: int) -> str:
        words = f", {self._words}" if self._words else ""
        return plain(f"{done:,} of {self._total:,}{words}")


@contextmanager
def _at_no_risk() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the run goes on, whatever is wrong with Prefect
        _log.warning("  artifact   Prefect's pages do not show all of this run: %s", error)


def _tell(headline: str, details: str, rules: Sequence[Rule]) -> str:
    parts = [f"## {plain(headline)}", plain(details)]
    if rules:
        rows = [
            f"| {plain(rule.name)} | {'✓' if rule.passed else '✗'} | {plain(rule.observed)} "
            f"| {plain(rule.needed)} |"
            for rule in rules
        ]
        parts.append(
            "\n".join(["| rule | | observed | needed |", "| --- | --- | --- | --- |", *rows])
        )
    return "\n\n".join(filter(None, parts))


def _address(file: Path) -> str:
    """Give a file's address, without what would end a Markdown link."""
    return file.as_uri().replace("(", "%28").replace(")", "%29")
