"""The dependency rule: flows -> tasks -> digitline -> libraries, and one way between the rooms."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("digitline", "tasks", "flows")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]

# What each room of the trade may use of the others; the beams are open to all of them.
MAY_USE = {
    "sources": {"pixels"},
    "pixels": set(),
    "learning": {"pixels"},
    "judging": set(),
    "models": {"pixels", "judging"},
    "report": {"judging", "pixels"},
    "scoring": {"sources", "pixels", "judging", "models"},
    "review": {"sources", "pixels", "scoring"},
    "keeping": {"sources", "models", "scoring", "report"},
}


@cache
def imported(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    wrong = [name for name in imported(path) if name.split(".")[0] in above]
    assert not wrong, f"{name_of(path)} imports upward: {wrong}"


@pytest.mark.parametrize("path", sorted((ROOT / "digitline").rglob("*.py")), ids=name_of)
def test_trade_knows_nothing_of_prefect(path: Path) -> None:
    assert not [name for name in imported(path) if name.split(".")[0].startswith("prefect")]


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").glob("*.py")), ids=name_of)
def test_verb_never_imports_another_verb(path: Path) -> None:
    verbs = {file.stem for file in (ROOT / "tasks").glob("*.py")} - {"__init__"}
    wrong = [
        name
        for name in imported(path)
        if name.split(".")[0] == "tasks" and name.split(".")[1] in verbs
    ]
    assert not wrong


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.parent.parent == ROOT / "digitline"],
    ids=name_of,
)
def test_rooms_of_the_trade_keep_to_their_neighbours(path: Path) -> None:
    room = path.parent.name
    used = {
        name.split(".")[1]
        for name in imported(path)
        if name.startswith("digitline.") and name.split(".")[1] in MAY_USE
    }
    assert used <= {room, *MAY_USE[room]}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.parent.parent == ROOT / "digitline"],
    ids=name_of,
)
def test_no_room_reads_the_settings(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("digitline.settings")]


def test_every_room_of_the_trade_is_in_the_table() -> None:
    rooms = {path.parent.name for path in (ROOT / "digitline").glob("*/__init__.py")}
    assert rooms == set(MAY_USE)


def test_no_flow_file_hides_a_room_or_a_dependency() -> None:
    names = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert not names & (rooms | set(sys.stdlib_module_names) | {"prefect", "cyclopts", "rich"})


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
