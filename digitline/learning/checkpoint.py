"""A training under way, on disk: plain arrays and JSON, nothing that could run."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from digitline.commit import replacing
from digitline.errors import TrainingError
from digitline.learning.epoch import Epoch

Arrays = dict[str, NDArray[np.float32]]


class Progress(BaseModel):
    """How far a training has come. `plan` is the digest of all that determines its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    step: int
    best_epoch: int
    curve: tuple[Epoch, ...]


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on as if it had never stopped."""

    progress: Progress
    arrays: Arrays


def digest_of(*lines: str) -> str:
    """SHA-256 over lines of text, as 64 hex digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically; `StorageError` where that fails."""
    progress = np.frombuffer(checkpoint.progress.model_dump_json().encode(), np.uint8)
    with replacing(path, mode=0o600) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, progress=progress, **checkpoint.arrays)


def load(path: Path, plan: str) -> Checkpoint | None:
    """Read the checkpoint of `plan`, `None` where there is no file.

    Raises `TrainingError` where it cannot be read or belongs to another plan.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            progress = Progress.model_validate_json(archive["progress"].tobytes())
            arrays = {name: archive[name] for name in archive.files if name != "progress"}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError) as error:
        raise TrainingError(
            "the checkpoint cannot be read", where=path, todo="Remove it to train from the start"
        ) from error
    if progress.plan != plan:
        raise TrainingError(
            "the checkpoint belongs to another recipe, other rows or another seed",
            where=path,
            todo="Remove it to train from the start",
        )
    return Checkpoint(progress, arrays)
