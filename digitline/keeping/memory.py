"""What an unattended job remembers from one time to the next: tries, failures, what is done."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from digitline.commit import write_bytes
from digitline.errors import DataError
from digitline.records import RecordError, from_bytes, to_bytes

_FIRST_PAUSE = 300.0  # seconds; doubled from failure to failure


class Memory(BaseModel):
    """What a job remembers.

    `began` is when its last try began, `open` whether that has not come to an end, `done`
    identifies what was done last, `failures` are those in a row, `error` the last of them, `again`
    the moment before which it is not tried again, `told` the error somebody has been told of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    began: datetime | None = None
    open: bool = False
    done: str = ""
    failures: int = 0
    error: str = ""
    again: datetime | None = None
    told: str = ""

    def why_not(self, scheduled: datetime, now: datetime) -> str:
        """Say why a run that was scheduled for then is not needed now; nothing where it is."""
        if self.began is not None and self.began >= scheduled:
            return f"late: a run that began at {self.began:%d %b %H:%M} has caught up already"
        if self.again is not None and now < self.again:
            return (
                f"waiting until {self.again:%d %b %H:%M} after {self.failures} failures in a row: "
                f"{self.error}"
            )
        return ""

    def try_at(self, now: datetime) -> Self:
        """Remember that a try begins."""
        return self.model_copy(update={"began": now, "open": True})

    def leave(self) -> Self:
        """Remember that the try came to nothing, and was none: somebody else is at it."""
        return self.model_copy(update={"open": False})

    def fail(self, error: str, now: datetime, longest: float) -> Self:
        """Remember a failure, and pause for longer than after the one before."""
        failures = self.failures + 1
        # The first may be a hiccup: no pause beyond that to the next scheduled time.
        pause = 0.0 if failures == 1 else min(longest, _FIRST_PAUSE * 2 ** min(failures - 1, 30))
        return self.model_copy(
            update={
                "open": False,
                "failures": failures,
                "error": error,
                "again": now + timedelta(seconds=pause),
            }
        )

    def is_news(self, patience: int) -> bool:
        """Say whether somebody should be told of the failure, which happens once an error."""
        return self.failures >= patience and self.told != self.error

    def tell(self) -> Self:
        """Remember that somebody has been told."""
        return self.model_copy(update={"told": self.error})

    def succeed(self, done: str) -> Self:
        """Remember what is done, and forget the failures."""
        return type(self)(began=self.began, done=done)


def read_memory(directory: Path, job: str) -> Memory:
    """Read what a job remembers, nothing where it has not run.

    Raises `DataError` where the file is damaged.
    """
    path = directory / f"{job}.json"
    try:
        return from_bytes(path.read_bytes(), Memory)
    except FileNotFoundError:
        return Memory()
    except RecordError as error:
        raise DataError(
            f"what the service remembers {error}", where=path, todo="Remove the file"
        ) from error


def write_memory(directory: Path, job: str, memory: Memory) -> None:
    """Let a job remember."""
    write_bytes(directory / f"{job}.json", to_bytes(memory), mode=0o600)
