import csv
from pathlib import Path

import pytest

from digitline.errors import DataError, SourceError
from digitline.review.sheet import COLUMNS, Line, read_sheet, write_sheet

ID = "0123456789abcdef" * 4
HEAD = ",".join(COLUMNS) + "\r\n"
GOOD = f"{ID},a.png,3,,8,0.5,score-0001\r\n"


def sheet(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "corrections.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_line_says_a_digit_none_or_nothing_yet(tmp_path: Path) -> None:
    lines = read_sheet(
        sheet(
            tmp_path,
            HEAD + GOOD + f"{ID},b.png,,not-a-digit,8,0.5,score-0001\r\n"
            f"{ID},c.png,,,8,0.5,score-0001\r\n",
        )
    )
    assert lines[0] == Line(2, ID, "a.png", 3, "", 8, "score-0001")
    assert [line.answered for line in lines] == [True, True, False]
    assert [line.word for line in lines[:2]] == ["3", "not-a-digit"]


def test_a_spreadsheets_mark_and_a_broken_name_are_understood(tmp_path: Path) -> None:
    body = HEAD + f'{ID},"two\nlines, ""quoted"".png",3,,8,0.5,score-0001\r\n' + GOOD
    lines = read_sheet(sheet(tmp_path, b"\xef\xbb\xbf" + body.encode()))
    assert lines[0].file == 'two\nlines, "quoted".png'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,file\r\n", "line 1: no column `digit`, `note`, `read`, `confidence`, `run`"),
        ("\r\n", "line 1: no column"),
        (HEAD + GOOD + GOOD.replace(",3,", ",12,"), "line 3: `12` is not a digit"),
        (HEAD + GOOD.replace(",3,", ",\u0663,"), "line 2: `\u0663` is not a digit"),
        (HEAD + GOOD.replace(ID, "=1+1"), "line 2: `id` begins like a formula"),
        (HEAD + GOOD.replace("a.png", "@SUM(A1)"), "line 2: `file` begins like a formula"),
        (HEAD + GOOD.replace(ID, "12"), "line 2: `12` is not the SHA-256"),
        (HEAD + GOOD.replace(",3,,", ",3,not-a-digit,"), "line 2: both the digit 3"),
        (HEAD + GOOD.replace(",8,", ",eight,"), "line 2: read as `eight`"),
        (HEAD + GOOD + "a,b\r\n", "line 3: not as many fields"),
        (HEAD + GOOD.strip() + ",more\r\n", "line 2: not as many fields"),
        (HEAD + f'{ID},"a.png', "line 2: not CSV"),
        ((HEAD + GOOD).encode() + b"caf\xe9", "line 3: not UTF-8"),
        (HEAD + GOOD.replace(",3,", ",x,") * 7, "and 2 more"),
    ],
)
def test_a_wrong_sheet_is_refused_by_its_lines(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(DataError) as refusal:
        read_sheet(sheet(tmp_path, content))
    assert words in refusal.value.what
    assert "Nothing was stored" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_such_sheet(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_sheet(tmp_path / "corrections.csv")


def test_what_goes_out_is_no_formula_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    row: dict[str, object] = {
        "id": ID, "file": "=HYPERLINK()", "read": 4, "confidence": "0.5", "run": "score-0001"
    }  # fmt: skip
    write_sheet(path, [{**row, "kind": "audit"}])
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["file"] == "./=HYPERLINK()"
    (line,) = read_sheet(path)
    assert (line.answered, line.kind, line.read) == (False, "audit", 4)
