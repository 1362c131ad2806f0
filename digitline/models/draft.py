"""A fitted model on its way to being registered: not signed yet, so it never leaves the home."""

from pathlib import Path
from typing import Any

from digitline.commit import write_bytes
from digitline.errors import TamperedError
from digitline.models.card import digest
from digitline.models.files import read_file
from digitline.models.pickling import to_bytes
from digitline.models.unpickling import unpickle


def write_draft(path: Path, estimator: Any) -> str:  # noqa: ANN401 - scikit-learn has no types
    """Write a fitted classifier to a private file; give its SHA-256."""
    content = to_bytes(estimator)
    write_bytes(path, content, mode=0o600)
    return digest(content)


def read_draft(path: Path, sha256: str) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Read a draft back; `TamperedError` where it is not the one that was written."""
    content = read_file(path)
    if digest(content) != sha256:
        raise TamperedError(
            "the draft differs from what training wrote", where=path, todo="Train again"
        )
    return unpickle(content, path)
