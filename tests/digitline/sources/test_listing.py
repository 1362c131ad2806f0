import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitline.errors import DataError, IncompatibleError, SourceError
from digitline.pixels.decode import Limits
from digitline.rows import normalised_batch, normalised_schema, write_rows
from digitline.sources.checks import Checks
from digitline.sources.files import UnreadableError
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest
from digitline.sources.listing import (
    Entry,
    list_images,
    read_digits,
    read_entries,
    read_entry,
    read_listing,
    write_listing,
)

MAX = 1000
Draw = Callable[[int], bytes]


def listed(path: Path) -> list[Entry]:
    return list(list_images(str(path), "1"))


def write_raw(path: Path, images: list[bytes | None], names: list[str | None]) -> Path:
    pairs = zip(images, names, strict=True)
    rows = [None if image is None else {"bytes": image, "path": name} for image, name in pairs]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), path, row_group_size=3)
    return path


def write_normalised(path: Path, count: int, normaliser: str = "1") -> list[bytes]:
    ids = [hashlib.sha256(bytes([number])).digest() for number in range(count)]
    digits = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    batch = normalised_batch(ids, np.zeros(count, np.int8), digits, normaliser)
    write_rows(path, normalised_schema(normaliser), iter([batch]))
    return ids


def test_a_folder_gives_every_file_once(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a.PNG", "b/no-suffix", "labels.csv", ".hidden", "b/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "b" / "pipe").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "c")
    entries = listed(tmp_path)
    assert [(entry.name, entry.reason) for entry in entries] == [
        ("a.PNG", ""),
        ("b/2.jpg", ""),
        ("b/no-suffix", ""),
        ("b/pipe", "unsupported"),
        ("c", "unsupported"),
    ]
    assert read_entry(entries[1], MAX) == b"b/2.jpg"
    with pytest.raises(UnreadableError) as caught:
        read_entry(entries[3], MAX)
    assert caught.value.reason == "unsupported"


def test_one_image_is_a_listing(tmp_path: Path) -> None:
    (tmp_path / "it.png").write_bytes(b"x")
    (entry,) = listed(tmp_path / "it.png")
    assert (entry.name, read_entry(entry, MAX)) == ("it.png", b"x")


def test_a_csv_lists_files_with_or_without_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("file\na.png\ngone.png\n")
    first, second = listed(tmp_path / "list.csv")
    assert read_entry(first, MAX) == b"x"
    with pytest.raises(UnreadableError) as caught:
        read_entry(second, MAX)
    assert caught.value.reason == "vanished"
    (tmp_path / "list.csv").write_text("file\n../a.png\n")
    with pytest.raises(DataError, match="line 2"):
        listed(tmp_path / "list.csv")


def test_raw_rows_are_named_by_their_path_or_their_row(tmp_path: Path) -> None:
    images = [b"0", None, b"2", b"", b"4" * (MAX + 1)]
    path = write_raw(tmp_path / "in" / "f.parquet", images, ["x/0.png", "n", None, "3", "4"])
    entries = listed(path)
    assert [entry.name for entry in entries] == ["x/0.png", "f.parquet#1", "f.parquet#2", "3", "4"]
    found = [
        content.reason if isinstance(content, UnreadableError) else content
        for content in read_entries(entries, MAX)
    ]
    assert found == [b"0", "empty", b"2", "empty", "too-large"]
    assert read_entry(entries[2], MAX) == b"2"


def test_plain_binary_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"a", b"b"], "more": [1, 2]}), tmp_path / "f.parquet")
    entries = listed(tmp_path / "f.parquet")
    assert [entry.name for entry in entries] == ["f.parquet#0", "f.parquet#1"]
    assert list(read_entries(entries, MAX)) == [b"a", b"b"]


def test_a_folder_of_shards_is_read_as_rows(tmp_path: Path) -> None:
    write_raw(tmp_path / "data" / "b.parquet", [b"2"], [None])
    write_raw(tmp_path / "data" / "a.parquet", [b"0", b"1"], [None, None])
    (tmp_path / "README.md").touch()
    (tmp_path / "_SUCCESS").touch()
    entries = listed(tmp_path)
    assert [entry.name for entry in entries] == [
        "data/a.parquet#0",
        "data/a.parquet#1",
        "data/b.parquet#0",
    ]
    assert list(read_entries(entries, MAX)) == [b"0", b"1", b"2"]


