"""Labelled digits from a bucket: the rows of the same files on disk, whatever the store does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from digitline.errors import DataError, DigitlineError, SourceError, TamperedError
from digitline.objects import Address, create_object, delete_object, put_file
from digitline.pixels.decode import Limits
from digitline.sources import bucket
from digitline.sources.bucket_copy import COPIES
from digitline.sources.checks import Checks
from digitline.sources.dataset import Ingested
from digitline.sources.ingest import ingest
from digitline.sources.recognise import open_source
from tests.conftest import KEY_ID, SECRET, Endpoint

LIMITS = Limits(max_bytes=2000)
LENIENT = Checks(
    unreadable_share=1, undecodable_share=1, labels_share=1, missing_classes=10, min_rows=1
)


def take(spec: str, directory: Path, cache: Path | None = None) -> Ingested:
    return ingest(open_source(spec, limits=LIMITS, cache=cache), directory, LENIENT, LIMITS)


def upload(folder: Path, place: Address) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put_file(place / path.relative_to(folder).as_posix(), path)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def copies(cache: Path) -> set[str]:
    """Name the files that have been copied."""
    found = (path.relative_to(cache / COPIES) for path in cache.rglob("*") if path.is_file())
    return {path.as_posix().partition("/")[2] for path in found}


@pytest.fixture
def flawed(labelled_folder: Path) -> Path:
    """Thirty labelled pictures beside what is none: dropped, each with its reason."""
    (labelled_folder / "3" / "empty.png").touch()
    (labelled_folder / "3" / "large.png").write_bytes(b"1" * 2001)
    (labelled_folder / "3" / "letter.png").write_text("Dear reader")
    (labelled_folder / "3" / "notes.txt").write_text("none of them")
    (labelled_folder / "stray.png").write_bytes((labelled_folder / "1" / "01.png").read_bytes())
    (labelled_folder / ".hidden").mkdir()
    (labelled_folder / ".hidden" / "4.png").write_text("not looked at")
    return labelled_folder


def test_over_a_store_that_fails_the_rows_are_those_on_disk_and_then_unchanged(
    store: Endpoint, flawed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(flawed, store.place / "in")
    create_object(store.place / "in/3/", b"")
    store.use("failing")
    cache, place = tmp_path / "cache", str(store.place / "in")
    local = take(str(flawed), tmp_path / "local")
    assert local.facts.dropped == 4
    done = take(place, tmp_path / "remote", cache)
    assert (done.verdict, done.digest) == ("written", local.digest)
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    assert (
        next(cache.rglob("large.png")).stat().st_blocks
        < next(cache.rglob("01.png")).stat().st_blocks
    )
    assert not copies(cache) & {"3/notes.txt", ".hidden/4.png"}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [one for one in written if KEY_ID.encode() in one or SECRET.encode() in one]
    # What is unchanged is not fetched again.
    with monkeypatch.context() as patch:
        patch.delattr(bucket, "fetch_object")
        again = take(f"{place}/", tmp_path / "remote", cache)
    assert (again.verdict, again.digest) == ("unchanged", done.digest)
    delete_object(store.place / "in/9/09.png")
    less = take(place, tmp_path / "remote", cache)
    assert less.verdict == "written"
    assert less.facts.parts["train"].rows == 29


def test_each_kind_is_told_as_on_disk(
    store: Endpoint, labelled_folder: Path, tmp_path: Path, write_idx: Callable[..., None]
) -> None:
    on_disk, cache = tmp_path / "in", tmp_path / "cache"
    take(str(labelled_folder), on_disk / "ours")
    write_idx(on_disk / "idx", "train", [1, 2, 3] * 3)  # larger than an image may be
    pictures = [path.read_bytes() for path in sorted(labelled_folder.rglob("*.png"))]
    (on_disk / "hub" / "data").mkdir(parents=True)
    for part, some in (("train", pictures[:20]), ("test", pictures[20:])):
        table = pa.table({"image": some, "label": [1] * len(some)})
        pq.write_table(table, on_disk / "hub" / "data" / f"{part}-0.parquet")
    (on_disk / "one").mkdir()
    shutil.copy(on_disk / "hub" / "data" / "train-0.parquet", on_disk / "one" / "Any.Parquet")
    shutil.copytree(labelled_folder, on_disk / "list" / "sub")
    rows = "sub/1/01.png,1\n./sub//2/12.png,\nsub/none.png,3\n"
    (on_disk / "list" / "any.csv").write_text(f"file,label\n{rows}")
    upload(on_disk, store.place)
    kinds = {
        "ours": "parquet",
        "idx": "idx",
        "hub": "parquet",
        "one/Any.Parquet": "parquet",
        "list": "manifest",
        "list/any.csv": "manifest",
    }
    for number, (name, kind) in enumerate(kinds.items()):
        shutil.rmtree(cache, ignore_errors=True)
        here, there = tmp_path / f"here-{number}", tmp_path / f"there-{number}"
        source = open_source(str(store.place / name), limits=LIMITS, cache=cache)
        assert source.describe().startswith(f"{kind} source {store.place / name} (train")
        assert (
            take(str(on_disk / name), here).digest
            == take(str(store.place / name), there, cache).digest
        )
        assert contents(here) == contents(there)
    # Of all that lies beside a CSV file only what it lists is fetched.
    assert copies(cache) == {"any.csv", "sub/1/01.png", "sub/2/12.png"}


@pytest.mark.parametrize(
    ("objects", "named", "kind", "said"),
    [
        ({}, "", SourceError, "there is nothing at this address: {}. Correct it"),
        ({"a.png": b"1"}, "", SourceError, "nothing in it tells what digits it holds: {}. Give"),
        ({"a.zip": b"1"}, "a.zip", SourceError, "not a source of labelled digits: {}. Give"),
        ({"a.csv": b"x\n1"}, "a.csv", DataError, "no column `file`; the first line has x: {}. A"),
        (
            {"a.csv": b"file,label\n../b,1\n", "b.png": b"1"},
            "",
            DataError,
            "line 2: the file `../b` lies outside the folder of the CSV: {}/a.csv. Correct",
        ),
        ({"a.parquet": b"1"}, "", DataError, "not a readable Parquet file: {}/a.parquet"),
        ({"_MANIFEST.json": b"{}", "a.parquet": b"1"}, "", DataError, "the manifest"),
        ({f"3/{'x' * 250}": b"1"}, "", SourceError, "no name for a file"),
        ({"3//1.png": b"1", "3/1.png": b"2"}, "", SourceError, "no name for a file"),
        (
            {"3": b"1", "3/1.png": b"2"},
            "",
            SourceError,
            "another object has the name of its folder: {}/3/1.png. Rename one of the two",
        ),
    ],
    ids=lambda value: ",".join(value)[:20] if isinstance(value, dict) else "",
)
def test_what_cannot_be_read_is_told_in_a_line_that_names_the_address(
    store: Endpoint,
    tmp_path: Path,
    objects: dict[str, bytes],
    named: str,
    kind: type[DigitlineError],
    said: str,
) -> None:
    for name, data in objects.items():
        create_object(Address(store.place.bucket, f"in/{name}"), data)
    place = store.place / "in" / named if named else store.place / "in"
    with pytest.raises(kind) as caught:
        take(str(place), tmp_path / "out", tmp_path / "cache")
    line = str(caught.value)
    assert said.format(place) in line
    assert str(place) in line
    assert str(tmp_path) not in line
    assert "\n" not in line


def test_a_data_set_of_ours_that_was_tampered_with_is_refused(
    store: Endpoint, labelled_folder: Path, tmp_path: Path
) -> None:
    take(str(labelled_folder), tmp_path / "ours")
    upload(tmp_path / "ours", store.place / "ours")
    table = pq.read_table(tmp_path / "ours" / "train.parquet").slice(1)
    pq.write_table(table, tmp_path / "train.parquet")
    put_file(store.place / "ours/train.parquet", tmp_path / "train.parquet")
    with pytest.raises(TamperedError, match=r"s3://[^ ]+/ours/train\.parquet"):
        take(str(store.place / "ours"), tmp_path / "out", tmp_path / "cache")
