import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from digitline.errors import SourceError
from digitline.sources.recognise import open_source


def test_the_embedded_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source("mnist")
    assert (source.kind, source.parts) == ("parquet", ("train", "test"))
    assert next(source.read("test")).label == 7


def test_each_kind_is_told_by_what_lies_there(
    tmp_path: Path, labelled_folder: Path, write_idx: Callable[..., None]
) -> None:
    write_idx(tmp_path / "idx", "train", [1])
    (tmp_path / "hub" / "data").mkdir(parents=True)
    table = pa.table({"image": [b"x"], "label": [1]})
    pq.write_table(table, tmp_path / "hub" / "data" / "train-0.parquet")
    pq.write_table(table, tmp_path / "one.Parquet")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "any.csv").write_text("file,label\nx.png,1\n")
    kinds = {
        spec: open_source(str(tmp_path / spec)).kind
        for spec in ("idx", "hub", "one.Parquet", "list", "list/any.csv", "folder")
    }
    assert kinds == {
        "idx": "idx",
        "hub": "parquet",
        "one.Parquet": "parquet",
        "list": "manifest",
        "list/any.csv": "manifest",
        "folder": "folder",
    }
    assert labelled_folder.name == "folder"


def test_a_source_says_what_it_is(labelled_folder: Path) -> None:
    assert (
        open_source(str(labelled_folder)).describe() == f"folder source {labelled_folder} (train)"
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "no such source"),
        (lambda path: path.mkdir(), "the folder is empty"),
        (lambda path: path.write_bytes(b"x"), "not a source of labelled digits"),
        (os.mkfifo, "not a source of labelled digits"),
        (lambda path: (path / "a").mkdir(parents=True), "nothing in it tells"),
    ],
)
def test_what_is_no_source_says_what_is_accepted(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "it")
    with pytest.raises(SourceError, match=said) as caught:
        open_source(str(tmp_path / "it"))
    assert "Give `mnist`, `openml:mnist_784`, a folder" in str(caught.value)


def test_unknown_openml_names_are_refused() -> None:
    with pytest.raises(SourceError, match="not a data set that is read here"):
        open_source("openml:iris")


def test_two_truths_are_refused(labelled_folder: Path) -> None:
    (labelled_folder / "labels.csv").write_text("file,label\n")
    with pytest.raises(SourceError, match=r"both sub-folders for digits and labels\.csv"):
        open_source(str(labelled_folder))
    assert open_source(str(labelled_folder / "labels.csv")).kind == "manifest"
