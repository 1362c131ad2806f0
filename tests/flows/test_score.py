"""Scorings of named jobs, with too many errors, to other formats; `tests/torture` kills them."""

import csv
import json
import shutil
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


@pytest.fixture
def images(mnist: Mnist, tmp_path: Path) -> Path:
    """Give a folder of as many images as fill the shards, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        broken = number % 50 == 7
        (folder / f"{number:04d}.png").write_bytes(content[:60] if broken else content)
    return folder


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home) -> Home:
    """Give a home of this test's own, with a champion in it."""
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


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
