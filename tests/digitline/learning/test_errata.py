"""Errata put right what they name, and nothing else."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from digitline.errors import DataError
from digitline.home import CHECKOUT, Home
from digitline.learning.errata import Erratum, put_right, read_errata
from digitline.learning.parts import Origin, split_rows
from digitline.learning.split import Shares
from digitline.rows import labels, normalised_batch, normalised_schema, write_rows

NORMALISER = "1"
HEADER = "id,path,label,digit,note\n"
IDS = [hashlib.sha256(bytes([number])).digest() for number in range(200)]


def line(number: int, label: int, digit: int) -> str:
    return f"{IDS[number].hex()},a.png,{label},{digit},seen\n"


def write(path: Path, numbers: range) -> Path:
    digits = np.zeros((len(numbers), 784), np.uint8)
    ids = [IDS[number] for number in numbers]
    batch = normalised_batch(ids, np.full(len(ids), 1, np.int8), digits, NORMALISER)
    write_rows(path, normalised_schema(NORMALISER), iter([batch]))
    return path


def test_only_the_wrong_label_it_names_is_put_right() -> None:
    digits = np.zeros((3, 784), np.uint8)
    batch = normalised_batch(IDS[:3], np.array([1, 1, 7], np.int8), digits, NORMALISER)
    errata = {IDS[1]: Erratum(label=1, digit=7), IDS[2]: Erratum(label=1, digit=4)}
    right = put_right(batch, errata)
    assert labels(right).tolist() == [1, 7, 7]
    assert right.schema == batch.schema
    assert put_right(batch, {}) is batch


def test_every_part_but_the_test_rows_is_put_right(tmp_path: Path) -> None:
    origin = Origin(
        "scans",
        write(tmp_path / "train.parquet", range(180)),
        write(tmp_path / "test.parquet", range(180, 200)),
    )
    errata = {row_id: Erratum(label=1, digit=7) for row_id in IDS}
    out = tmp_path / "split"
    manifest = split_rows([origin], out, Shares(), NORMALISER, "key", errata=errata)
    tables = {path.stem: set(pq.read_table(path)["label"].to_pylist()) for path in out.glob("*.p*")}
    assert tables.pop("test") == {1}
    assert set(map(frozenset, tables.values())) == {frozenset({7})}
    assert manifest.facts["relabelled"] == 180
    assert manifest.facts["digits"]["train"][1] == 0


def test_errata_of_the_home_come_after_those_of_mnist(tmp_path: Path) -> None:
    own = tmp_path / "data" / "errata" / "scans.csv"
    own.parent.mkdir(parents=True)
    own.write_text(HEADER + line(0, 1, 7))
    files = Home(tmp_path).errata
    assert files == (CHECKOUT / "data" / "errata" / "mnist.csv", own)
    assert Home(CHECKOUT).errata[0] == files[0]
    assert read_errata(files)[IDS[0]] == Erratum(label=1, digit=7)


def test_errata_that_come_along_name_labels_that_mnist_has() -> None:
    table = pq.read_table(CHECKOUT / "data" / "mnist" / "train.parquet")
    known = read_errata([CHECKOUT / "data" / "errata" / "mnist.csv"])
    contents = table["image"].combine_chunks().field("bytes").to_pylist()
    found = {
        row_id: label
        for content, label in zip(contents, table["label"].to_pylist(), strict=True)
        if (row_id := hashlib.sha256(content).digest()) in known
    }
    assert found == {row_id: erratum.label for row_id, erratum in known.items()}
    assert all(erratum.digit != erratum.label for erratum in known.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,path,label\n", "no column `digit`"),
        (HEADER + "xyz,a.png,1,7,seen\n", "line 2: the id is no SHA-256"),
        (HEADER + line(0, 1, 7) + line(1, 1, 10), "line 3: the digit `10` is no digit"),
        (HEADER + line(0, 1, 7) + line(0, 1, 2), "line 3: says something else"),
        (HEADER + IDS[0].hex() + "\n", "line 2: the label `` is no digit"),
    ],
)
def test_errata_with_a_wrong_line_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "errata.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        read_errata([file])


def test_errata_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "errata.csv"
    file.write_bytes(b"id,path,label,digit\n\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        read_errata([file])
