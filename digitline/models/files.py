"""Reading what may have been planted: real files only, through no symbolic link, once."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitline.errors import StorageError, TamperedError

# A network of 20,000 units a layer stays below; a planted file that would fill the memory not.
_MOST = 4 << 30


def read_files(directory: Path, *names: str) -> tuple[bytes, ...]:
    """Read files of one directory, each once, none of them nor the directory a symbolic link.

    Raises `TamperedError` for a link, a device or a missing file, `StorageError` where reading
    is not permitted or fails, `FileNotFoundError` where the directory does not exist.
    """
    with _opened(directory, os.O_DIRECTORY) as folder:
        return tuple(_read(directory / name, folder) for name in names)


def read_file(path: Path) -> bytes:
    """Read one file that is no symbolic link; `FileNotFoundError` where it does not exist."""
    with _opened(path) as descriptor:
        return _content(path, descriptor)


def check_private(path: Path) -> None:
    """Raise `StorageError` where others than the owner may read or write `path`."""
    _refuse_mode(path, 0o077, "others can read the private key", "chmod 600")


def check_unwritable(path: Path) -> None:
    """Raise `StorageError` where others than the owner may write `path`, a file or directory."""
    _refuse_mode(path, 0o022, "others can replace the public key", "chmod go-w")


def _refuse_mode(path: Path, forbidden: int, what: str, command: str) -> None:
    if stat.S_IMODE(path.lstat().st_mode) & forbidden:
        raise StorageError(what, where=path, todo=f"Make it yours alone with `{command}`")


def _read(path: Path, folder: int) -> bytes:
    try:
        with _opened(path, folder=folder) as descriptor:
            return _content(path, descriptor)
    except FileNotFoundError as error:
        raise TamperedError(
            "a file of this model is missing", where=path, todo="Put it back from a backup"
        ) from error


@contextmanager
def _opened(path: Path, flags: int = 0, folder: int | None = None) -> Iterator[int]:
    # O_NONBLOCK: a planted pipe must not keep us waiting for a writer.
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path if folder is None else path.name, flags, dir_fd=folder)
    except OSError as error:
        raise _explained(error, path) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST:
        raise TamperedError(
            "not a plain file of a sane size", where=path, todo="Put it back from a backup"
        )
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size + 1)
    except OSError as error:
        raise _explained(error, path) from error


def _explained(error: OSError, path: Path) -> Exception:
    # O_DIRECTORY together with O_NOFOLLOW reports a link as ENOTDIR.
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return TamperedError(
            "a symbolic link or a special file where a real one belongs",
            where=path,
            todo="Remove it and put the model back from a backup",
        )
    if error.errno == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return StorageError(
            "no permission to read", where=path, todo="Give this user the permission"
        )
    return StorageError(
        f"reading failed ({error.strerror})", where=path, todo="Check the disk, then run again"
    )
