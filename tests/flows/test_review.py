"""What people looked at goes out and comes back by the command line, without Prefect."""

import csv
from pathlib import Path

import pytest

from digitline.errors import DataError, SourceError, StorageError
from flows.command_line import exit_code
from tests.conftest import Scans


def run(arguments: list[str]) -> int:
    """Give the exit code, whichever way the command ends."""
    try:
        return exit_code(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_a_sheet_goes_out_comes_back_and_is_told_of(
    scans: Scans, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.csv"
    assert run(["review", "export", scans.run, "--out", str(sheet)]) == 0
    assert "12 accepted, drawn at random" in capsys.readouterr().out
    with sheet.open(newline="") as file:
        rows = [{**row, "digit": row["read"]} for row in csv.DictReader(file)]
    audited = next(row for row in rows if row["kind"] == "audit")
    audited["digit"] = str((int(audited["read"]) + 1) % 10)
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    order = ["review", "import", str(sheet), "--by", "Ann\x1b[2J", "--why", "monday"]
    assert run(order) == 0
    assert f"{len(rows)} digits and 0 that are none" in capsys.readouterr().out
    assert run(order) == 0
    assert f"Nothing new: all {len(rows)} answers" in capsys.readouterr().out
    assert run(["review", "status"]) == 0
    told = capsys.readouterr().out
    assert "of 12 accepted answers drawn at random 1 were wrong: 8.33%" in told
    assert "95 % sure between 0.21% and 38.48%" in told
    assert "Ann\\x1b[2J  monday" in told


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["export", "--out", "sheet.csv", "nowhere"], SourceError.exit_code),
        (["export", "--out", "."], StorageError.exit_code),
        (["import", "nowhere.csv"], SourceError.exit_code),
        (["import", "bad.csv"], DataError.exit_code),
    ],
)
def test_mistakes_have_their_codes(
    scans: Scans,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("id,file\n")
    assert run(["review", *arguments]) == code


@pytest.mark.usefixtures("home")
def test_nothing_imported_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["review", "status"]) == 0
    assert "digitline review import" in capsys.readouterr().out
