"""Digits that a CSV file lists: the columns `file` and `label`, paths beside the CSV or beneath."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from digitline.errors import DataError, SourceError
from digitline.names import portable
from digitline.sources.files import read_item, reading
from digitline.sources.item import PARTS, Item, Part, Source

FILE, LABEL = "file", "label"
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Line:
    """A row of the CSV: its number in the file, the image's name and place, the label if any."""

    number: int
    name: str
    path: Path
    label: int | None


def find_manifests(folder: Path) -> list[Path]:
    """Find the CSV files directly in a folder that list images with labels."""
    return sorted(path for path in folder.glob("*.csv") if {FILE, LABEL} <= set(_columns(path)))


def open_manifests(files: Mapping[Part, Path], where: Path, max_bytes: int) -> Source:
    """Open a CSV file a part; `DataError` where a column is missing."""
    for path in files.values():
        _require({FILE, LABEL}, path)
    readers = {part: partial(_read, path, max_bytes) for part, path in files.items()}
    return Source(kind="manifest", where=str(where), readers=readers)


def assign_parts(files: list[Path], folder: Path) -> dict[Part, Path]:
    """Tell the training list from the test list: one list is training, two go by their names.

    Raises `SourceError` where the names do not tell.
    """
    if len(files) == 1:
        return {"train": files[0]}
    named: dict[Part, Path] = {
        part: path for part in PARTS for path in files if path.stem.lower() == part
    }
    if len(named) != len(files):
        raise SourceError(
            f"{len(files)} CSV files list images",
            where=folder,
            todo="Name one of them, or call them train.csv and test.csv",
        )
    return named


def read_lines(path: Path, *, labelled: bool) -> Iterator[Line]:
    """Read the rows of a CSV; without `labelled` the label column is neither needed nor read.

    Raises `DataError` with the line number for a missing column, a row of the wrong length, a
    label that is no number, or a file outside the CSV's folder.
    """
    _require({FILE, LABEL} if labelled else {FILE}, path)
    base = path.parent
    root = base.resolve()
    with _opened(path) as reader:
        for row in reader:
            number = reader.line_num
            if None in row or None in row.values():
                raise _wrong("not as many fields as the first line", path, number)
            name = row[FILE]
            _confine(name, root, path, number)
            label = _parse_label(row[LABEL], path, number) if labelled else None
            yield Line(number, _portable(name), base / name, label)


def _read(path: Path, max_bytes: int) -> Iterator[Item]:
    for line in read_lines(path, labelled=True):
        yield read_item(line.name, line.label, line.path, max_bytes)


def _parse_label(text: str, path: Path, number: int) -> int | None:
    if not text.strip():
        return None
    if _NUMBER.fullmatch(text.strip()) is None:
        raise _wrong(f"the label `{text}` is not a whole number", path, number)
    return int(text)


def _confine(name: str, root: Path, path: Path, number: int) -> None:
    """Refuse a name that leads out of the CSV's folder: absolute, by `..`, or through a link."""
    if not name or "\0" in name:
        raise _wrong("no file name", path, number)
    pure = PurePath(name)
    inside = not pure.is_absolute() and ".." not in pure.parts
    if not inside or not Path(root, name).resolve().is_relative_to(root):
        raise _wrong(f"the file `{name}` lies outside the folder of the CSV", path, number)


def _portable(name: str) -> str:
    return "/".join(map(portable, PurePath(name).parts))


def _require(columns: set[str], path: Path) -> None:
    found = _columns(path)
    for column in sorted(columns - set(found)):
        raise DataError(
            f"no column `{column}`; the first line has {', '.join(found) or 'nothing'}",
            where=path,
            todo="A list of images begins with the line `file,label`",
        )


def _columns(path: Path) -> tuple[str, ...]:
    try:
        with _opened(path) as reader:
            return tuple(reader.fieldnames or ())
    except DataError:  # not CSV at all
        return ()


@contextmanager
def _opened(path: Path) -> Iterator["csv.DictReader[str]"]:
    """Read a CSV; names in it may hold bytes that are not UTF-8, as file names do."""
    with (
        reading(path),
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        reader = csv.DictReader(file, strict=True)
        try:
            yield reader
        except csv.Error as error:
            raise _wrong(f"not CSV ({error})", path, reader.reader.line_num) from error


def _wrong(what: str, path: Path, number: int) -> DataError:
    return DataError(f"line {number}: {what}", where=path, todo="Correct the line")
