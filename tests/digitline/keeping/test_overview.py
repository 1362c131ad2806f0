"""How things stand, told from files alone."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from digitline.home import Home
from digitline.keeping.glance import look_at_runs
from digitline.keeping.memory import Memory, write_memory
from digitline.keeping.overview import survey
from digitline.runs import Plan, write_plan
from digitline.scoring.job import LastRun, write_last
from digitline.sources.listing import list_images, write_listing

DRIFT = '{"verdict": "shifted", "sentence": "The ink is bluer."}'


@pytest.fixture
def used(home: Home, reader: Home) -> Home:
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    for number, drift in ((1, "null"), (2, DRIFT), (3, "null")):
        began = f"2026-01-0{number}T12:00:00+00:00"
        write_plan(home.runs / f"score-000{number}", Plan(key="", started=began))
        report = home.reports / f"score-000{number}"
        report.mkdir(parents=True)
        (report / "report.html").touch()
        (report / "metrics.json").write_text(
            f'{{"kind": "score", "run": {{"id": "x", "when": "{began}", "seconds": 2}}, '
            f'"model": {{"version": "m0001"}}, "n_in": 1500, "accept": 1400, "review": 90, '
            f'"error": 10, "drift": {drift}}}'
        )
    return home


def fill(inbox: Path, *names: str) -> None:
    inbox.mkdir(exist_ok=True)
    for name in names:
        (inbox / name).write_bytes(b"an image")


def test_a_time_that_is_none_hides_no_run(used: Home) -> None:
    write_plan(used.runs / "score-0003", Plan(key="", started="2026-01-03T12:"))
    metrics = used.reports / "score-0002" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("2026-01-02T", "soon"))
    assert [run.id for run in look_at_runs(used)] == ["score-0003", "score-0002", "score-0001"]


def test_runs_are_listed_newest_first_with_what_they_came_to(used: Home) -> None:
    (used.reports / "score-0001" / "metrics.json").write_text("damaged")
    third, second, first = look_at_runs(used)
    assert [run.id for run in (third, second, first)] == ["score-0003", "score-0002", "score-0001"]
    assert third.outcome == "1,500 images: 1,400 accept, 90 review, 10 error"
    assert first.outcome == ""
    assert third.state == "unfinished"
    assert third.report == used.reports / "score-0003" / "report.html"


def test_runs_of_a_job_are_in_order_of_number_whatever_the_clock_said(used: Home) -> None:
    write_plan(used.runs / "retrain-0001", Plan(key="", started="2026-01-02T13:00:00+00:00"))
    write_plan(used.runs / "score-0002", Plan(key="", started="2025-12-31T12:00:00+00:00"))
    listed = [run.id for run in look_at_runs(used)]
    assert listed == ["score-0003", "retrain-0001", "score-0002", "score-0001"]


def test_overview_tells_of_champion_drift_and_trouble(used: Home, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    memory = Memory().fail("no such folder", now, 60).fail("no such folder", now, 60)
    write_memory(used.service, "inbox", memory)
    seen = survey(used, tmp_path / "none", "inbox")
    assert seen.champion is not None
    assert (seen.champion.version, seen.champion.error) == ("m0001", 0.1)
    assert seen.drift is not None
    assert (seen.drift.verdict, seen.drift_run) == ("shifted", "score-0002")
    assert [(each.job, each.failures) for each in seen.trouble] == [("inbox", 2)]
    assert not seen.inbox.there
    assert seen.disk.used["models"] > 0


def test_inbox_counts_what_is_new_or_changed_since_the_last_run(used: Home, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    fill(inbox, "a.png", "b.png", "c.png", "list.csv")
    assert survey(used, inbox, "inbox").inbox.waiting == 3
    results = used.runs / "score-0003"
    write_listing(results / "listing.parquet", list_images(str(inbox), "1"))
    write_last(used.data / "jobs", "inbox", LastRun(run="score-0003", results=results, basis=""))
    assert survey(used, inbox, "inbox").inbox.waiting == 0
    fill(inbox, "d.png")
    later = (results / "listing.parquet").stat().st_mtime + 5
    os.utime(inbox / "a.png", (later, later))
    seen = survey(used, inbox, "inbox").inbox
    assert (seen.images, seen.waiting) == (4, 2)


def test_a_home_without_anything_is_told_of_without_an_error(home: Home, tmp_path: Path) -> None:
    seen = survey(home, tmp_path, "inbox")
    assert seen.champion is None
    assert "digitline retrain" in seen.fault
    assert seen.runs == ()


def test_memory_lets_one_run_catch_up_and_pauses_longer_from_failure_to_failure() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    late = [noon - timedelta(minutes=5 * number) for number in range(12)]
    memory = Memory()
    ran = []
    for scheduled in late:
        if not memory.why_not(scheduled, noon):
            memory = memory.try_at(noon)
            ran.append(scheduled)
    assert ran == [noon]
    assert not memory.why_not(noon + timedelta(minutes=5), noon + timedelta(minutes=5))
    pauses = []
    for _ in range(12):
        memory = memory.fail("unreachable", noon, 6 * 3600)
        assert memory.again is not None
        pauses.append((memory.again - noon).total_seconds())
    assert pauses[:4] == [0, 600, 1200, 2400]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 6 * 3600
    assert "unreachable" in memory.why_not(noon + timedelta(hours=5), noon + timedelta(hours=5))
    assert memory.succeed("x").why_not(noon + timedelta(hours=5), noon + timedelta(hours=5)) == ""


def test_somebody_is_told_once_of_an_error_and_again_of_another() -> None:
    now = datetime.now(UTC)
    memory, told = Memory(), []
    for error in ["gone"] * 9 + ["full"] * 4 + [""] + ["gone"] * 5:
        memory = memory.fail(error, now, 60) if error else memory.succeed("")
        if memory.is_news(patience=3):
            told.append(error)
            memory = memory.tell()
    assert told == ["gone", "full", "gone"]