def test_parquet_among_images_is_a_file_like_others(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.parquet", [b"0"], [None])
    (tmp_path / "b.png").write_bytes(b"x")
    assert [entry.opener for entry in listed(tmp_path)] == ["file", "file"]


def test_a_data_set_lists_its_rows_and_not_what_it_dropped(
    tmp_path: Path, labelled_folder: Path, draw: Draw
) -> None:
    (labelled_folder / "0" / "copy.png").write_bytes(draw(0))
    checks = Checks(min_rows=1)
    ingest(open_folder(labelled_folder, 1 << 20), tmp_path / "set", checks, Limits())
    assert (tmp_path / "set" / "dropped.parquet").exists()
    entries = listed(tmp_path / "set")
    assert len(entries) == 30
    assert entries[0].name == "0/00.png"


def test_normalised_rows_come_as_pixels(tmp_path: Path) -> None:
    ids = write_normalised(tmp_path / "f.parquet", 5)
    entries = listed(tmp_path / "f.parquet")
    assert {entry.opener for entry in entries} == {"normalised"}
    found, px = read_digits([*entries[1:4], entries[0]])
    assert found == [ids[1], ids[2], ids[3], ids[0]]
    assert px[:, 0].tolist() == [1, 2, 3, 0]
    assert px.shape == (4, 784)
    write_normalised(tmp_path / "f.parquet", 2)
    with pytest.raises(DataError, match="gone since they were listed"):
        read_digits(entries)


def test_rows_of_another_normaliser_are_refused(tmp_path: Path) -> None:
    write_normalised(tmp_path / "f.parquet", 1, normaliser="0")
    with pytest.raises(IncompatibleError):
        listed(tmp_path / "f.parquet")


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda path: path.with_suffix(".png"), SourceError, "no such file or folder"),
        (lambda path: path.mkdir(), SourceError, "there is no image in it"),
        (lambda path: (path / "a" / ".b").mkdir(parents=True), SourceError, "there is no image"),
        (os.mkfifo, SourceError, "not something that can be scored"),
    ],
)
def test_nothing_to_score_is_said(
    tmp_path: Path, make: Callable[[Path], object], kind: type[Exception], said: str
) -> None:
    make(tmp_path / "it")
    with pytest.raises(kind, match=said):
        listed(tmp_path / "it")


def test_wrong_parquet_and_lists_of_nothing_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [b"x"]}), tmp_path / "f.parquet")
    with pytest.raises(DataError, match="not one column `image`; there are img"):
        listed(tmp_path / "f.parquet")
    (tmp_path / "f.csv").write_text("name\nx\n")
    with pytest.raises(DataError, match="no column `file`"):
        listed(tmp_path / "f.csv")


def test_rows_that_vanish_or_break_say_so(tmp_path: Path, draw: Draw) -> None:
    path = write_raw(tmp_path / "f.parquet", [draw(n) for n in range(8)], [None] * 8)
    entries = listed(path)

    def reasons() -> list[str]:
        return [
            content.reason if isinstance(content, UnreadableError) else "read"
            for content in read_entries(entries, MAX)
        ]

    whole = path.read_bytes()
    assert reasons() == ["read"] * 8
    write_raw(path, [draw(n) for n in range(5)], [None] * 5)
    assert reasons() == ["read"] * 5 + ["vanished"] * 3
    middle = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(whole[:middle] + b"\xff" * 20 + whole[middle + 20 :])
    assert reasons() == ["read"] * 3 + ["unreadable"] * 5
    path.write_bytes(b"no Parquet any more")
    assert reasons() == ["unreadable"] * 8
    path.unlink()
    assert reasons() == ["vanished"] * 8


@given(
    st.lists(
        st.builds(
            Entry,
            name=st.text(),
            opener=st.sampled_from(["file", "raw", "normalised", "nothing"]),
            location=st.binary(),
            row=st.integers(-1, 2**40),
            reason=st.text(max_size=5),
            message=st.text(max_size=5),
        ),
        max_size=20,
    ),
    st.integers(0, 20),
    st.integers(0, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_listing_comes_back_as_it_was(
    tmp_path: Path, entries: list[Entry], start: int, stop: int
) -> None:
    shard = write_listing(tmp_path / "listing.parquet", entries)
    assert shard.rows == len(entries)
    assert read_listing(tmp_path / "listing.parquet", start, stop) == entries[start:stop]


def test_names_that_are_not_utf_8_survive_the_listing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"\xff\n.png")).write_bytes(b"x")
    write_listing(tmp_path / "listing.parquet", list_images(str(tmp_path / "in"), "1"))
    (entry,) = read_listing(tmp_path / "listing.parquet", 0, 10)
    assert entry.name == "\\xff\n.png"
    assert read_entry(entry, MAX) == b"x"


@given(st.permutations(range(12)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_any_order_of_rows_is_read_in_that_order(tmp_path: Path, order: list[int]) -> None:
    path = write_raw(tmp_path / "f.parquet", [bytes([n + 1]) for n in range(12)], [None] * 12)
    entries = listed(path)
    assert list(read_entries([entries[n] for n in order], MAX)) == [bytes([n + 1]) for n in order]
