"""Images in a bucket: listed as folders would be, read whole and in order, whatever their keys."""

import io
import zipfile
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.errors import SourceError
from digitline.objects import Address, create_object, put_file, read_object, replace_object
from digitline.rows import RAW, raw_batch, write_rows
from digitline.sources import bucket
from digitline.sources.bucket import Named, in_walking_order, walk_bucket
from digitline.sources.files import UnreadableError, walk
from digitline.sources.listing import (
    Entry,
    Selection,
    list_bucket,
    read_entries,
    to_entries,
)
from tests.conftest import Endpoint

LIMIT = 1000
NAMES = st.lists(st.text("ab-./", min_size=1, max_size=6), unique=True, max_size=30)


def entries(place: Address, cache: Path, selection: Selection | None = None) -> list[Entry]:
    batches = list_bucket(place, "1", selection or Selection(), cache)
    return [entry for batch in batches for entry in to_entries(batch)]


def contents(listed: list[Entry]) -> list[bytes | str]:
    return [
        content.reason if isinstance(content, UnreadableError) else content
        for content in read_entries(listed, LIMIT)
    ]


@given(NAMES)
def test_keys_come_in_the_order_of_a_walk_through_folders(names: list[str]) -> None:
    place = Address("bucket", "")
    found = [Named(name, place, 1, "") for name in sorted(names)]
    walked = [one.name for one in in_walking_order(iter(found))]
    assert walked == sorted(names, key=lambda name: name.split("/"))


def test_what_cannot_be_preceded_does_not_wait() -> None:
    names = (f"{number:05d}.png" for number in count())
    found = (Named(name, Address("bucket", ""), 1, "") for name in names)
    assert [one.name for one in islice(in_walking_order(found), 2)] == ["00000.png", "00001.png"]
    assert next(names) == "00003.png"


def test_a_prefix_is_listed_as_the_same_folder_would_be(store: Endpoint, tmp_path: Path) -> None:
    for name in (
        "a/1.png",
        "a.png",
        "a-b/2.png",
        "a/.hidden",
        ".x/3.png",
        "list.csv",
        "Ü #?%20.png",
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        put_file(store.place / f"scans-1/{name}", path)
    create_object(store.place / "scans-1/folder/", b"")
    create_object(store.place / "scans-10/other.png", b"1")
    names = [found.name for found in walk(tmp_path / "in")]
    assert [found.name for found in walk_bucket(store.place / "scans-1")] == names
    listed = entries(store.place / "scans-1/", tmp_path / "cache")
    assert contents(listed) == [name.encode() for name in names]
    chosen = entries(store.place / "scans-1", tmp_path, Selection(include=("a/*",)))
    assert [entry.name for entry in chosen] == ["a/1.png"]


def test_keys_that_could_be_no_paths_are_read_as_well(store: Endpoint, tmp_path: Path) -> None:
    keys = ["in//double.png", "in/./dot.png", "in/x/../../up.png", "in/tab\t.png", "in/<&'\">.png"]
    for key in keys:
        create_object(Address(store.place.bucket, key), key.encode())
    read = contents(entries(store.place / "in", tmp_path))
    assert set(read) == {key.encode() for key in keys if "/." not in key}


def test_every_object_comes_out_once_over_a_store_that_fails(
    store: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_AHEAD", 600)
    for number in range(40):
        create_object(store.place / f"in/{number:02d}", bytes([65 + number]) * (number * 7))
    create_object(store.place / "in/large", b"1" * (LIMIT + 1))
    place = store.place / "in/13"
    store.use("failing")
    listed = entries(store.place / "in", tmp_path)
    assert replace_object(place, b"changed", read_object(place).etag)
    expected: list[bytes | str] = [bytes([65 + number]) * (number * 7) for number in range(40)]
    expected[0], expected[13] = "empty", "vanished"
    assert contents(listed) == [*expected, "too-large"]


def test_archives_lists_and_parquet_are_copied_and_read_as_files(
    store: Endpoint, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.png", b"1")
        archive.writestr("two.png", b"2")
    batch = raw_batch([b"3", b"4"], ["three.png", ""], np.array([-1, -1], np.int8))
    write_rows(tmp_path / "rows.parquet", RAW, iter([batch]))
    create_object(store.place / "in/scans.zip", packed.getvalue())
    create_object(store.place / "in/list.csv", b"file\nsub/five.png\nnone.png\nlarge.png\n")
    create_object(store.place / "in/sub/five.png", b"5")
    create_object(store.place / "in/large.png", b"1" * (LIMIT + 1))
    put_file(store.place / "rows/b/rows.parquet", tmp_path / "rows.parquet")
    put_file(store.place / "rows/a.parquet", tmp_path / "rows.parquet")
    cache = tmp_path / "cache"
    store.use("failing")
    zipped = entries(store.place / "in/scans.zip", cache)
    assert [entry.name for entry in zipped] == ["one.png", "two.png"]
    assert contents(zipped) == [b"1", b"2"]
    listed = entries(store.place / "in/list.csv", cache)
    assert contents(listed) == [b"5", "vanished", "too-large"]
    rows = entries(store.place / "rows", cache)
    assert [entry.name for entry in rows] == [
        "three.png",
        "a.parquet#1",
        "three.png",
        "b/rows.parquet#1",
    ]
    assert contents(rows) == [b"3", b"4"] * 2
    assert contents(entries(store.place / "in/sub/five.png", cache)) == [b"5"]


def test_where_there_is_nothing_a_source_error_says_so(store: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing at this address"):
        entries(store.place / "nothing", tmp_path)
    with pytest.raises(SourceError, match="no such bucket"):
        entries(Address("nowhere-at-all", "scans"), tmp_path)
    create_object(store.place / "bad/..", b"1")
    with pytest.raises(SourceError, match="no name for a file"):
        entries(store.place / "bad/..", tmp_path)
    assert list(tmp_path.iterdir()) == []
