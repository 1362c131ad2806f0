import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from digitline import rows
from digitline.errors import DataError, IncompatibleError, StorageError
from digitline.rows import (
    PIXELS,
    RAW,
    ROW_GROUP,
    UNLABELLED,
    check_normalised,
    labels,
    normalised_batch,
    normalised_schema,
    open_parquet,
    pixels,
    raw_batch,
    read_batches,
    read_places,
    read_slice,
    write_rows,
    writing,
)

LABELS = st.lists(st.integers(UNLABELLED, 9), max_size=12).map(lambda some: np.array(some, np.int8))
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def ids(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


def numbered(count: int) -> pa.RecordBatch:
    """Raw rows whose paths are their numbers."""
    paths = [str(number) for number in range(count)]
    return raw_batch([b"x"] * count, paths, np.zeros(count, np.int8))


def write_numbered(path: Path, count: int) -> None:
    write_rows(path, RAW, iter([numbered(count)]))


@given(LABELS, st.data())
@REUSED
def test_normalised_rows_come_back(
    tmp_path: Path, known: NDArray[np.int8], data: st.DataObject
) -> None:
    digits = data.draw(arrays(np.uint8, (len(known), 28, 28)))
    batch = normalised_batch(ids(len(known)), known, digits, "1")
    shard = write_rows(tmp_path / "it.parquet", normalised_schema("1"), iter([batch]))
    assert shard.rows == len(known)
    check_normalised(tmp_path / "it.parquet", "1")
    for found in read_batches(tmp_path / "it.parquet"):
        assert np.array_equal(labels(found), known)
        assert np.array_equal(pixels(found), digits.reshape(-1, PIXELS))
        assert found.column("id").to_pylist() == ids(len(known))


@given(st.integers(0, 9), st.integers(0, 9))
def test_pixels_of_a_slice_are_the_slice(start: int, length: int) -> None:
    digits = np.arange(9, dtype=np.uint8)[:, None] * np.ones((1, PIXELS), np.uint8)
    batch = normalised_batch(ids(9), np.zeros(9, np.int8), digits, "1").slice(start, length)
    assert pixels(batch)[:, 0].tolist() == list(range(9))[start : start + length]


def test_raw_rows_follow_the_hugging_face_convention(tmp_path: Path) -> None:
    batch = raw_batch([b"a", b"b"], ["x.png", "y.png"], np.array([3, UNLABELLED], np.int8))
    write_rows(tmp_path / "it.parquet", RAW, iter([batch]))
    table = pq.read_table(tmp_path / "it.parquet")
    assert table.to_pylist() == [
        {"image": {"bytes": b"a", "path": "x.png"}, "label": 3},
        {"image": {"bytes": b"b", "path": "y.png"}, "label": None},
    ]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"]["names"] == [str(digit) for digit in range(10)]
    assert features["image"] == {"_type": "Image"}


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_other_readers_open_raw_rows(tmp_path: Path, reader: str) -> None:
    library = pytest.importorskip(reader)
    path = tmp_path / "it.parquet"
    batch = raw_batch([b"a", b"b"], ["x.png", "y.png"], np.array([3, UNLABELLED], np.int8))
    write_rows(path, RAW, iter([batch]))
    if reader == "duckdb":
        table = library.read_parquet(str(path)).to_arrow_table()
    elif reader == "polars":
        table = library.read_parquet(path).to_arrow()
    else:
        table = pa.Table.from_pandas(library.read_parquet(path, dtype_backend="pyarrow"))
    found = table.to_pylist()
    assert [bytes(row["image"]["bytes"]) for row in found] == [b"a", b"b"]
    assert [row["image"]["path"] for row in found] == ["x.png", "y.png"]
    assert [row["label"] for row in found] == [3, None]


def test_row_groups_are_full_whatever_the_batches(tmp_path: Path) -> None:
    sizes = [3000, 6000, 1, 12000]
    write_rows(tmp_path / "it.parquet", RAW, map(numbered, sizes))
    metadata = pq.read_metadata(tmp_path / "it.parquet")
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert groups == [ROW_GROUP, ROW_GROUP, sum(sizes) - 2 * ROW_GROUP]


def test_large_rows_end_a_group_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "GROUP_BYTES", 1000)
    batch = raw_batch([b"x" * 300], ["p"], np.zeros(1, np.int8))
    write_rows(tmp_path / "it.parquet", RAW, iter([batch] * 10))
    metadata = pq.read_metadata(tmp_path / "it.parquet")
    assert metadata.num_rows == 10
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [4, 4, 2]


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "it.parquet", RAW, iter([])).rows == 0
    assert list(read_batches(tmp_path / "it.parquet")) == []


