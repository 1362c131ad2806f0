"""A scoring of fields: what it writes, and that it is taken up again."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.commit import read_manifest
from digitline.errors import DataError
from digitline.home import Home
from digitline.pixels.normalise import NORMALISER
from digitline.rows import normalised_batch, normalised_schema, write_rows
from flows.score_fields import score_fields

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give a home of this test's own, with a champion in it, and small shards."""
    monkeypatch.setenv("DIGITLINE_BULK__SHARD_ROWS", "8")
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


@pytest.fixture
def meters(mnist: Mnist, tmp_path: Path) -> Path:
    """Give a CSV list of thirty pictures of two digits each, one broken, one gone."""
    folder = tmp_path / "meters"
    folder.mkdir()
    lines = ["file,street,previous"]
    for number in range(30):
        pair = [Image.open(io.BytesIO(mnist[0][2 * number + side])) for side in range(2)]
        row = np.pad(np.hstack([np.asarray(digit) for digit in pair]), 8)
        path = folder / f"{number:02d}.png"
        Image.fromarray(row).save(path)
        lines.append(f"meters/{path.name},Street {number},{number}")
    (folder / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "04.png").unlink()
    source = tmp_path / "meters.csv"
    source.write_text("\n".join(lines))
    return source


def test_fields_come_out_once_in_order_with_what_was_known(meters: Path, tmp_path: Path) -> None:
    done = score_fields(
        str(meters), out=tmp_path / "out", threshold=0.5, workers=2, kind="csv",
        join=True, length="1-2", previous=meters,
    )  # fmt: skip
    counts = done.counts
    assert (counts.n_in, counts.error) == (30, 2)
    assert counts.accept + counts.review == 28
    table = pq.read_table(sorted(done.results.glob("predictions-*.parquet")))
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    for row in rows:
        assert len(row["text"]) == row["digits"] <= 2
        assert bool(row["reason"]) == (row["status"] == "review")
        assert not row["text"] or int(row["text"]) >= int(row["path"][7:9])
    with (done.results / "joined.csv").open() as file:
        joined = list(csv.DictReader(file))
    assert len(joined) == 30
    assert joined[5]["street"] == "Street 5"
    assert {joined[3]["reason"], joined[4]["reason"]} == {"truncated", "vanished"}
    assert json.loads((done.results / "_MANIFEST.json").read_text())["facts"]["legal"]


def test_what_was_cut_off_is_taken_up_again(meters: Path, tmp_path: Path) -> None:
    whole = score_fields(str(meters), out=tmp_path / "whole", threshold=0.5, workers=1).results

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.score_fields.collect_results", full)
        with pytest.raises(OSError, match="No space"):
            score_fields(str(meters), out=tmp_path / "cut", threshold=0.5, workers=2)
    assert read_manifest(tmp_path / "cut") is None
    (tmp_path / "cut" / "errors-00001.parquet").unlink()
    (tmp_path / "cut" / "predictions-00002.parquet").write_bytes(b"half a file")
    kept = (tmp_path / "cut" / "predictions-00000.parquet").stat().st_mtime_ns
    again = score_fields(str(meters), out=tmp_path / "cut", threshold=0.5, workers=2).results
    assert (again / "predictions-00000.parquet").stat().st_mtime_ns == kept
    for path in whole.glob("*.parquet"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_normalised_rows_are_no_fields(reader: Home, mnist: Mnist, tmp_path: Path) -> None:

    px = np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in mnist[0][:3]])
    batch = normalised_batch([bytes(32)] * 3, mnist[1][:3].astype(np.int8), px, NORMALISER)
    source = tmp_path / "rows.parquet"
    write_rows(source, normalised_schema(NORMALISER), iter([batch]))
    with pytest.raises(DataError, match="not fields"):
        score_fields(str(source), out=tmp_path / "out", threshold=0.5, workers=1)
