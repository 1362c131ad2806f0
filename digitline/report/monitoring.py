"""The page of a look back over recent scorings: one verdict on drift, and what it rests on."""

from pathlib import Path
from typing import Literal

from digitline.judging.drift import Drift
from digitline.report.data import Facts, Name, Run, Version
from digitline.report.index import rebuild_index
from digitline.report.pages import commit_page, render_page


class MonitorReport(Facts):
    """Whether the images of some scorings look as usual, and which scorings those are."""

    kind: Literal["monitor"] = "monitor"
    format: Literal[1] = 1
    run: Run
    model: Version
    job: Name = ""
    scorings: tuple[str, ...]
    drift: Drift


def write_monitor(reports: Path, report: MonitorReport) -> Path:
    """Write the page, its metrics and the index of all runs; give the page's path."""
    directory = reports / report.run.id
    page = render_page("monitor.html.j2", report=report)
    written = commit_page(directory, report, page)
    rebuild_index(reports)
    return written
