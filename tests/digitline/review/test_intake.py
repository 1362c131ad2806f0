import csv
import hashlib
from pathlib import Path

import pytest

from digitline.commit import MANIFEST_NAME, read_manifest
from digitline.errors import DataError
from digitline.pixels.decode import Limits
from digitline.review.answered import find_answered
from digitline.review.intake import Taken, Word, take_in
from digitline.review.outgoing import send_out
from digitline.review.store import DIGITS, OTHERS, Store
from digitline.rows import RAW, labels, read_batches
from tests.conftest import Scans

Row = dict[str, str]
LIMITS = Limits()


def sent(scans: Scans, place: Path, **changes: int) -> list[Row]:
    """Give the lines of a sheet that went out."""
    options = {"most": 300, "audit": 12} | changes
    out = send_out(
        find_answered(scans.home, scans.run),
        place / "out.csv",
        store=Store(scans.home.corrections),
        limits=LIMITS,
        **options,
    )
    with out.sheet.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    out.sheet.unlink()
    return rows


def fill(rows: list[Row], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def take(scans: Scans, sheet: Path, *, replace: bool = False) -> Taken:
    return take_in(sheet, scans.home, Word("Ann", "2026-01-02", "", replace), LIMITS)


def agreed(rows: list[Row]) -> list[Row]:
    """Let a person say what was read."""
    return [{**row, "digit": row["read"]} for row in rows]


@pytest.fixture
def rows(scans: Scans, tmp_path: Path) -> list[Row]:
    return sent(scans, tmp_path)


def test_a_filled_sheet_is_kept_with_the_images_themselves(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    filled = agreed(rows)
    filled[0] |= {"digit": "", "note": "not-a-digit"}
    filled[1] |= {"digit": ""}
    taken = take(scans, fill(filled, tmp_path / "in.csv"))
    assert taken.stored is not None
    assert (taken.new, taken.known, taken.open) == (len(rows) - 1, 0, 1)
    assert (taken.stored.digits, taken.stored.others) == (len(rows) - 2, 1)
    directory = scans.home.corrections / "0001"
    (batch,) = read_batches(directory / DIGITS)
    assert batch.schema.equals(RAW)
    said = {row["id"]: int(row["digit"]) for row in filled[2:]}
    for image, label in zip(batch.column("image").to_pylist(), labels(batch), strict=True):
        assert said[hashlib.sha256(image["bytes"]).hexdigest()] == label
        assert (scans.folder / image["path"]).read_bytes() == image["bytes"]
    assert next(read_batches(directory / OTHERS)).column("label").to_pylist() == [None]
    manifest = read_manifest(directory)
    assert manifest is not None
    assert (manifest.facts["by"], manifest.facts["when"]) == ("Ann", "2026-01-02")


def test_the_same_sheet_again_changes_nothing(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    sheet = fill(agreed(rows), tmp_path / "in.csv")
    take(scans, sheet)
    before = {path: path.stat().st_mtime_ns for path in scans.home.corrections.rglob("*")}
    again = take(scans, sheet)
    assert (again.stored, again.new, again.known) == (None, 0, len(rows))
    assert {path: path.stat().st_mtime_ns for path in scans.home.corrections.rglob("*")} == before


def test_a_desk_that_went_on_brings_only_what_is_new(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    take(scans, fill(agreed(rows[:5]), tmp_path / "first.csv"))
    taken = take(scans, fill(agreed(rows[:8]), tmp_path / "second.csv"))
    assert (taken.new, taken.known) == (3, 5)
    store = Store(scans.home.corrections)
    assert sum(batch.num_rows for batch in store.rows(DIGITS)) == 8


def test_an_accepted_answer_counts_as_audit_only_where_it_was_drawn(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    desk = [{key: value for key, value in row.items() if key != "kind"} for row in agreed(rows)]
    take(scans, fill(desk, tmp_path / "desk.csv"))
    kinds = {answer.id.hex(): answer.kind for answer in Store(scans.home.corrections).answers()}
    assert kinds == {row["id"]: row["kind"] for row in rows}
    more = sent(scans, tmp_path, audit=90)
    picked = next(row for row in more if row["id"] not in kinds)
    picked = {key: value for key, value in picked.items() if key != "kind"}
    take(scans, fill([picked | {"digit": "1"}], tmp_path / "picked.csv"))
    assert Store(scans.home.corrections).answers()[-1].kind == "chosen"


def other(digit: str) -> str:
    return str((int(digit) + 1) % 10)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("id", "0" * 64, "line 3: score-0001 knows no image with the id 0000"),
        ("file", "else.png", "not `else.png`"),
        ("run", "score-0042", "line 3: its run `score-0042` cannot be found (no such run)"),
        ("run", ".", "line 3: its run `.` cannot be found"),
        ("read", "other", "line 3: score-0001 read a "),
        ("digit", "10", "line 3: `10` is not a digit"),
    ],
)
def test_one_wrong_line_stores_nothing(
    scans: Scans, rows: list[Row], tmp_path: Path, column: str, value: str, words: str
) -> None:
    filled = agreed(rows)
    filled[1][column] = other(filled[1]["read"]) if value == "other" else value
    with pytest.raises(DataError) as refusal:
        take(scans, fill(filled, tmp_path / "in.csv"))
    assert words in refusal.value.what
    assert not list(scans.home.corrections.glob("*"))


def test_two_words_on_one_image_are_refused(scans: Scans, rows: list[Row], tmp_path: Path) -> None:
    filled = agreed(rows[:2])
    filled.append(filled[0] | {"digit": other(filled[0]["digit"])})
    with pytest.raises(DataError, match=r"line 4: ., but line 2 says ."):
        take(scans, fill(filled, tmp_path / "in.csv"))
    assert not list(scans.home.corrections.glob("*"))


def test_an_earlier_word_stands_until_it_is_replaced(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    first = agreed(rows[:3])
    take(scans, fill(first, tmp_path / "first.csv"))
    second = [first[0] | {"digit": other(first[0]["digit"])}, first[1]]
    sheet = fill(second, tmp_path / "second.csv")
    with pytest.raises(DataError, match=r"line 2: .*an earlier import says"):
        take(scans, sheet)
    assert len(Store(scans.home.corrections).imports()) == 1
    taken = take(scans, sheet, replace=True)
    assert (taken.new, taken.known) == (1, 1)
    store = Store(scans.home.corrections)
    found = {
        row["path"]: label
        for batch in store.rows(DIGITS)
        for row, label in zip(batch.column("image").to_pylist(), labels(batch), strict=True)
    }
    assert found == {row["file"]: int(row["digit"]) for row in [second[0], first[1], first[2]]}
    assert take(scans, sheet).stored is None


def test_an_image_that_changed_or_went_is_named(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    changed, gone = (scans.folder / rows[place]["file"] for place in (0, 1))
    kept = {path: path.read_bytes() for path in (changed, gone)}
    try:
        changed.write_bytes(kept[gone])
        gone.unlink()
        with pytest.raises(DataError) as refusal:
            take(scans, fill(agreed(rows), tmp_path / "in.csv"))
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert f"line 2: `{changed.name}` has changed since it was scored" in refusal.value.what
    assert f"line 3: `{gone.name}` there is no such file" in refusal.value.what
    assert not list(scans.home.corrections.glob("*"))


def test_an_import_that_was_cut_off_does_not_count(
    scans: Scans, rows: list[Row], tmp_path: Path
) -> None:
    sheet = fill(agreed(rows[:3]), tmp_path / "in.csv")
    take(scans, sheet)
    (scans.home.corrections / "0001" / MANIFEST_NAME).unlink()  # as if killed before the end
    assert Store(scans.home.corrections).imports() == []
    taken = take(scans, sheet)
    assert taken.stored is not None
    assert taken.stored.name == "0001"
    assert len(Store(scans.home.corrections).answers()) == 3


def test_images_go_out_beside_the_sheet(scans: Scans, tmp_path: Path) -> None:
    out = send_out(
        find_answered(scans.home, None),
        tmp_path / "out",
        most=4,
        audit=2,
        store=Store(scans.home.corrections),
        limits=LIMITS,
    )
    assert (out.queue, out.audit, out.missing) == (4, 2, 0)
    with out.sheet.open(newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    images = sorted((tmp_path / "out" / "images").iterdir())
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in images] == ids
