"""`digitline doctor` on a home that scoring, review, promotion and pruning have been through."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import drafting
from digitline.home import Home
from digitline.keeping.checkup import examine, list_exams
from digitline.keeping.fault import Checkup
from digitline.learning.parts import Origin
from digitline.learning.split import Shares
from digitline.models.card import Facts, golden_pixels
from digitline.models.registry import Registry
from digitline.models.rotation import rotate
from digitline.pixels.decode import Limits
from digitline.report.index import rebuild_index
from digitline.sources.checks import Checks
from flows.command_line import exit_code
from flows.commands.doctor import AILING
from tasks.ingest import ingest_source
from tasks.normalise import normalise_rows
from tasks.split import split_by_digest
from tasks.suspect import suspect_labels
from tests.conftest import Scans

pytestmark = pytest.mark.usefixtures("prefect_server")

SETTINGS = {"DIGITLINE_THRESHOLD": "0.9", "DIGITLINE_BULK__WORKERS": "1"}


@pytest.fixture(scope="module")
def lived_in(
    session_scans: Scans,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Prepare data, score, import corrections, promote, roll back, rotate the keys and prune."""
    from flows.score import score  # noqa: PLC0415 - slow to load

    place = tmp_path_factory.mktemp("doctor")
    for number, (content, label) in enumerate(zip(*mnist, strict=True)):
        part = place / (f"labelled/{label}" if number < 300 else "scans")
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{number:04d}.png").write_bytes(content)
        if number == 330:
            break
    home = Home(Path(shutil.copytree(session_scans.home.root, place / "home")))
    _prepare(place / "labelled", home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "DIGITLINE_HOME": str(home.root)}.items():
            patch.setenv(name, value)
        score(str(place / "scans"), job="mail", out=place / "elsewhere", kind="csv")
        sheet = place / "sheet.csv"
        assert run(["review", "export", session_scans.run, "--out", str(sheet)]) == 0
        _fill_in(sheet)
        assert run(["review", "import", str(sheet)]) == 0
        _register_again(home)
        assert run(["models", "promote", "m0002"]) == 0
        assert run(["models", "rollback"]) == 0
        assert run(["keys", "rotate"]) == 0
        assert run(["prune"]) == 0
    return home.root


def _prepare(labelled: Path, home: Home) -> None:
    """Do what a retraining does before it trains: ingest, normalise, suspect and split."""
    data = ingest_source.fn(str(labelled), home, Checks(), Limits())
    rows = normalise_rows.fn(data.directory, home.normalised, Limits())
    suspect_labels.fn(data.directory, rows.directory, home.normalised)
    origin = Origin(data.directory.name, rows.directory / "train.parquet")
    split_by_digest.fn([origin], home.splits, Shares())


