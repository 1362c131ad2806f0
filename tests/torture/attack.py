"""An attack: how often it is made, with which dice, and what came of it.

`make test` makes a few rounds of each. With `TORTURE` in the environment, a share of the whole
number (1 for all of it), each round is noted in `bench/torture`, one that fails does not keep the
next from being made, and the notes, all that are there, become `bench/torture.md`. What was cut off
goes on from its notes; those of other code or another seed are begun anew.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import pytest

from digitline.commit import write_bytes

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "bench" / "torture"
TABLE = ROOT / "bench" / "torture.md"
SEED = int(os.environ.get("TORTURE_SEED", "0"))
# Share of the whole numbers; nothing for the small part of `make test`.
SCALE = float(os.environ.get("TORTURE", "0"))
_MOST = 600  # letters that are told of a failure

_HEAD = """# Torture

Written by `make torture`: each attack of `tests/torture`, how often it was made, and in how many of
these cases what must hold held. `make torture TORTURE=0.1` makes a tenth of each; `TORTURE_SEED`
rolls other dice. Seconds are of wall time, on a machine that was doing other things as well. The
code is told by a digest of `digitline`, `flows` and `tasks`: that of this checkout is printed by
`python -m tests.torture.attack`.

| attack | what must hold | cases | of | held | seconds | seed | code |
| --- | --- | --: | --: | --: | --: | --: | --- |
"""


@dataclass
class Note:
    """What has come of an attack so far."""

    row: int
    name: str
    holds: str
    of: int
    seed: int
    code: str
    done: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    remark: str = ""


@dataclass
class Round:
    """Some cases of an attack: their number, and dice that are theirs alone."""

    first: int
    cases: int
    dice: Random
    note: Note

    def remark(self, words: str) -> None:
        """Say something about the attack in the table."""
        self.note.remark = words


@dataclass(frozen=True)
class Attack:
    """A row of the table: its place, what is done, what must hold, and how often it is done.

    `batch` cases make a round: they are reported together.
    """

    row: int
    name: str
    holds: str
    small: int
    full: int
    batch: int = 1

    @property
    def cases(self) -> int:
        """How many cases there are to be."""
        return max(self.small, round(SCALE * self.full)) if SCALE else self.small

    def rounds(self) -> "Iterator[_Trial]":
        """Give rounds to be made, each `with round as ...:`; fail in the end where one failed."""
        note = self._open()
        while note.done < self.cases:
            size = min(self.batch, self.cases - note.done)
            dice = Random(f"{SEED} {self.name} {note.done}")
            yield _Trial(note, Round(note.done, size, dice, note))
            note.done += size
            self.keep(note)
        if note.failures:
            pytest.fail("\n".join(note.failures))

    def keep(self, note: Note) -> None:
        """Keep what has come of it, and write the table."""
        if SCALE:
            NOTES.mkdir(exist_ok=True)
            # Whole at any moment: another attack that runs beside this one reads it.
            write_bytes(self._file, json.dumps(asdict(note), indent=2).encode() + b"\n")
            write_table()

    def _open(self) -> Note:
        fresh = Note(self.row, self.name, self.holds, self.full, SEED, code_digest())
        if not SCALE or not self._file.exists():
            return fresh
        kept = Note(**json.loads(self._file.read_text()))
        same = (kept.name, kept.seed, kept.code) == (fresh.name, fresh.seed, fresh.code)
        return kept if same else fresh

    @property
    def _file(self) -> Path:
        return NOTES / f"{self.row:02d}.json"


@dataclass
class _Trial:
    note: Note
    round: Round

    def __enter__(self) -> Round:
        self.began = time.monotonic()
        return self.round

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.note.seconds += time.monotonic() - self.began
        if not SCALE or not isinstance(error, Exception):
            return False
        words = _abridge(" ".join(str(error).split())) or type(error).__name__
        self.note.failures.append(f"{self.note.name}, from case {self.round.first}: {words}")
        return True


def code_digest() -> str:
    """Identify the code that was attacked, in 8 hex digits."""
    digest = hashlib.sha256()
    for room in ("digitline", "flows", "tasks"):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _abridge(words: str) -> str:
    """Leave out the middle of what is too long: how it began and how it ended tell most."""
    return words if len(words) <= _MOST else f"{words[: _MOST // 2]} ... {words[-_MOST // 2 :]}"


def write_table() -> None:
    """Write `bench/torture.md` from the notes of all attacks."""
    notes = [Note(**json.loads(path.read_text())) for path in sorted(NOTES.glob("*.json"))]
    lines = [_line(note) for note in notes]
    failures = [f"- {failure}\n" for note in notes for failure in note.failures]
    told = ["\nWhat did not hold:\n\n", *failures] if failures else []
    write_bytes(TABLE, (_HEAD + "".join(lines) + "".join(told)).encode())


def _line(note: Note) -> str:
    name = f"{note.name} ({note.remark})" if note.remark else note.name
    failed = len(note.failures)
    held = "all" if note.done and not failed else f"all but in {failed} rounds" if failed else "-"
    return (
        f"| {name} | {note.holds} | {note.done:,} | {note.of:,} | {held} | {note.seconds:,.0f} "
        f"| {note.seed} | {note.code} |\n"
    )


@contextmanager
def explained(case: str) -> Iterator[None]:
    """Say with a failure which case it was."""
    try:
        yield
    except Exception as error:
        error.add_note(case)
        raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    print(code_digest())
