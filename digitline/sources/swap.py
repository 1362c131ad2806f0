"""A directory that is replaced as a whole: who opens it sees the old one or the new one.

The new directory is made under a dot-name beside the old, then the two names are exchanged in one
step of the kernel (`renameat2`). File systems without that step get two renames instead; between
them the old directory is still found under its retired name, by `standing`.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitline.commit import drafting, storage_errors

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_DRAFT = "draft"


@contextmanager
def replacing_directory(directory: Path) -> Iterator[Path]:
    """Give an empty directory to fill; on leaving without error it becomes `directory`.

    Only one process at a time may replace a directory: hold a lock. Raises `StorageError`.
    """
    directory = directory.resolve()  # a link stays a link
    with storage_errors(directory), drafting(directory.parent):
        _tidy(directory)
        draft = directory.with_name(f".{directory.name}.{_DRAFT}-{secrets.token_hex(6)}")
        draft.mkdir()
        try:
            yield draft
            if directory.exists():
                _exchange(draft, directory)
            else:
                draft.rename(directory)
            _sync(directory.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def standing(directory: Path) -> Path:
    """Give the path a directory can be read under at this moment."""
    retired = _retired(directory)
    return retired if not directory.exists() and retired.exists() else directory


def _tidy(directory: Path) -> None:
    """Clear away what a replacement that was killed has left."""
    retired = _retired(directory)
    if retired.exists():
        if directory.exists():
            _sync(directory.parent)
            shutil.rmtree(retired)
        else:
            retired.rename(directory)
    pattern = re.compile(rf"\.{re.escape(directory.name)}\.{_DRAFT}-[0-9a-f]{{12}}")
    if directory.parent.is_dir():
        for path in directory.parent.iterdir():
            if pattern.fullmatch(path.name):
                shutil.rmtree(path)


def _exchange(draft: Path, directory: Path) -> None:
    if not _exchange_at_once(draft, directory):
        retired = _retired(directory)
        directory.rename(retired)
        draft.rename(directory)
        retired.rename(draft)


def _exchange_at_once(one: Path, other: Path) -> bool:
    """Exchange two names in one step; `False` where the system has no such step."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _retired(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.retired")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
