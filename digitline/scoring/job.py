"""Named jobs: a job remembers where the answers of its last run lie."""

import logging
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest, write_bytes
from digitline.errors import DataError, SettingsError
from digitline.records import RecordError, from_bytes, to_bytes

_log = logging.getLogger("digitline")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class LastRun(BaseModel):
    """The last run of a job that ended: where its results lie, and what its answers rest on.

    `basis` is a digest over the model, the normaliser and the settings that shape an answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    results: Path
    basis: str

    def manifest(self) -> Manifest | None:
        """Read the manifest of its results, `None` where they are gone."""
        return read_manifest(self.results)


def check_name(name: str) -> None:
    """Raise `SettingsError` unless a job may be called so."""
    if _NAME.fullmatch(name) is None:
        raise SettingsError(
            f"a job cannot be called `{name}`", todo="Use letters, digits, dots and dashes"
        )


def read_last(jobs: Path, name: str) -> LastRun | None:
    """Read what a job remembers, `None` where it has not run; `DataError` where it is damaged."""
    path = _file(jobs, name)
    try:
        last = from_bytes(path.read_bytes(), LastRun)
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise DataError(
            f"what the job remembers {error}", where=path, todo="Remove the file"
        ) from error
    return last.model_copy(update={"results": jobs.parent / last.results})


def write_last(jobs: Path, name: str, last: LastRun) -> None:
    """Let a job remember a run; a home may move, or be seen from elsewhere."""
    if last.results.is_relative_to(jobs.parent):
        last = last.model_copy(update={"results": last.results.relative_to(jobs.parent)})
    write_bytes(_file(jobs, name), to_bytes(last))


def _file(jobs: Path, name: str) -> Path:
    return jobs / f"{name}.json"
