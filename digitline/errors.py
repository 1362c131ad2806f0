"""What can go wrong that a person can put right, each kind with an exit code of its own."""

from pathlib import Path
from typing import ClassVar

from digitline.names import printable


class DigitlineError(Exception):
    """An error for people: `str(error)` is one line saying what, where and what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | Path | None = None, todo: str = "") -> None:
        """Say `what` went wrong, `where` (a path or an address), and what to do about it."""
        self.what = what
        self.where = None if where is None else str(where)
        self.todo = todo
        super().__init__(what)

    def __str__(self) -> str:
        """Say it in one line, whatever the names in it contain."""
        line = self.what if self.where is None else f"{self.what}: {self.where}"
        return printable(f"{line}. {self.todo}" if self.todo else line)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel whole between processes, which `Exception` alone does not."""
        return _rebuild, (type(self), self.what, self.where, self.todo)


def _rebuild(kind: type[DigitlineError], what: str, where: str | None, todo: str) -> DigitlineError:
    return kind(what, where=where, todo=todo)


class SettingsError(DigitlineError):
    """A setting, a recipe or an option has a value that makes no sense."""

    exit_code = 3


class SourceError(DigitlineError):
    """A source is unknown, missing, empty or cannot be fetched."""

    exit_code = 4


class DataError(DigitlineError):
    """Rows do not have the promised columns or types, or a blocking check failed."""

    exit_code = 5


class NoModelError(DigitlineError):
    """There is no champion yet, or no model of that version."""

    exit_code = 6


class TamperedError(DigitlineError):
    """A signature, a digest or a golden row does not match: nothing was executed."""

    exit_code = 7


class RetiredKeyError(TamperedError):
    """A signature is by a key that was retired: what it signed is not trusted any more."""

    exit_code = 16


class IncompatibleError(DigitlineError):
    """A model and rows, or a model and this version of Digitline, do not fit together."""

    exit_code = 8


class StorageError(DigitlineError):
    """A file could not be written or read: no permission, no space, a failing disk."""

    exit_code = 9


class BusyError(DigitlineError):
    """Another run of the same job holds the lock."""

    exit_code = 10


class TrainingError(DigitlineError):
    """Training cannot give a model worth keeping: one class, too few rows, a loss of NaN."""

    exit_code = 11


class TooManyErrorsError(DigitlineError):
    """More images failed than the run allows; what is known has been written."""

    exit_code = 12


class OrchestrationError(DigitlineError):
    """Prefect's server did not start or could not be reached."""

    exit_code = 13
