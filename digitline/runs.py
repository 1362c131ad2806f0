"""Runs: numbered, each with a directory, found again when they were cut off.

A run's order is its number, never the clock. A run that was killed is taken up again when the
same work is asked for: its plan, committed first, says what that work was.
"""

import re
import secrets
import shutil
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from digitline.commit import (
    MANIFEST_NAME,
    locked,
    storage_errors,
    sweep_drafts,
    undisturbed,
    write_bytes,
)
from digitline.errors import DataError, StorageError
from digitline.home import Home
from digitline.mirror import reserve
from digitline.records import RecordError, from_bytes, to_bytes

PLAN_NAME = "plan.json"
_ID = re.compile(r"(?P<job>[a-z]+)-(?P<number>\d{4,})")


class Plan(BaseModel):
    """What a run was asked to do: a digest over its inputs, and when it began.

    The `token` is this run's alone, whatever machine others run on. Where its results lie
    elsewhere, a copy there names the `run` as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    started: str
    run: str = ""
    token: str = Field(default_factory=lambda: secrets.token_hex(16))


class Run(BaseModel):
    """One execution of a flow: its id (`retrain-0007`), directory and ISO start time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    directory: Path
    started: str
    resumed: bool


def now() -> str:
    """Give the time, as runs and models note it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_run(home: Home, job: str, key: str, when: str) -> Run:
    """Take up the unfinished run of `job` with that key, or begin a new one.

    Raises `BusyError` where another process begins a run at this moment.
    """
    with locked(home.lock("runs"), "the run list"):
        unfinished = find_unfinished(home, job, key)
        if unfinished is not None:
            return unfinished
        numbers = [number(path.name) for path in (*_runs(home, job), *_reports(home, job))]
        following = (f"{job}-{number:04d}" for number in count(max(numbers, default=0) + 1))
        name = next(name for name in following if reserve(home, name))
        directory = home.runs / name
        write_plan(directory, Plan(key=key, started=when))
        return Run(id=name, directory=directory, started=when, resumed=False)


def claim(directory: Path, run: Run, key: str) -> None:
    """Make `directory` the place of a run's results.

    Raises `StorageError` where it holds anything else than what this run left there, for what
    another run answered may be of other images; a run that had not begun yet is then forgotten.
    """
    with storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        held = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    ours = read_plan(run).model_copy(update={"run": run.id})
    found = _read_plan(directory / PLAN_NAME)
    if found is None and not held:
        with undisturbed(directory) as free:
            if free:  # a run that was killed here had not got so far as to have a plan
                sweep_drafts(directory / PLAN_NAME)
        write_plan(directory, ours)
    elif found != ours:
        if not run.resumed:
            shutil.rmtree(run.directory)
        # A run that was killed at its very end has left nothing to be taken up.
        same = found is not None and found.key == key and MANIFEST_NAME in held
        raise StorageError(
            "the results of this command are here, complete"
            if same
            else "the directory is not empty",
            where=directory,
            todo="Read them, or choose another directory" if same else "Choose another directory",
        )


def write_plan(directory: Path, plan: Plan) -> None:
    """Commit what a run in this directory is to do."""
    write_bytes(directory / PLAN_NAME, to_bytes(plan))


def read_plan(run: Run) -> Plan:
    """Read what a run is to do; `DataError` where it cannot be understood."""
    plan = _read_plan(run.directory / PLAN_NAME)
    assert plan is not None
    return plan


def check_plan(directory: Path) -> None:
    """Raise `DataError` where the plan of a run, if there is one in its directory, is damaged."""
    _read_plan(directory / PLAN_NAME)


def find_unfinished(home: Home, job: str, key: str) -> Run | None:
    """Find the newest run of `job` with that key that has not been committed."""
    for directory in sorted(_runs(home, job), key=lambda path: number(path.name), reverse=True):
        if (directory / MANIFEST_NAME).exists():
            continue
        plan = _read_plan(directory / PLAN_NAME)
        if plan is not None and plan.key == key:
            return Run(id=directory.name, directory=directory, started=plan.started, resumed=True)
    return None


def finished(home: Home, job: str) -> list[Path]:
    """List the directories of the runs of `job` that were committed, oldest first."""
    done = [path for path in _runs(home, job) if (path / MANIFEST_NAME).exists()]
    return sorted(done, key=lambda path: number(path.name))


def number(run_id: str) -> int:
    """Give the number of a run id; `DataError` where it is none."""
    match = _ID.fullmatch(run_id)
    if match is None:
        raise DataError("not a run", where=run_id, todo="Runs are named like `retrain-0007`")
    return int(match["number"])


def _runs(home: Home, job: str) -> list[Path]:
    return [path for path in home.runs.glob(f"{job}-*") if _ID.fullmatch(path.name)]


def _reports(home: Home, job: str) -> list[Path]:
    return [path for path in home.reports.glob(f"{job}-*") if _ID.fullmatch(path.name)]


def _read_plan(path: Path) -> Plan | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # killed before its plan was committed: nothing was begun
        return None
    try:
        return from_bytes(content, Plan)
    except RecordError as error:
        raise DataError(f"a run's plan {error}", where=path, todo="Remove its directory") from error
