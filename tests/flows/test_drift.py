"""Scorings of a job: compared with its first runs, and told of when they differ."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from digitline.commit import read_manifest
from digitline.home import Home
from digitline.judging.census import Census
from digitline.records import from_bytes
from digitline.report.data import REPORT, ScoreReport
from digitline.scoring.usual import Usual
from flows import references
from flows.events import DriftFound
from flows.monitor import monitor
from flows.score import Scored, score

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]


@pytest.fixture
def told(home: Home, reader: Home, monkeypatch: pytest.MonkeyPatch) -> list[DriftFound]:
    """Give a home with a champion, and whatever its runs tell of drift."""
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    heard: list[DriftFound] = []
    monkeypatch.setattr(references, "tell_drift", lambda _, found: heard.append(found))
    return heard


def negative(content: bytes) -> bytes:
    buffer = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(content))).save(buffer, "PNG")
    return buffer.getvalue()


def scored(folder: Path, contents: list[bytes]) -> Scored:
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{folder.name}-{number:03d}.png").write_bytes(content)
    return score(str(folder), threshold=0.9, workers=1, job="forms")


def reported(done: Scored) -> ScoreReport:
    report = REPORT.validate_json(done.report.with_name("metrics.json").read_bytes())
    assert isinstance(report, ScoreReport)
    return report


def test_a_job_is_compared_with_its_first_runs(
    told: list[DriftFound], home: Home, mnist: Mnist, tmp_path: Path
) -> None:
    first = scored(tmp_path / "first", mnist[0][:210])
    assert first.drift.verdict == "unknown"
    assert "m0001" in first.drift.sentence
    second = scored(tmp_path / "second", mnist[0][300:420])
    assert second.drift.verdict == "same"
    assert not told
    third = scored(tmp_path / "third", [negative(content) for content in mnist[0][500:580]])
    assert third.drift.verdict == "rescan"
    (found,) = told
    assert (found.run, found.verdict) == ("score-0003", "rescan")
    assert found.reference == "what is usual for forms"

    report = reported(third)
    assert report.drift is not None
    assert report.drift.ruling is not None
    assert [change.measure for change in report.drift.ruling.changes] == ["polarity"]
    (shown,) = report.drift.evidence
    assert len(shown.unusual) == 6
    assert all(name.startswith("third-") for name in shown.unusual)
    assert report.expected is not None
    assert report.expected.images == 80
    assert "The pictures changed" in third.report.read_text()

    usual = from_bytes((home.jobs / "usual" / "forms.json").read_bytes(), Usual)
    assert usual.census.images == 330
    back = monitor("forms")
    assert back.scorings == ("score-0003", "score-0002", "score-0001")
    assert (back.drift.verdict, back.drift.census.images) == ("rescan", 410)
    assert [told_of.run for told_of in told] == ["score-0003", "monitor-0001"]
    assert "monitor-0001" in (home.reports / "index.html").read_text()
    assert "What was looked at" in back.report.read_text()

    manifest = read_manifest(second.results)
    assert manifest is not None
    assert Census.model_validate(manifest.facts["census"]).images == 120
