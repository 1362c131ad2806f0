"""What spreadsheets make of exported text."""

import csv
import io

import pytest

from digitline.scoring.export import _csv_writer


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_end_within_a_name_begins_no_row(end: str) -> None:
    buffer = io.StringIO(newline="")
    write = _csv_writer(buffer, ["path"])
    write({"path": f"a{end}=1+1"})
    rows = list(csv.reader(io.StringIO(buffer.getvalue(), newline="")))
    assert rows == [["path"], [f"a{end}=1+1"]]


def test_a_formula_behind_what_is_not_shown_is_a_text() -> None:
    buffer = io.StringIO(newline="")
    _csv_writer(buffer, ["path"])({"path": "\ufeff=1+1"})
    assert buffer.getvalue() == "path\r\n'\ufeff=1+1\r\n"
