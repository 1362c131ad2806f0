"""A scoring that is killed, again and again, and what it leaves behind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from digitline.commit import check_shards, locked, read_manifest
from digitline.errors import BusyError, SettingsError, TooManyErrorsError
from digitline.home import Home
from flows.score import score

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
SHARDS = 24
ROWS = 25
SCORE = """
import sys
from pathlib import Path
from flows.score import score

if __name__ == "__main__":
    score(sys.argv[1], out=Path(sys.argv[2]), threshold=0.9, workers=2)
"""


@pytest.fixture
def images(mnist: Mnist, tmp_path: Path) -> Path:
    """Give a folder of as many images as fill the shards, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        broken = number % 50 == 7
        (folder / f"{number:04d}.png").write_bytes(content[:60] if broken else content)
    return folder


@contextmanager
def scoring(images: Path, out: Path, script: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Score in a process group of its own, over the session's server."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to load

    script.write_text(SCORE)
    server = str(get_current_settings().api.url)
    command = [sys.executable, str(script), str(images), str(out)]
    environment = {
        **os.environ,
        "PREFECT_API_URL": server,
        "DIGITLINE_BULK__SHARD_ROWS": str(ROWS),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        yield process


def kill_at(moment: int, images: Path, out: Path, script: Path) -> None:
    """Kill the whole process group once that many files of results are there."""
    with scoring(images, out, script) as process:
        while process.poll() is None and len(list(out.glob("*-*.parquet"))) < moment:
            time.sleep(0.001)
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)


def files(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.glob("*.parquet")}


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home) -> Home:
    """Give a home of this test's own, with a champion in it."""
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


def test_a_scoring_killed_at_any_moment_ends_with_the_same_bytes(
    images: Path, tmp_path: Path
) -> None:
    script = tmp_path / "score_images.py"
    with scoring(images, tmp_path / "undisturbed", script) as process:
        assert process.wait() == 0
    moments = sorted(np.random.default_rng().integers(0, 2 * SHARDS, 2).tolist())
    for moment in [*moments, 2 * SHARDS]:
        kill_at(moment, images, tmp_path / "killed", script)
    (tmp_path / "killed" / ".predictions-00003.parquet.0123456789ab").write_bytes(b"half a file")
    (tmp_path / "killed" / "errors-00002.parquet").unlink(missing_ok=True)
    (tmp_path / "killed" / "predictions-00001.parquet").write_bytes(b"a disk that lost its memory")
    with scoring(images, tmp_path / "killed", script) as process:
        assert process.wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed"), moments
    killed, undisturbed = (read_manifest(tmp_path / name) for name in ("killed", "undisturbed"))
    assert killed is not None
    assert undisturbed is not None
    assert killed.shards == undisturbed.shards
    assert len(killed.shards) == 2 * SHARDS
    assert killed.facts["counts"]["error"] == SHARDS * ROWS / 50
    check_shards(tmp_path / "killed", killed)
    assert not list((tmp_path / "killed").glob(".pred*")) + list(
        (tmp_path / "killed").glob(".err*")
    )


def predictions(results: Path) -> dict[str, dict[str, object]]:
    rows = [
        row
        for path in sorted(results.glob("predictions-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def test_a_job_scores_only_what_is_new_or_changed(images: Path, mnist: Mnist) -> None:
    contents = mnist[0]
    first = score(str(images), threshold=0.9, job="mail")
    assert first.changes == "600 new, 0 changed, 0 unchanged"
    (images / "0000.png").write_bytes(contents[1000])
    (images / "0001.png").unlink()
    (images / "aa.png").write_bytes(contents[1001])
    (images / "0002.png").rename(images / "moved.png")
    second = score(str(images), threshold=0.9, job="mail")
    assert second.changes == "2 new, 1 changed, 597 unchanged"
    before, after = predictions(first.results), predictions(second.results)
    assert after.keys() == before.keys() - {"0001.png", "0002.png"} | {"aa.png", "moved.png"}
    for name in after.keys() & before.keys() - {"0000.png"}:
        assert after[name] == before[name]
    assert after["moved.png"] == {**before["0002.png"], "path": "moved.png"}
    fresh = score(str(images), threshold=0.9)
    for name, row in predictions(fresh.results).items():
        assert (after[name]["id"], after[name]["digit"]) == (row["id"], row["digit"])
        assert after[name]["confidence"] == pytest.approx(row["confidence"], abs=1e-5)
    assert second.counts == fresh.counts


def test_a_job_takes_over_no_answer_of_other_settings(images: Path) -> None:
    score(str(images), threshold=0.9, job="mail")
    second = score(str(images), threshold=1.0, job="mail")
    assert second.counts.accept < 300
    third = score(str(images), threshold=1.0, job="mail", since="never")
    assert third.changes == "0 new, 0 changed, 600 unchanged"
    assert third.counts == second.counts


def test_a_job_runs_once_at_a_time(images: Path, trained: Home) -> None:
    with locked(trained.lock("job-mail"), "mail"), pytest.raises(BusyError):
        score(str(images), threshold=0.9, job="mail")
    with pytest.raises(SettingsError, match="cannot be called"):
        score(str(images), threshold=0.9, job="../mail")


def test_too_many_errors_are_told_after_all_is_written(images: Path, tmp_path: Path) -> None:
    assert score(str(images), threshold=0.9, error_threshold="2%").counts.error == 12
    out = tmp_path / "out"
    with pytest.raises(TooManyErrorsError, match="12 of 600"):
        score(str(images), out=out, threshold=0.9, error_threshold="11")
    manifest = read_manifest(out)
    assert manifest is not None
    check_shards(out, manifest)


def test_results_come_as_csv_joined_with_the_lists_own_columns(
    images: Path, tmp_path: Path
) -> None:
    (images / "=1+2.png").write_bytes((images / "0000.png").read_bytes())
    listed = images / "list.csv"
    names = ["0007.png", "=1+2.png", "0001.png", "gone.png"]
    lines = "".join(f"{name},{'@' * row}{row}\n" for row, name in enumerate(names))
    listed.write_text(f"file,customer\n{lines}")
    out = tmp_path / "out"
    score(str(listed), out=out, threshold=0.9, kind="csv", join=True)
    with (out / "joined.csv").open(newline="") as file:
        joined = list(csv.DictReader(file))
    assert [row["file"] for row in joined] == ["0007.png", "'=1+2.png", "0001.png", "gone.png"]
    assert [row["customer"] for row in joined] == ["0", "'@1", "'@@2", "'@@@3"]
    assert [row["reason"] for row in joined] == ["truncated", "", "", "vanished"]
    assert joined[0]["status"] == "error"
    known = predictions(out)
    assert joined[2]["digit"] == str(known["0001.png"]["digit"])
    with (out / "predictions.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["'=1+2.png", "0001.png"]
    score(str(listed), out=tmp_path / "lines", threshold=0.9, kind="jsonl", join=True)
    with (tmp_path / "lines" / "joined.jsonl").open() as text:
        assert [json.loads(line)["file"] for line in text] == names
    manifest = read_manifest(tmp_path / "lines")
    assert manifest is not None
    check_shards(tmp_path / "lines", manifest)
