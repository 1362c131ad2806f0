"""Files that appear whole or not at all, manifests that say which belong together, locks.

A file is written under a dot-name beside its place, synced, renamed, and the directory synced:
a reader sees the old file or the new one, never a part. A directory of results counts from the
moment its `_MANIFEST.json`, written last, is there. Whoever writes under a dot-name holds its
directory, so that what a process that was killed has left can be told from work under way.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from digitline.errors import BusyError, DataError, StorageError, TamperedError
from digitline.records import RecordError, from_bytes, to_bytes

MANIFEST_NAME = "_MANIFEST.json"


class Shard(BaseModel):
    """One immutable file of a directory: its name in it, its rows, its size and SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[^/.\x00][^/\x00]*$")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a directory holds. `facts` are the writer's own: counts, settings, the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    shards: tuple[Shard, ...]
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over the shards' names and digests: the identity of the rows."""
        lines = "".join(f"{shard.sha256} {shard.name}\n" for shard in self.shards)
        return hashlib.sha256(f"{self.kind}\n{lines}".encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """The shards' names, in order."""
        return tuple(shard.name for shard in self.shards)

    def shard(self, name: str) -> Shard:
        """Look a shard up by name; `KeyError` when the manifest has none."""
        for shard in self.shards:
            if shard.name == name:
                return shard
        raise KeyError(name)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path, rows: int) -> Shard:
    """Describe a file just written, for the manifest."""
    return Shard(name=path.name, rows=rows, bytes=path.stat().st_size, sha256=file_digest(path))


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a dot-named path to write to; on leaving without error it becomes `path`.

    Raises `StorageError` where the disk is full or the place not writable.
    """
    draft = draft_of(path)
    with storage_errors(path), drafting(path.parent):
        try:
            yield draft
            draft.chmod(mode)
            _sync(draft)
            draft.replace(path)
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Name a draft of `path`, beside it, as nobody else names one."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")


@contextmanager
def drafting(directory: Path) -> Iterator[None]:
    """Make a directory and hold it while there are drafts of ours in it, as many may at once."""
    make_directory(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A file system without locks: nobody clears up there while others may be at work.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def undisturbed(directory: Path) -> Iterator[bool]:
    """Keep everybody from drafting in a directory; give `False` where somebody is at it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system that cannot tell
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def move(path: Path, target: Path) -> None:
    """Give a file or directory another place on the same file system, in one step."""
    with storage_errors(target):
        path.rename(target)
        for directory in {path.parent, target.parent}:
            _sync(directory)


def sweep_drafts(path: Path) -> None:
    """Remove the drafts of `path` that killed processes left; nobody else may be writing it."""
    draft = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{12}}")
    if path.parent.is_dir():
        for beside in path.parent.iterdir():
            if draft.fullmatch(beside.name):
                beside.unlink(missing_ok=True)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it; `StorageError` where that is not possible."""
    with storage_errors(path):
        try:
            path.mkdir(mode, parents=True, exist_ok=True)
        except FileNotFoundError as error:  # as in /proc, where nothing can be made
            raise StorageError(
                "the directory cannot be made",
                where=path,
                todo="Choose another home with DIGITLINE_HOME",
            ) from error


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a small file atomically."""
    with replacing(path, mode) as draft:
        draft.touch(mode=mode)
        draft.write_bytes(content)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Commit a directory: from here on its shards count."""
    write_bytes(directory / MANIFEST_NAME, to_bytes(manifest))


def withdraw(directory: Path) -> None:
    """Take back the commitment to a directory before its files are written anew."""
    with storage_errors(directory):
        (directory / MANIFEST_NAME).unlink(missing_ok=True)


def read_manifest(directory: Path) -> Manifest | None:
    """Read the manifest of a directory, `None` where nothing has been committed.

    Raises `DataError` where the manifest cannot be understood, or is not as it was written.
    """
    path = directory / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return from_bytes(content, Manifest)
    except RecordError as error:
        raise DataError(
            f"the manifest {error}",
            where=path,
            todo="Remove the directory and run again",
        ) from error


def check_shards(directory: Path, manifest: Manifest) -> None:
    """Raise `TamperedError` unless every shard is there with the digest the manifest gives."""
    for shard in manifest.shards:
        path = directory / shard.name
        if not path.is_file() or file_digest(path) != shard.sha256:
            raise TamperedError(
                "a file is missing or differs from its manifest",
                where=path,
                todo="Remove the directory and run again",
            )


@contextmanager
def locked(path: Path, job: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` for the run of `job`; the kernel frees it however we end.

    Raises `BusyError` when another process holds it for longer than `patience` seconds.
    """
    with storage_errors(path):
        make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, job, time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Say whether some process holds the lock file `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(descriptor: int, path: Path, job: str, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"another run of {job} is under way", where=path, todo="Wait for it to end"
                ) from error
        time.sleep(0.02)


_REASONS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the disk", "Free some space and run again"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run again"),
    errno.EACCES: (
        "no permission to read or write",
        "Give this user the permission or choose another home",
    ),
    errno.EPERM: ("not permitted", "Give this user the permission or choose another home"),
    errno.EROFS: ("the file system is read-only", "Choose another home with DIGITLINE_HOME"),
    errno.ENOTDIR: ("a file is where a directory should be", "Move it away or choose another home"),
    errno.EEXIST: ("a file is where a directory should be", "Move it away or choose another home"),
    errno.EISDIR: ("a directory is where a file should be", "Move it away or choose another home"),
    errno.EIO: ("the disk fails", "Check the disk, then run again"),
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's word about `path` into a `StorageError` for people."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.errno not in _REASONS:
            raise
        what, todo = _REASONS[error.errno]
        raise StorageError(what, where=error.filename or path, todo=todo) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
