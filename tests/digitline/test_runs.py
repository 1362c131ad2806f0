from pathlib import Path

import pytest

from digitline.commit import Manifest, drafting, write_manifest
from digitline.errors import DataError, StorageError
from digitline.home import Home
from digitline.runs import claim, number, open_run

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def finish(directory: Path) -> None:
    write_manifest(directory, Manifest(kind="test", shards=()))


def test_runs_are_numbered_in_order(home: Home) -> None:
    first = open_run(home, "score", "a", NOW)
    finish(first.directory)
    second = open_run(home, "score", "a", NOW)
    assert (first.id, second.id) == ("score-0001", "score-0002")
    assert not second.resumed


def test_jobs_are_numbered_apart(home: Home) -> None:
    assert open_run(home, "score", "a", NOW).id == "score-0001"
    assert open_run(home, "retrain", "a", NOW).id == "retrain-0001"


def test_unfinished_run_with_the_same_plan_is_taken_up(home: Home) -> None:
    begun = open_run(home, "score", "a", NOW)
    again = open_run(home, "score", "a", "later")
    assert again.resumed
    assert (again.id, again.started) == (begun.id, NOW)


def test_unfinished_run_with_another_plan_is_left_alone(home: Home) -> None:
    open_run(home, "score", "a", NOW)
    assert open_run(home, "score", "b", NOW).id == "score-0002"


def test_number_is_not_used_again_while_its_report_is_there(home: Home) -> None:
    (home.reports / "score-0041").mkdir(parents=True)
    assert open_run(home, "score", "a", NOW).id == "score-0042"


def test_complete_results_are_never_gone_on_with(home: Home, tmp_path: Path) -> None:
    """What lies there may be of other images, however often the command is given again."""
    out = tmp_path / "out"
    first = open_run(home, "score", "a", NOW)
    claim(out, first, "a")
    claim(out, first, "a")
    finish(out)
    finish(first.directory)
    for _ in range(2):
        again = open_run(home, "score", "a", NOW)
        assert not again.resumed
        with pytest.raises(StorageError, match="are here, complete"):
            claim(out, again, "a")


def test_half_the_results_of_another_run_are_not_gone_on_with(home: Home, tmp_path: Path) -> None:
    first = open_run(home, "score", "a", NOW)
    claim(tmp_path / "out", first, "a")
    finish(first.directory)
    with pytest.raises(StorageError, match="not empty"):
        claim(tmp_path / "out", open_run(home, "score", "a", NOW), "a")


def test_what_a_run_left_that_was_killed_at_its_beginning_is_cleared_away(
    home: Home, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".plan.json.0123456789ab").write_text("{")
    (out / ".notes").touch()
    claim(out, open_run(home, "score", "a", NOW), "a")
    assert {path.name for path in out.iterdir()} == {".notes", "plan.json"}


def test_a_draft_that_is_being_written_is_left_alone(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with drafting(out):
        (out / ".plan.json.0123456789ab").write_text("{")
        claim(out, open_run(home, "score", "a", NOW), "a")
        assert (out / ".plan.json.0123456789ab").exists()


def test_broken_plan_is_named(home: Home) -> None:
    begun = open_run(home, "score", "a", NOW)
    (begun.directory / "plan.json").write_text("{")
    with pytest.raises(DataError, match=r"plan\.json"):
        open_run(home, "score", "a", NOW)


def test_what_is_no_run_id_is_refused() -> None:
    assert number("retrain-0007") == 7
    with pytest.raises(DataError):
        number("retrain-7a")
