"""A training under way, on disk: plain arrays and JSON, nothing that could run."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from digitline.commit import replacing, sweep_drafts
from digitline.errors import TrainingError
from digitline.learning.epoch import Epoch

Arrays = Mapping[str, NDArray[np.float32]]

_PROGRESS = "progress"


class Progress(BaseModel):
    """How far a training has come, and how many rows it has `seen`.

    `plan` is the digest of all that determines its result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    step: int
    seen: int
    best_epoch: int
    curve: tuple[Epoch, ...]


def save(path: Path, progress: Progress, arrays: Arrays) -> None:
    """Write a checkpoint, atomically; `StorageError` where that fails."""
    text = np.frombuffer(progress.model_dump_json().encode(), np.uint8)
    with replacing(path, mode=0o600) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_PROGRESS: text}, **arrays)


def load(path: Path, plan: str, arrays: Arrays) -> Progress | None:
    """Read the checkpoint of `plan` into `arrays`; `None` where there is no file.

    What a process that was killed left half written is removed: it may be many megabytes.
    Raises `TrainingError` where it cannot be read or belongs to another plan.
    """
    sweep_drafts(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            progress = Progress.model_validate_json(archive[_PROGRESS].tobytes())
            if progress.plan != plan:
                raise TrainingError(
                    "the checkpoint belongs to another recipe, other rows or another seed",
                    where=path,
                    todo="Remove it to train from the start",
                )
            for name, array in arrays.items():
                np.copyto(array, archive[name], casting="no")
    except FileNotFoundError:
        return None
    except (
        *(OSError, ValueError, TypeError, KeyError, EOFError),
        *(zipfile.BadZipFile, ValidationError),
    ) as error:
        raise TrainingError(
            "the checkpoint cannot be read", where=path, todo="Remove it to train from the start"
        ) from error
    return progress
