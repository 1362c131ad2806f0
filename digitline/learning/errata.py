"""Errata: labels of training images that people found to be wrong, put right as rows are split."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from digitline.errors import DataError
from digitline.rows import UNLABELLED, labels

COLUMNS = ("id", "path", "label", "digit")
_ID = re.compile(r"[0-9a-f]{64}")
_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True)
class Erratum:
    """An image that carries the wrong `label`, and the `digit` that it shows."""

    label: int
    digit: int


# By the SHA-256 of the image's bytes: wherever the image comes from, it is the same image.
Errata = Mapping[bytes, Erratum]


def read_errata(files: Iterable[Path]) -> Errata:
    """Read CSV files with the columns of `COLUMNS`; others, such as a note, are passed over.

    Raises `DataError` with the line number for a missing column, an id that is no SHA-256, a label
    or digit that is none, or an image that two lines say different things of.
    """
    errata: dict[bytes, Erratum] = {}
    for file in files:
        for number, line in _lines(file):
            row_id, erratum = _parse(line, file, number)
            if errata.setdefault(row_id, erratum) != erratum:
                raise _wrong("says something else of this image than a line before", file, number)
    return errata


def put_right(batch: pa.RecordBatch, errata: Errata) -> pa.RecordBatch:
    """Give normalised rows with the labels put right; a label that is right already stays."""
    truth = labels(batch)
    new = truth.copy()
    for place, row_id in enumerate(batch.column("id").to_pylist()):
        erratum = errata.get(row_id)
        if erratum is not None and truth[place] == erratum.label:
            new[place] = erratum.digit
    if np.array_equal(new, truth):
        return batch
    column = batch.schema.get_field_index("label")
    values = pa.array(new, pa.int8(), mask=truth == UNLABELLED)
    return batch.set_column(column, batch.schema.field(column), values)


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True, restval="")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"no column `{missing[0]}`",
                    where=file,
                    todo=f"Errata begin with the line `{','.join(COLUMNS)}`",
                )
            return [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the errata cannot be read ({error})", where=file, todo="Give a CSV file in UTF-8"
        ) from error


def _parse(line: Mapping[str, str], file: Path, number: int) -> tuple[bytes, Erratum]:
    if _ID.fullmatch(line["id"]) is None:
        raise _wrong("the id is no SHA-256 in lower-case hex", file, number)
    for column in ("label", "digit"):
        if _DIGIT.fullmatch(line[column]) is None:
            raise _wrong(f"the {column} `{line[column]}` is no digit", file, number)
    return bytes.fromhex(line["id"]), Erratum(int(line["label"]), int(line["digit"]))


def _wrong(what: str, file: Path, number: int) -> DataError:
    return DataError(f"line {number}: {what}", where=file, todo="Correct the line")
