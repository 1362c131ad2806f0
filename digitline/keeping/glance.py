"""Runs at a glance: what their plans, manifests and `metrics.json` say, newest first."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from digitline.home import Home

_RUN = re.compile(r"(?P<job>[a-z]+)-(?P<number>\d{4,})")
_METRICS, _REPORT, _PLAN, _MANIFEST = "metrics.json", "report.html", "plan.json", "_MANIFEST.json"

State: TypeAlias = Literal["done", "unfinished"]


class _Loose(BaseModel):
    """What we read of a file that says more."""

    model_config = ConfigDict(frozen=True)


class _When(_Loose):
    when: AwareDatetime
    seconds: float


class _Decision(_Loose):
    verdict: str
    sentence: str


class _Model(_Loose):
    version: str
    error: float | None = None


class Drift(_Loose):
    """What a run found about its images, beside those the model was made from."""

    verdict: str
    sentence: str


class _Metrics(_Loose):
    run: _When
    decision: _Decision | None = None
    model: _Model | None = None
    source: str = ""
    n_in: int | None = None
    accept: int = 0
    review: int = 0
    error: int = 0
    drift: Drift | None = None


class _Plan(_Loose):
    started: AwareDatetime


_Record = TypeVar("_Record", bound=BaseModel)


class Glance(BaseModel):
    """One run: when it began, what it came to in a line, and where its report lies."""

    model_config = ConfigDict(frozen=True)

    id: str
    job: str
    state: State
    began: datetime | None = None
    seconds: float | None = None
    outcome: str = ""
    model: str = ""
    report: Path | None = None
    drift: Drift | None = None


def look_at_runs(home: Home) -> Iterator[Glance]:
    """Look at every run there is a trace of, the newest first.

    Runs of one job are in the order of their numbers, whatever the clock said; where those of
    others come in between, it says.
    """
    found = {
        path.name: match
        for directory in (home.runs, home.reports)
        if directory.is_dir()
        for path in directory.iterdir()
        if (match := _RUN.fullmatch(path.name)) is not None
    }
    jobs: dict[str, list[Glance]] = defaultdict(list)
    for name, match in sorted(found.items(), key=lambda each: -int(each[1]["number"])):
        jobs[match["job"]].append(_look(home, name, match))
    never = datetime.min.replace(tzinfo=UTC)
    return merge(*jobs.values(), key=lambda each: each.began or never, reverse=True)


def _look(home: Home, name: str, match: re.Match[str]) -> Glance:
    metrics = _read(home.reports / name / _METRICS, _Metrics)
    plan = _read(home.runs / name / _PLAN, _Plan)
    done = (home.runs / name / _MANIFEST).exists() or not (home.runs / name).exists()
    page = home.reports / name / _REPORT
    glance = Glance(
        id=name,
        job=match["job"],
        state="done" if done else "unfinished",
        began=_began(plan, metrics),
        report=page if page.exists() else None,
    )
    if metrics is None:
        return glance
    return glance.model_copy(
        update={
            "seconds": metrics.run.seconds,
            "outcome": _tell(metrics),
            "model": "" if metrics.model is None else metrics.model.version,
            "drift": metrics.drift,
        }
    )


def _tell(metrics: _Metrics) -> str:
    if metrics.decision is not None:
        error = None if metrics.model is None else metrics.model.error
        told = "" if error is None else f", {error:.2%} error"
        return f"{metrics.decision.verdict}{told}"
    if metrics.n_in is not None:
        return (
            f"{metrics.n_in:,} images: {metrics.accept:,} accept, {metrics.review:,} review, "
            f"{metrics.error:,} error"
        )
    return ""


def _began(plan: _Plan | None, metrics: _Metrics | None) -> datetime | None:
    if plan is not None:
        return plan.started
    return None if metrics is None else metrics.run.when


def _read(path: Path, kind: type[_Record]) -> _Record | None:
    """Read a record, `None` where there is none that can be understood: it is only a glance."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
