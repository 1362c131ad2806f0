"""What people corrected goes to training, and to training alone."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from digitline.learning.parts import Origin, split_rows
from digitline.learning.split import Shares
from digitline.rows import normalised_batch, normalised_schema, write_rows

NORMALISER = "1"


def name(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


def write(path: Path, numbers: range, digit: int) -> Path:
    ids = [name(number) for number in numbers]
    digits = np.zeros((len(ids), 784), np.uint8)
    batch = normalised_batch(ids, np.full(len(ids), digit, np.int8), digits, NORMALISER)
    write_rows(path, normalised_schema(NORMALISER), iter([batch]))
    return path


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, dict[bytes, int]]:
    """Split 200 rows labelled 1, of which 20 are test rows; people call half of them 7."""
    origin = Origin(
        "scans",
        write(tmp_path / "train.parquet", range(180), 1),
        write(tmp_path / "test.parquet", range(180, 200), 1),
    )
    corrections = write(tmp_path / "corrections.parquet", range(100, 220), 7)
    out = tmp_path / "split"
    split_rows([origin], out, Shares(), NORMALISER, "key", corrections)
    tables = {path.stem: pq.read_table(path) for path in out.glob("*.parquet")}
    return {
        stem: dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
        for stem, table in tables.items()
    }


def test_every_image_is_in_one_part(parts: dict[str, dict[bytes, int]]) -> None:
    ids = [row_id for rows in parts.values() for row_id in rows]
    assert sorted(ids) == sorted(map(name, range(220)))


def test_a_correction_takes_the_place_of_a_training_row(
    parts: dict[str, dict[bytes, int]],
) -> None:
    corrected = parts["train-corrections"]
    assert set(corrected.values()) == {7}
    assert {name(number) for number in range(200, 220)} < set(corrected)
    assert any(name(number) in corrected for number in range(100, 180))
    assert not any(name(number) in parts["train-scans"] for number in range(100, 220))


def test_what_is_held_out_stays_as_it_was(parts: dict[str, dict[bytes, int]]) -> None:
    held = parts["validation"] | parts["calibration"] | parts["test"]
    assert set(held.values()) == {1}
    assert {name(number) for number in range(180, 200)} <= set(parts["test"])
    assert any(name(number) in held for number in range(100, 180))
