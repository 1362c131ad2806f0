"""Files and folders as they are found: read with care, walked in an order that never changes."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from digitline.errors import SourceError
from digitline.names import portable
from digitline.sources.item import Item, Problem

# What lies beside images or Parquet and is none. Everything else is read, whatever it is called.
SIDE_SUFFIXES = frozenset({".csv", ".html", ".ini", ".json", ".md", ".txt"})
SIDE_NAMES = frozenset({"thumbs.db", "_metadata", "_common_metadata", "_success"})


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


@dataclass(frozen=True)
class Found:
    """A file on the way through a folder, or what stands in the way.

    `name` is its path within the folder, valid Unicode with `/` between the parts.
    """

    name: str
    path: Path
    problem: Problem | None = None


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


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file; `UnreadableError` says why not. A pipe or a device never blocks."""
    try:
        with open(path, "rb", opener=_open_patiently) as file:
            _admit(os.fstat(file.fileno()), max_bytes)
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise UnreadableError("vanished", "there is no such file") from None
    except IsADirectoryError:
        raise UnreadableError("unsupported", "a folder, not a file") from None
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
    pending = [_enter(root, PurePath())]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif isinstance(found, PurePath):
            pending.append(_enter(root, found))
        else:
            yield found


def is_side_file(name: str) -> bool:
    """Tell whether a file lies beside images without being one: hidden, a list, a page."""
    lowered = name.lower()
    suffix = PurePath(lowered).suffix
    return name.startswith(".") or suffix in SIDE_SUFFIXES or lowered in SIDE_NAMES


def _enter(root: Path, folder: PurePath) -> Iterator[Found | PurePath]:
    """List a folder in the order of its names' bytes: files as found, folders as their paths."""
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield _trouble(root, folder, "unreadable", f"the folder: {_say(error)}")
        return
    for entry in entries:
        place = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield place
        elif not is_side_file(entry.name):
            yield _look_at(root, place, entry)


def _look_at(root: Path, place: PurePath, entry: os.DirEntry[str]) -> Found:
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        what = "a broken link" if entry.is_symlink() else _say(error)
        return _trouble(root, place, "unreadable", what)
    if stat.S_ISDIR(mode):
        return _trouble(root, place, "unsupported", "a link to a folder, which is not followed")
    if not stat.S_ISREG(mode):
        return _trouble(root, place, "unsupported", "not a regular file")
    return Found(_name(place), root / place)


def _trouble(root: Path, place: PurePath, reason: str, message: str) -> Found:
    return Found(_name(place), root / place, Problem(reason, message))


def _name(place: PurePath) -> str:
    return "/".join(map(portable, place.parts)) or "."


def _say(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _open_patiently(path: str, flags: int) -> int:
    # Without `O_NONBLOCK`, opening a pipe waits for somebody to write to it.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _admit(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("unsupported", "not a regular file")
    if status.st_size > max_bytes:
        raise UnreadableError("too-large", f"{status.st_size:,} bytes; the limit is {max_bytes:,}")
