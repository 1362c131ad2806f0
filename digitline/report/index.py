"""The list of all runs, made from their `metrics.json` alone: nothing is lost if it is deleted."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import quote

from pydantic import Field, TypeAdapter, ValidationError

from digitline.commit import storage_errors, write_bytes
from digitline.judging.verdict import Kind
from digitline.names import portable
from digitline.report import charts
from digitline.report.data import Earlier, Facts, ReadPoint, Run, Version
from digitline.report.pages import METRICS_NAME, REPORT_NAME, render_page

INDEX_NAME = "index.html"
CHAMPIONS_NAME = "champions.json"
_MOST_CHAMPIONS = 100
_MOST_MONITORINGS = 20
_FEWEST_DRAWN = 2
_NEWEST = 30  # of each kind are in sight, the others a click away


class Champion(Facts):
    """One change of the champion: `version` is the champion from `when` on."""

    version: str
    action: str
    reason: str
    when: str
    run: str


_CHAMPIONS: TypeAdapter[tuple[Champion, ...]] = TypeAdapter(tuple[Champion, ...])


class Outcome(Facts):
    """What the index needs of a decision."""

    verdict: Kind


class Reading(Facts):
    """What the index needs of the judgement."""

    error: float
    chosen: ReadPoint


class Retraining(Facts):
    """What the index needs of a retrain report."""

    kind: Literal["retrain"]
    run: Run
    decision: Outcome
    model: Version | None = None
    judged: Reading | None = None

    @property
    def link(self) -> str:
        """Where its page is, from the index."""
        return _link(self.run)

    @property
    def crowned(self) -> bool:
        """Whether its model became the champion."""
        return self.decision.verdict in {"bootstrap", "promote"}


class Found(Facts):
    """What the index needs of a verdict on drift."""

    verdict: str
    sentence: str


class Scoring(Facts):
    """What the index needs of a score report."""

    kind: Literal["score"]
    run: Run
    model: Version
    source: str
    job: str = ""
    n_in: int
    accept: int
    review: int
    error: int
    drift: Found | None = None

    @property
    def link(self) -> str:
        """Where its page is, from the index."""
        return _link(self.run)


class Monitoring(Facts):
    """What the index needs of a look back over scorings."""

    kind: Literal["monitor"]
    run: Run
    job: str = ""
    scorings: tuple[str, ...]
    drift: Found

    @property
    def link(self) -> str:
        """Where its page is, from the index."""
        return _link(self.run)


Glance: TypeAlias = Retraining | Scoring | Monitoring
_GLANCE: TypeAdapter[Glance] = TypeAdapter(Annotated[Glance, Field(discriminator="kind")])


def rebuild_index(reports: Path) -> Path:
    """Write `index.html` over all runs beneath `reports`; give its path.

    Raises `StorageError` where the place cannot be read or written.
    """
    page = _render_index(reports).encode()
    write_bytes(reports / INDEX_NAME, page + _digest_of(page))
    return reports / INDEX_NAME


def is_whole(index: bytes) -> bool:
    """Say whether an index is as it was written: it ends with its own digest."""
    end = len(_digest_of(b""))
    return index[-end:] == _digest_of(index[:-end])


def _digest_of(page: bytes) -> bytes:
    return f"<!-- sha256 {sha256(page).hexdigest()} -->\n".encode()


def _render_index(reports: Path) -> str:
    """Render the page, newest first; a run whose metrics are broken is listed as unreadable."""
    retrainings: list[Retraining] = []
    scorings: list[Scoring] = []
    monitorings: list[Monitoring] = []
    unreadable: list[str] = []
    for directory in _runs(reports):
        glance = _glance(directory / METRICS_NAME)
        if isinstance(glance, Retraining):
            retrainings.append(glance)
        elif isinstance(glance, Scoring):
            scorings.append(glance)
        elif isinstance(glance, Monitoring):
            monitorings.append(glance)
        else:
            unreadable.append(portable(directory.name))
    champions = _champions(reports)
    if champions is None:
        unreadable.append(CHAMPIONS_NAME)
    return _page(retrainings, scorings, monitorings, unreadable, champions or ())


def note_champions(reports: Path, history: Iterable[object]) -> Path:
    """Write down every change of the champion, oldest first, and show it in the index.

    `history` are the entries of the champion's pointer, which remains what counts.
    """
    write_bytes(reports / CHAMPIONS_NAME, list_champions(history))
    return rebuild_index(reports)


def list_champions(history: Iterable[object]) -> bytes:
    """Give what is noted of a champion's history, as `note_champions` writes it."""
    champions = tuple(Champion.model_validate(entry) for entry in history)
    return _CHAMPIONS.dump_json(champions, indent=1)


def earlier_scorings(reports: Path, source: str, job: str, most: int) -> list[Earlier]:
    """Give the last scorings of the same source, oldest first; of the same job where it has one."""
    same: list[Earlier] = []
    for directory in _runs(reports):
        glance = _glance(directory / METRICS_NAME)
        if isinstance(glance, Scoring) and (glance.source, glance.job) == (source, job):
            same.append(Earlier.model_validate(glance))
        if len(same) == most:
            break
    return same[::-1]


def _link(run: Run) -> str:
    return f"./{quote(run.id, safe='')}/{REPORT_NAME}"


def _runs(reports: Path) -> list[Path]:
    """List the runs' directories, the highest number first."""
    with storage_errors(reports):
        reports.mkdir(parents=True, exist_ok=True)
        directories = [
            path for path in reports.iterdir() if path.is_dir() and not path.name.startswith(".")
        ]
    return sorted(directories, key=_number, reverse=True)


def _number(directory: Path) -> tuple[int, str]:
    digits = re.search(r"(\d{1,18})$", directory.name, re.ASCII)
    return (int(digits[1]) if digits else -1, directory.name)


def _glance(path: Path) -> Glance | None:
    try:
        glance = _GLANCE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # shown as unreadable
    return glance if glance.run.id == path.parent.name else None


def _champions(reports: Path) -> tuple[Champion, ...] | None:
    """Read the champions, oldest first; `None` where what was noted cannot be understood."""
    try:
        return _CHAMPIONS.validate_json((reports / CHAMPIONS_NAME).read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError:
        return None  # shown as unreadable


def _crowned(retrainings: list[Retraining], champions: tuple[Champion, ...]) -> Retraining | None:
    """Find the retraining that made the champion; only `champions` know of rollbacks."""
    for run in retrainings:
        if champions and run.model is not None and run.model.version == champions[-1].version:
            return run
    return next((run for run in retrainings if run.crowned), None)


def _page(
    retrainings: list[Retraining],
    scorings: list[Scoring],
    monitorings: list[Monitoring],
    unreadable: list[str],
    champions: tuple[Champion, ...],
) -> str:
    judged = [run.judged for run in reversed(retrainings) if run.judged is not None]
    crowned = _crowned(retrainings, champions)
    return render_page(
        "index.html.j2",
        champion=None if crowned is None else crowned.model,
        champion_run=crowned,
        history=None
        if len(judged) < _FEWEST_DRAWN
        else charts.history(
            [item.error for item in judged], [item.chosen.read_rate for item in judged]
        ),
        newest=_NEWEST,
        retrainings=retrainings,
        scorings=scorings,
        monitorings=monitorings[:_MOST_MONITORINGS],
        unreadable=unreadable,
        champions=champions[: -_MOST_CHAMPIONS - 1 : -1],
    )
