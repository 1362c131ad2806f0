from pathlib import Path

import pytest

from digitline.report import data
from digitline.report.index import Champion, note_champions, rebuild_index
from tests.digitline.report import samples


@pytest.fixture(scope="module")
def reports() -> tuple[data.RetrainReport, data.ScoreReport]:
    return samples.retrain()[0], samples.score()[0]


def put(place: Path, report: data.RetrainReport | data.ScoreReport, run: str) -> None:
    moved = report.model_copy(update={"run": report.run.model_copy(update={"id": run})})
    (place / run).mkdir()
    (place / run / "metrics.json").write_text(moved.model_dump_json())


def test_runs_are_listed_newest_first(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    for number in (9, 10, 2):
        put(tmp_path, reports[0], f"retrain-{number}")
        put(tmp_path, reports[1], f"score-{number}")
    html = rebuild_index(tmp_path).read_text()
    listed = html[html.index('id="retrainings"') :]
    for kind in ("retrain", "score"):
        places = [listed.index(f'./{kind}-{number}/report.html"') for number in (10, 9, 2)]
        assert places == sorted(places)


def test_the_last_promoted_model_is_named_whatever_came_after(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    put(tmp_path, reports[0], "retrain-0001")
    held = data.Decision(verdict="hold", sentence="Not better.")
    worse = data.Version(version="20260103-bad", error=0.5)
    put(tmp_path, reports[0].model_copy(update={"decision": held, "model": worse}), "retrain-0002")
    html = rebuild_index(tmp_path).read_text()
    assert "<h1>20260102-0a1b2c: 4.00\N{NO-BREAK SPACE}% error;" in html
    assert "Held back" in html


def test_after_a_rollback_the_champion_is_the_one_before(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    for number, version in ((1, "m0001"), (2, "m0002")):
        model = data.Version(version=version, error=number / 100)
        put(tmp_path, reports[0].model_copy(update={"model": model}), f"retrain-000{number}")
    changes = [("m0001", "promote", ""), ("m0002", "promote", ""), ("m0001", "rollback", "<b>")]
    entries = [
        Champion(version=version, action=action, reason=why, when="2026-01-02", run="r")
        for version, action, why in changes
    ]
    html = note_champions(tmp_path, entries).read_text()
    assert "<h1>m0001: 1.00\N{NO-BREAK SPACE}% error;" in html
    listed = html[html.index('id="champions"') : html.index('id="scorings"')]
    assert listed.index("rollback") < listed.index("m0002")
    assert "&lt;b&gt;" in listed
    assert rebuild_index(tmp_path).read_text() == html
    (tmp_path / "champions.json").write_text("{")
    assert "champions.json" in rebuild_index(tmp_path).read_text()


def test_a_broken_run_is_listed_as_unreadable(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    put(tmp_path, reports[1], "score-0001")
    contents = {"score-0002": "{", "score-0003": '{"kind": "retrain"}', "<b>-0004": "\0"}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(content)
    (tmp_path / "score-0005").mkdir()
    html = rebuild_index(tmp_path).read_text()
    unreadable = html[html.index('id="unreadable"') :]
    assert "score-0002" in unreadable
    assert "score-0003" in unreadable
    assert "score-0005" in unreadable
    assert "&lt;b&gt;-0004" in unreadable
    assert "score-0001" not in unreadable
    assert "./score-0001/report.html" in html


def test_metrics_that_claim_another_run_are_unreadable(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    put(tmp_path, reports[1], "score-0001")
    (tmp_path / "score-0001").rename(tmp_path / "score-0002")
    html = rebuild_index(tmp_path).read_text()
    assert "score-0002" in html[html.index('id="unreadable"') :]


def test_no_runs_yet_is_a_page_too(tmp_path: Path) -> None:
    html = rebuild_index(tmp_path / "reports").read_text()
    assert "No model yet" in html


def test_a_thousand_runs_fit(
    tmp_path: Path, reports: tuple[data.RetrainReport, data.ScoreReport]
) -> None:
    for number in range(500):
        put(tmp_path, reports[0], f"retrain-{number:04}")
        put(tmp_path, reports[1], f"score-{number:04}")
    html = rebuild_index(tmp_path).read_text()
    assert html.count("/report.html") >= 1000
    assert len(html) < 1_000_000
    assert rebuild_index(tmp_path).read_text() == html
