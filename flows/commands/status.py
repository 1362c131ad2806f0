"""`digitline status` and `digitline runs`: how things stand, read from files alone."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cyclopts import App

from digitline.names import printable
from flows.commands.shell import Switch, check_settings

if TYPE_CHECKING:
    from datetime import datetime

    from digitline.keeping.glance import Glance
    from digitline.keeping.overview import Overview
    from digitline.settings import Settings

status = App(name="status", help="See how things stand: champion, runs, inbox, drift, disk.")
runs = App(name="runs", help="List the runs, newest first, with their reports.")


@status.default
def show_status(*, json: Switch = False) -> None:
    """See how things stand: champion, runs, inbox, what waits for a person, drift, disk.

    Parameters
    ----------
    json
        Print it as JSON, for programs.
    """
    settings = check_settings()
    from digitline.keeping.overview import survey
    from digitline.keeping.unattended import INBOX_JOB

    overview = survey(settings.places, settings.inbox, INBOX_JOB)
    overview = _add_plans(overview, settings)
    if json:
        print(overview.model_dump_json(indent=2))
        return
    for name, value in _lines(overview):
        print(f"{name:<12}{printable(value)}")
    if overview.runs:
        print()
        _print_runs(overview.runs)


@runs.default
def list_runs(*, last: int = 20, job: str | None = None, json: Switch = False) -> None:
    """List the runs, newest first, with what they came to and where their reports lie.

    Parameters
    ----------
    last
        How many to list.
    job
        Only runs of one kind, such as retrain or score.
    json
        Print them as JSON, for programs.
    """
    settings = check_settings()
    from itertools import islice

    from pydantic import TypeAdapter

    from digitline.keeping.glance import Glance, look_at_runs

    found = (run for run in look_at_runs(settings.places) if job in {None, run.job})
    wanted = list(islice(found, max(0, last)))
    if json:
        print(TypeAdapter(list[Glance]).dump_json(wanted, indent=2).decode())
    elif not wanted:
        print("No runs yet. `digitline retrain` and `digitline score` make some.")
    else:
        _print_runs(wanted)
        reports = printable(str(settings.places.reports))
        print(f"A run's report is {reports}/RUN/report.html; {reports}/index.html leads to all.")


def _add_plans(overview: "Overview", settings: "Settings") -> "Overview":
    """Add what Prefect's server has planned, where one is running: only then is Prefect loaded."""
    from flows.background import find_server, show_url

    url = os.environ.get("PREFECT_API_URL") or find_server(settings.places)
    if not url:
        return overview
    from flows.orchestration import prepare
    from flows.plans import read_plans

    prepare(settings.places)
    plans = read_plans()
    shown = show_url(url)
    server = f"{shown} (cannot be reached)" if plans is None else shown
    return overview.model_copy(update={"server": server, "next_runs": plans or ()})


def _lines(overview: "Overview") -> Iterable[tuple[str, str]]:
    yield "Home", str(overview.home)
    champion = overview.champion
    if champion is None:
        yield "Champion", overview.fault
    else:
        reads = "" if champion.read_rate is None else f", reads {champion.read_rate:.1%}"
        since = f"since {_moment(champion.since)}, by {champion.run}"
        yield "Champion", f"{champion.version}: {champion.error:.2%} test error{reads}; {since}"
    for held in overview.held:
        yield "Held", f"{held.version}: {held.error:.2%} test error. {held.sentence}"
    inbox = overview.inbox
    yield (
        "Inbox",
        f"{inbox.waiting:,} of {inbox.images:,} images wait to be scored ({inbox.folder})"
        if inbox.there
        else inbox.fault,
    )
    if overview.drift is not None:
        drift = overview.drift
        yield "Drift", f"{drift.verdict}, by {overview.drift_run}. {drift.sentence}"
    for trouble in overview.trouble:
        yield "Trouble", f"{trouble.job} failed {trouble.failures} times: {trouble.error}"
    used = ", ".join(f"{_size(size)} {place}" for place, size in overview.disk.used.items())
    yield "Disk", f"{used}; {_size(overview.disk.free)} free"
    yield "Server", overview.server or "none running; `digitline server start` starts one"
    for plan in overview.next_runs:
        yield "Next", f"{_moment(plan.when)}  {plan.deployment}"


def _print_runs(found: "Iterable[Glance]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("run", "began", "took", "model", "outcome", box=box.SIMPLE_HEAD, pad_edge=False)
    for run in found:
        cells = [
            run.id,
            "" if run.began is None else _moment(run.began),
            "" if run.seconds is None else f"{run.seconds:,.0f} s",
            run.model,
            run.outcome or run.state,
        ]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


def _moment(when: "datetime") -> str:
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - as a thousand is
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
