"""What Prefect's pages show of a run, and that none of it costs a run."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.runtime import flow_run

from digitline.judging.verdict import Rule
from digitline.progress import showing, watched_by
from digitline.report.covers import Cover
from flows import artifacts
from flows.artifacts import plain, show_progress, show_run

pytestmark = pytest.mark.usefixtures("prefect_server")

HOSTILE = "![x](http://example.com/x.png) <b>|"


@flow
def told(page: Path) -> str:
    """Show a run whose words come from outside, and a stage of four steps."""
    rule = Rule(name="floor", passed=True, observed="98 %", needed="at least 90 %", sentence="")
    cover = Cover("data:image/webp;base64,UklGRg==", "Mistakes")
    show_run("Promoted: 1 % error", HOSTILE, [{"digit": 3, "F1": "0.9"}], page, cover, [rule])
    with watched_by(show_progress), showing("learn", 4) as advance:
        for step in range(4):
            advance(1, f"epoch {step + 1}")
            time.sleep(0.05)
    return str(flow_run.get_id())


def made_by(run: str) -> dict[str, Artifact]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return {artifact.key or "": artifact for artifact in found}


@pytest.fixture(scope="module")
def shown(
    prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, Artifact]]]:
    del prefect_server
    page = tmp_path_factory.mktemp("home") / "reports (new)" / "retrain-0001" / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "_SECONDS_BETWEEN_UPDATES", 0.02)
        yield page, made_by(told(page))


def test_a_run_shows_verdict_numbers_picture_and_report(
    shown: tuple[Path, dict[str, Artifact]],
) -> None:
    page, found = shown
    kinds = {"verdict": "markdown", "metrics": "table", "picture": "image", "report": "markdown"}
    assert {key: found[key].type for key in kinds} == kinds
    verdict = str(found["verdict"].data)
    assert verdict.startswith("## Promoted\\: 1 % error")
    assert "| floor | ✓ | 98 % | at least 90 % |" in verdict
    assert '"F1": "0.9"' in str(found["metrics"].data)
    assert found["picture"].data == "data:image/webp;base64,UklGRg=="
    address = page.as_uri().replace("(", "%28").replace(")", "%29")
    assert f"]({address})" in str(found["report"].data)


def test_words_from_outside_are_words(shown: tuple[Path, dict[str, Artifact]]) -> None:
    _, found = shown
    assert "![" not in str(found["verdict"].data)
    assert plain("a_b [c](d)") == r"a\_b \[c\]\(d\)"


def test_a_stage_shows_how_far_it_has_come(shown: tuple[Path, dict[str, Artifact]]) -> None:
    _, found = shown
    assert found["learn"].type == "progress"
    assert found["learn"].data == 100
    assert found["learn"].description == "4 of 4, epoch 4"


def test_a_stage_that_fails_is_left_where_it_was() -> None:
    @flow
    def failing() -> str:
        with suppress(ValueError), show_progress("stop", 4) as advance:
            advance(1, "")
            raise ValueError
        return str(flow_run.get_id())

    assert made_by(failing())["stop"].data == 25


def test_what_cannot_be_shown_costs_a_line_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr(artifacts, "create_markdown_artifact", fail)
    monkeypatch.setattr(artifacts, "create_progress_artifact", fail)
    with caplog.at_level(logging.WARNING, logger="digitline"):
        show_run("Read", "", [], tmp_path)
        with watched_by(show_progress), showing("read", 2) as advance:
            advance(2, "")
    assert caplog.text.count("no server") == 2
