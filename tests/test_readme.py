"""The README says what is there: every module, every exit code, every reason."""

import ast
from pathlib import Path

import pytest

from digitline import errors
from digitline.scoring.reasons import REASONS
from flows import command_line
from flows.commands.doctor import AILING

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
MODULES = [
    path
    for room in ("flows", "tasks", "digitline")
    for path in sorted((ROOT / room).rglob("*.py"))
    if path.name != "__init__.py"
]


def phrase(path: Path) -> str:
    summary = ast.get_docstring(ast.parse(path.read_text())) or ""
    return summary.split("\n\n")[0].replace("\n", " ").rstrip(".")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tree_has_the_phrase_that_the_module_gives_itself(path: Path) -> None:
    lines = [line.split(maxsplit=1) for line in README.splitlines()]
    assert [path.name, phrase(path)] in lines


def test_every_exit_code_is_explained() -> None:
    codes = [kind.exit_code for kind in errors.DigitlineError.__subclasses__()]
    own = [
        0,
        command_line.UNEXPECTED_ERROR,
        command_line.USAGE_ERROR,
        command_line.UNREADABLE,
        AILING,
        command_line.INTERRUPTED,
    ]
    assert len({*codes, *own}) == len(codes) + len(own)
    assert all(f"| {code} |" in README for code in (*codes, *own))


def test_every_reason_is_explained() -> None:
    assert all(f"| {reason} | {words} |" in README for reason, words in REASONS.items())