@given(st.lists(st.integers(0, 300), max_size=8))
@REUSED
def test_the_same_rows_are_the_same_bytes_however_they_come(
    tmp_path: Path, cuts: list[int]
) -> None:
    batch, ends = numbered(300), sorted([0, *cuts, 300])
    pieces = [batch.slice(start, end - start) for start, end in pairwise(ends)]
    whole = write_rows(tmp_path / "whole.parquet", RAW, iter([batch]))
    cut = write_rows(tmp_path / "cut.parquet", RAW, iter(pieces))
    assert whole.sha256 == cut.sha256


def test_an_error_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield numbered(ROW_GROUP)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_rows(tmp_path / "it.parquet", RAW, batches())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    def write() -> None:
        with writing(tmp_path / "it", RAW) as writer:
            writer._writer = pq.ParquetWriter("/dev/full", RAW)
            writer.write(numbered(100))

    with pytest.raises(StorageError, match="no space left"):
        write()
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10))
@REUSED
def test_a_slice_is_that_slice(
    tmp_path: Path, start: int, stop: int, group: int, size: int
) -> None:
    pq.write_table(pa.table({"n": range(25)}), tmp_path / "it.parquet", row_group_size=group)
    found = [
        number
        for batch in read_slice(tmp_path / "it.parquet", start, stop, size=size)
        for number in batch.column("n").to_pylist()
    ]
    assert found == list(range(25))[start:stop]


@given(st.sets(st.integers(0, 30)), st.integers(1, 10))
@REUSED
def test_places_are_those_places(tmp_path: Path, places: set[int], group: int) -> None:
    pq.write_table(pa.table({"n": range(25)}), tmp_path / "it.parquet", row_group_size=group)
    wanted = np.array(sorted(places), np.int64)
    found = [
        number
        for batch in read_places(tmp_path / "it.parquet", wanted)
        for number in batch.column("n").to_pylist()
    ]
    assert found == [place for place in sorted(places) if place < 25]


def test_a_slice_reads_only_the_columns_asked_for(tmp_path: Path) -> None:
    write_numbered(tmp_path / "it.parquet", 3)
    (batch,) = read_slice(tmp_path / "it.parquet", 1, 2, ["label"])
    assert batch.schema.names == ["label"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 10, b"no Parquet" * 100])
def test_what_is_not_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        list(read_batches(tmp_path / "it"))


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=40))
@REUSED
def test_damage_anywhere_is_read_or_named(tmp_path: Path, place: int, junk: bytes) -> None:
    path = tmp_path / "it.parquet"
    write_numbered(path, 50)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : place + len(junk)] = junk
    path.write_bytes(content)
    try:
        list(read_batches(path))
    except DataError:
        return


def test_a_missing_file_is_not_called_broken(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_parquet(tmp_path / "gone"):
        pass


def test_an_open_file_is_read_even_after_it_is_gone(tmp_path: Path) -> None:
    write_numbered(tmp_path / "it.parquet", 3)
    with (tmp_path / "it.parquet").open("rb") as file:
        (tmp_path / "it.parquet").unlink()
        with open_parquet(file) as parquet:
            assert parquet.metadata.num_rows == 3


def test_normalised_rows_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "it.parquet"
    write_numbered(path, 3)
    with pytest.raises(DataError, match="no column `id`"):
        check_normalised(path, "1")
    table = pa.table({"id": pa.array([b"x"], pa.binary()), "label": [1], "px": [b"x"]})
    pq.write_table(table, path)
    with pytest.raises(DataError, match=r"column `id` is binary, not fixed_size_binary\[32\]"):
        check_normalised(path, "1")
    batch = normalised_batch(ids(1), np.zeros(1, np.int8), np.zeros((1, 28, 28), np.uint8), "1")
    write_rows(path, normalised_schema("1"), iter([batch]))
    with pytest.raises(IncompatibleError, match="rows of normaliser 1, but 2 is needed"):
        check_normalised(path, "2")


def test_column_names_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "it.parquet"
    write_numbered(path, 3)
    path.write_bytes(path.read_bytes().replace(b"label", b"\x80abel"))
    with pytest.raises(DataError, match="not a readable Parquet file"):
        list(read_batches(path))
