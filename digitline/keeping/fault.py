"""What a check-up of the home comes to: what is wrong, where, what to do, and what mends it."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from digitline.commit import storage_errors
from digitline.names import printable

BACKUP = "Put it back from a backup"


class Remedy(StrEnum):
    """How something is put right without anybody's data being lost."""

    REMOVE = "remove"  # what a process that was killed has left, and nothing refers to
    QUARANTINE = "quarantine"  # out of the way, and kept
    RETURN = "return"  # a data set, under the name it had before it was to be replaced
    CHMOD = "chmod"
    INDEX = "index"  # the champions and the index over all reports, written anew


class Fault(BaseModel):
    """Something wrong; without a remedy a person has to act.

    The remedy is for `target`, where that is more than the file itself; `CHMOD` sets `mode`.
    """

    model_config = ConfigDict(frozen=True)

    where: Path
    what: str
    todo: str
    remedy: Remedy | None = None
    target: Path | None = None
    mode: int | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        return printable(f"{self.where}: {self.what}. {self.todo}")


class Note(BaseModel):
    """Something that is as it may be, and good to know."""

    model_config = ConfigDict(frozen=True)

    where: Path
    what: str

    def __str__(self) -> str:
        """Say it in one line."""
        return printable(f"{self.where}: {self.what}")


class Checkup(BaseModel):
    """What was checked, how many of each and what there is one of, and what was found."""

    model_config = ConfigDict(frozen=True)

    home: Path
    checked: dict[str, int]
    besides: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[Note, ...]

    @property
    def healthy(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.faults


Found: TypeAlias = Iterator[Fault | Note]


def tell_stranger(path: Path) -> Fault:
    """Tell of something that none of ours has put there."""
    return Fault(
        where=path,
        what="an orphan: nothing refers to it",
        todo="Keep it elsewhere, if it is yours",
        remedy=Remedy.QUARANTINE,
    )


def list_entries(directory: Path) -> list[Path]:
    """List what lies in a directory; nothing where there is none."""
    with storage_errors(directory):
        try:
            return sorted(directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
