"""Files and folders as they are found: read with care, walked in an order that never changes."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from digitline.errors import SourceError
from digitline.sources.item import Item, Problem

# What lies beside images or Parquet and is none. Everything else is read, whatever it is called.
SIDE_SUFFIXES = frozenset({".csv", ".html", ".ini", ".json", ".md", ".txt"})
SIDE_NAMES = frozenset({"thumbs.db", "_metadata", "_common_metadata", "_success"})

Location: TypeAlias = Path | bytes

# Without `O_NONBLOCK`, opening a pipe waits for somebody to write to it.
_PATIENTLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_SIDE_ENDS: Final = tuple(SIDE_SUFFIXES)
_NAME: Final = attrgetter("name")
_NOT_REGULAR: Final = Problem("unsupported", "not a regular file")


class UnreadableError(Exception):
    """A file's bytes cannot be had: a short `reason` code, and a `message` for people."""

    def __init__(self, reason: str, message: str) -> None:
        """Give the code (empty, too-large, unreadable, unsupported, vanished) and a sentence."""
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    @property
    def problem(self) -> Problem:
        """The same as a value."""
        return Problem(self.reason, self.message)


class Found(NamedTuple):
    """A file on the way through a folder, or what stands in the way.

    `name` is its path within the folder, valid Unicode with `/` between the parts, `location`
    its path as the bytes the system knows it by.
    """

    name: str
    location: bytes
    problem: Problem | None = None

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(os.fsdecode(self.location))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's word about a source into a `SourceError`."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"cannot be read ({_say(error)})",
            where=error.filename or path,
            todo="Check the path and its permissions",
        ) from error


def read_file(path: Location, max_bytes: int) -> bytes:
    """Read a regular file; `UnreadableError` says why not. A pipe or a device never blocks."""
    try:
        handle = os.open(path, _PATIENTLY)
        try:
            content = _read(handle, max_bytes)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise UnreadableError("vanished", "there is no such file") from None
    except OSError as error:
        raise UnreadableError("unreadable", _say(error)) from None
    if not content:
        raise UnreadableError("empty", "the file has no bytes")
    if len(content) > max_bytes:  # it has grown since its size was looked at
        raise UnreadableError("too-large", f"more than {max_bytes:,} bytes, the limit")
    return content


def read_item(name: str, label: int | None, path: Path, max_bytes: int) -> Item:
    """Read a file of a source, or say what is the matter with it."""
    try:
        return Item(name, label, read_file(path, max_bytes))
    except UnreadableError as error:
        return Item(name, label, problem=error.problem)


def walk(root: Path) -> Iterator[Found]:
    """Find every file beneath `root` that may be an image, by name, folders in their place.

    Hidden files and folders are passed over, and the side files (`SIDE_SUFFIXES`,
    `SIDE_NAMES`). A link to a folder is not followed, so no walk goes in circles; it is given with
    a problem, as are pipes, devices and folders that cannot be read.
    """
    pending = [_enter(os.fsencode(root), "")]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif isinstance(found, _Folder):
            pending.append(_enter(found.location, f"{found.name}/"))
        else:
            yield found


def is_side_file(name: str) -> bool:
    """Tell whether a file lies beside images without being one: hidden, a list, a page."""
    lowered = name.lower()
    return name.startswith(".") or lowered.endswith(_SIDE_ENDS) or lowered in SIDE_NAMES


class _Folder(NamedTuple):
    """A folder to go on with."""

    name: str
    location: bytes


def _enter(location: bytes, within: str) -> Iterator[Found | _Folder]:
    """List a folder in the order of its names' bytes; names begin with those it lies `within`."""
    try:
        with os.scandir(location) as listing:
            entries = sorted(listing, key=_NAME)
    except OSError as error:
        problem = Problem("unreadable", f"the folder: {_say(error)}")
        yield Found(within.rstrip("/") or ".", location, problem)
        return
    for entry in entries:
        last = entry.name.decode("utf-8", "backslashreplace")
        if entry.is_dir(follow_symlinks=False):
            if not last.startswith("."):
                yield _Folder(within + last, entry.path)
        elif not is_side_file(last):
            yield Found(within + last, entry.path, _find_problem(entry))


def _find_problem(entry: os.DirEntry[bytes]) -> Problem | None:
    # The folder itself tells what is a plain file: only for others it takes a look at each.
    if entry.is_file(follow_symlinks=False):
        return None
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        what = "a broken link" if entry.is_symlink() else _say(error)
        return Problem("unreadable", what)
    if stat.S_ISDIR(mode):
        return Problem("unsupported", "a link to a folder, which is not followed")
    return None if stat.S_ISREG(mode) else _NOT_REGULAR


def _say(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _read(handle: int, max_bytes: int) -> bytes:
    """Read an open file to its end, but no more than `max_bytes` and one."""
    size = _admit(os.fstat(handle), max_bytes)
    content = os.read(handle, size + 1)
    if len(content) == size:
        return content
    pieces, length = [content], len(content)  # it grows or shrinks, or comes piece by piece
    while pieces[-1] and length <= max_bytes:
        pieces.append(os.read(handle, max_bytes + 1 - length))
        length += len(pieces[-1])
    return b"".join(pieces)


def _admit(status: os.stat_result, max_bytes: int) -> int:
    """Give the size of a regular file that is not too large."""
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("unsupported", "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(*_NOT_REGULAR)
    if status.st_size > max_bytes:
        raise UnreadableError("too-large", f"{status.st_size:,} bytes; the limit is {max_bytes:,}")
    return status.st_size
