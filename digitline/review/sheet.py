"""The sheet that goes out to people and comes back filled in: a CSV, one line an image."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from digitline.commit import write_bytes
from digitline.errors import DataError, SourceError
from digitline.names import is_formula
from digitline.sources.files import UnreadableError, read_file

COLUMNS = ("id", "file", "digit", "note", "read", "confidence", "run")
KIND = "kind"
NOT_A_DIGIT = "not-a-digit"
_MOST_BYTES = 256 << 20
_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_NOTE = 500
_MOST_TOLD = 5


@dataclass(frozen=True)
class Line:
    """One line of a sheet: an image, how a run read it, and what a person says.

    `digit` is `None` where it is open; with a `note` it is not a digit. `number` counts from the
    first line of the file.
    """

    number: int
    id: str
    file: str
    digit: int | None
    note: str
    read: int
    run: str
    kind: str = ""

    @property
    def answered(self) -> bool:
        """Whether a person has said something."""
        return self.digit is not None or bool(self.note)

    @property
    def word(self) -> str:
        """What the person said, for people."""
        return NOT_A_DIGIT if self.digit is None else str(self.digit)


@dataclass
class Faults:
    """What is wrong with a sheet, line by line."""

    sheet: Path
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, what: str) -> None:
        """Note that something is wrong with that line."""
        self.found.append((number, what))

    def refuse(self) -> None:
        """Raise `DataError` naming the lines, where there are any."""
        if not self.found:
            return
        told = [f"line {number}: {what}" for number, what in sorted(self.found)[:_MOST_TOLD]]
        more = len(self.found) - len(told)
        if more:
            told.append(f"and {more:,} more")
        todo = "Nothing was stored; correct the sheet and import it again"
        raise DataError("; ".join(told), where=self.sheet, todo=todo)


def read_sheet(path: Path) -> list[Line]:
    """Read a sheet that has come back; `DataError` naming the lines that are wrong."""
    faults = Faults(path)
    reader = csv.DictReader(io.StringIO(_decode(path), newline=""), strict=True)
    lines: list[Line] = []
    try:
        _require_columns(reader.fieldnames or (), faults)
        for row in reader:
            line = _parse(row, reader.line_num, faults)
            if line is not None:
                lines.append(line)
    except csv.Error as error:
        faults.add(reader.reader.line_num, f"not CSV ({error})")
    faults.refuse()
    return lines


def write_sheet(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write a sheet with the columns `COLUMNS` and `kind`, for people to fill in."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*COLUMNS, KIND], restval="")
    writer.writeheader()
    writer.writerows({**row, "file": safe_name(str(row["file"]))} for row in rows)
    write_bytes(path, text.getvalue().encode("utf-8"))


def safe_name(name: str) -> str:
    """Write a name that a spreadsheet would take for a formula as the same file beneath `./`."""
    return f"./{name}" if is_formula(name) else name


def _decode(path: Path) -> str:
    try:
        content = read_file(path, _MOST_BYTES)
    except UnreadableError as error:
        raise SourceError(error.message, where=path, todo="Give a corrections.csv") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults = Faults(path)
        faults.add(content.count(b"\n", 0, error.start) + 1, "not UTF-8")
        faults.refuse()
        raise


def _require_columns(found: Iterable[str], faults: Faults) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        faults.add(1, f"no column {', '.join(f'`{name}`' for name in missing)}")
        faults.refuse()


def _parse(row: dict[str, str], number: int, faults: Faults) -> Line | None:
    wrong = next(_complaints(row), None)
    if wrong is not None:
        faults.add(number, wrong)
        return None
    digit = row["digit"].strip()
    return Line(
        number=number,
        id=row["id"],
        file=row["file"],
        digit=int(digit) if digit else None,
        note=row["note"].strip(),
        read=int(row["read"]),
        run=row["run"],
        kind=row.get(KIND, ""),
    )


def _complaints(row: dict[str, str]) -> Iterator[str]:
    """Say what is wrong with a row, the first fault first."""
    if None in row or None in row.values():
        yield "not as many fields as the first line"
        return
    for name, value in row.items():
        if is_formula(value):
            yield f"`{name}` begins like a formula"
    if _ID.fullmatch(row["id"]) is None:
        yield f"`{row['id']}` is not the SHA-256 of an image"
    digit = row["digit"].strip()
    if digit and digit not in tuple("0123456789"):
        yield f"`{digit}` is not a digit from 0 to 9"
    if digit and row["note"].strip() == NOT_A_DIGIT:
        yield f"both the digit {digit} and {NOT_A_DIGIT}"
    if len(row["note"]) > _LONGEST_NOTE:
        yield f"a note of more than {_LONGEST_NOTE} characters"
    if row["read"] not in tuple("0123456789"):
        yield f"read as `{row['read']}`, which is no digit"