def run(arguments: list[str]) -> int:
    """Give the exit code, whichever way the command ends."""
    try:
        return exit_code(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def _register_again(home: Home) -> None:
    registry = Registry(home.models, home.keys)
    model = registry.load("m0001")
    facts = Facts.model_validate(model.card.model_dump(include=set(Facts.model_fields)))
    again = facts.model_copy(update={"run": "retrain-0002"})
    golden = golden_pixels(model.card.golden)
    registry.register(model.estimator, again, golden)


def _fill_in(sheet: Path) -> None:
    with sheet.open(newline="") as file:
        rows = [{**row, "digit": row["read"]} for row in csv.DictReader(file)]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def used(home: Home, lived_in: Path) -> Home:
    shutil.copytree(lived_in, home.root, dirs_exist_ok=True, symlinks=True)
    return home


def check(home: Home) -> Checkup:
    return examine(home, list_exams(home), lambda *_: None)


def test_a_home_that_was_used_is_healthy(used: Home) -> None:
    checkup = check(used)
    assert checkup.faults == ()
    assert checkup.notes == ()


def test_the_command_says_so_without_loading_prefect(used: Home) -> None:
    program = (
        "import atexit, sys; from flows.command_line import main;"
        "sys.argv = ['', 'doctor', '--json'];"
        "atexit.register(lambda: print(int('prefect' in sys.modules), file=sys.stderr)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == "0\n"
    told = json.loads(done.stdout)
    assert (done.returncode, told["healthy"], told["faults"]) == (0, True, [])
    assert told["checked"]["models"] == 2
    assert told["checked"]["files"] > 50


# Files that stand for others, so that whoever changes them makes others unreadable as well.
ALONE = (
    *("_MANIFEST.json", "plan.json", "card.json", "signature.json"),
    *("signing.pub", "signing.pem", "champion.json", "high-water.json", "trusted"),
)


def files_of(home: Home, kind: str) -> list[Path]:
    """List the committed files of a name, or all of those that have no others to stand for."""
    found = [path for path in home.root.rglob("*") if path.is_file()]
    committed = [
        path
        for path in found
        if not path.is_relative_to(home.prefect) and not path.name.endswith(("lock", ".db"))
    ]
    names = {path: "trusted" if path.parent.name == "trusted" else path.name for path in committed}
    if kind == "the rest":
        return [path for path in committed if names[path] not in ALONE and path.stat().st_size]
    return [path for path in committed if names[path] == kind]


@pytest.mark.parametrize("kind", [*ALONE, "the rest"])
def test_a_changed_byte_is_found_wherever_it_is(used: Home, kind: str) -> None:
    dice = random.Random()  # noqa: S311 - where a disk fails is no secret
    changed = files_of(used, kind)
    assert changed
    for path in changed:
        content = bytearray(path.read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
    faults = check(used).faults
    named = {fault.where for fault in faults}
    if kind == "signature.json":  # told with the card: one of the two does not fit the other
        changed = [path.with_name("card.json") for path in changed if path not in named]
    assert set(changed) <= named


def litter(home: Home) -> None:
    """Leave behind what processes that were killed could leave, and what nobody should."""
    run = next(path for path in home.runs.glob("score-*") if list(path.glob("predictions*")))
    (run / ".errors-00000.parquet.0123456789ab").write_bytes(b"half")
    (home.models / ".m0009.0123456789ab").mkdir()
    (home.models / ".m0009.0123456789ab" / "card.json").write_text("{}")
    (home.normalised / ".going.mine-0.0123456789ab").mkdir()
    (home.splits / ("a" * 16)).mkdir()
    (home.splits / ("a" * 16) / "test.parquet").write_bytes(b"half")
    (home.corrections / "0007").mkdir()
    (home.corrections / "0007" / "digits.parquet").write_bytes(b"half")
    home.checkpoints.mkdir(exist_ok=True)
    (home.checkpoints / "retrain-0001.npz").write_bytes(b"arrays")
    (home.runs / "score-0099").mkdir()
    (home.runs / "notes.txt").write_text("mine")
    (run / "extra.parquet").write_bytes(b"rows")
    (home.data / ".old.retired").mkdir()


def loosen(home: Home) -> None:
    (home.keys / "signing.pem").chmod(0o644)
    (home.keys / "signing.pub").chmod(0o666)
    home.keys.chmod(0o755)
    home.private.chmod(0o755)


def spoil_what_can_be_made_again(home: Home) -> None:
    for tree in (home.normalised, home.splits):
        spoil(next(tree.glob("*/*.parquet")))
    (home.reports / "index.html").unlink()
    (home.reports / "champions.json").write_text("[]")
    spoil(home.jobs / "mail.json")
    spoil(home.jobs / "usual" / "mail.json")


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("hurt", [litter, loosen, spoil_what_can_be_made_again])
def test_what_can_be_repaired_is_and_nothing_of_anybodys_is_deleted(
    used: Home, hurt: Callable[[Home], None], capsys: pytest.CaptureFixture[str]
) -> None:
    hurt(used)
    before = len(check(used).faults)
    assert before > 0
    assert run(["doctor"]) == AILING
    assert "--repair" in capsys.readouterr().out
    assert run(["doctor", "--repair"]) == 0, capsys.readouterr().out
    assert "Nothing is wrong" in capsys.readouterr().out
    assert check(used).faults == ()
    assert all(finding.sound for finding in Registry(used.models, used.keys).verify())
    kept = {path.name for path in used.quarantine.rglob("*") if path.is_file()}
    if hurt is litter:
        assert {"notes.txt", "extra.parquet", "digits.parquet"} <= kept
        assert (used.data / "old").is_dir()
    if hurt is spoil_what_can_be_made_again:
        assert "mail.json" in kept


def test_what_cannot_be_repaired_is_said_and_left_alone(
    used: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    hurt = [
        next(used.corrections.glob("*/digits.parquet")),
        next(used.runs.glob("score-*/predictions-*.parquet")),
        used.models / "m0001" / "model.joblib",
        next(used.reports.glob("*/report.html")),
    ]
    for path in hurt:
        spoil(path)
    assert run(["doctor", "--repair"]) == AILING
    told = capsys.readouterr().out
    assert all(f"wrong     {path}" in told for path in hurt)
    assert all(path.exists() for path in hurt)


def test_a_challenger_that_is_broken_is_put_aside(used: Home) -> None:
    card = Registry(used.models, used.keys).card("m0001")
    assert card.version == "m0001"
    shutil.copytree(used.models / "m0001", used.models / "m0007")
    assert run(["doctor", "--repair"]) == 0
    assert [path.name for path in used.quarantine.glob("*/models/*")] == ["m0007"]


def test_what_is_being_written_is_left_alone(used: Home) -> None:
    draft = used.models / ".m0009.0123456789ab"
    with drafting(used.models):
        draft.write_bytes(b"half")
        assert check(used).faults == ()
    with (used.runs / ".score.0123456789ab").open("wb"):
        assert {fault.where for fault in check(used).faults} == {draft}


def test_a_run_that_was_cut_off_may_go_on(used: Home) -> None:
    run = next(path for path in used.runs.glob("score-*") if list(path.glob("predictions*")))
    (run / "_MANIFEST.json").unlink()
    checkup = check(used)
    assert checkup.faults == ()
    assert any(note.where == run and "cut off" in note.what for note in checkup.notes)


def test_files_behind_links_are_not_taken_for_ours(used: Home, tmp_path: Path) -> None:
    rows = next(used.runs.glob("score-*/predictions-*.parquet"))
    rows.rename(tmp_path / "rows")
    rows.symlink_to(tmp_path / "rows")
    assert [fault.where for fault in check(used).faults] == [rows]


def test_an_old_pointer_and_a_missing_champion_are_told(used: Home) -> None:
    pointer = (used.models / "champion.json").read_bytes()
    assert run(["models", "promote", "m0002"]) == 0
    (used.models / "champion.json").write_bytes(pointer)
    (fault,) = [each for each in check(used).faults if each.where.name == "champion.json"]
    assert "old champion's pointer" in fault.what
    assert "--repair" in fault.todo


def test_an_index_that_lacks_a_run_is_written_anew(used: Home) -> None:
    reports = sorted(used.reports.glob("score-*"))
    rebuilt = used.reports / "index.html"
    reports[-1].rename(used.root / "away")
    rebuild_index(used.reports)
    (used.root / "away").rename(reports[-1])
    (fault,) = check(used).faults
    assert (fault.where, fault.what) == (rebuilt, f"{reports[-1].name} is not in it")
    assert run(["doctor", "--repair"]) == 0
    assert reports[-1].name in rebuilt.read_text()


def test_an_empty_home_is_healthy(home: Home) -> None:
    assert check(home).healthy
    assert list(home.root.iterdir()) == [], "looking makes nothing"


def test_keys_are_rotated_and_healthy(used: Home) -> None:
    rotate(Registry(used.models, used.keys))
    assert check(used).faults == ()
    assert os.stat(used.keys / "trusted").st_mode & 0o777 == 0o700  # noqa: PTH116 - a mode
