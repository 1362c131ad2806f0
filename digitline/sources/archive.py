"""Images in zip and tar archives: listed without unpacking, read member by member.

Nothing is ever written to disk, so a name can lead nowhere; one that tries is refused all the
same, as are links and devices. Archives within an archive are not opened.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final, Literal, TypeAlias

from digitline.errors import DataError
from digitline.names import portable
from digitline.sources.files import UnreadableError, is_side_file
from digitline.sources.item import Problem

Kind: TypeAlias = Literal["zip", "tar", "packed"]
ARCHIVES: Final[Mapping[str, Kind]] = {"zip": "zip", "tar": "tar", "packed": "packed"}

# A compressed tar must be read from its beginning; one that grows more than this is a bomb.
_MOST_GROWTH: Final = 1000
_ALWAYS_ALLOWED: Final = 1 << 30
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
)
_UNSAFE: Final = Problem("unsupported", "its name leads out of the archive")
_IRREGULAR: Final = Problem("unsupported", "a link or a device, not a file")


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name, the number to read it by, or what stands in the way."""

    name: str
    number: int
    problem: Problem | None = None


def recognise(path: Path) -> Kind | None:
    """Say what kind of archive a regular file is, by its content; `None` for none."""
    if zipfile.is_zipfile(path):
        return "zip"
    kinds: tuple[Kind, ...] = ("tar", "packed")
    return next((kind for kind in kinds if _is_tar(path, kind)), None)


def list_members(path: Path, kind: Kind) -> Iterator[Member]:
    """List the members that may be images, in the archive's order.

    Hidden files and side files are passed over, as in a folder. Raises `DataError` where a zip
    has no readable directory; a tar that breaks off ends with a member that says so.
    """
    members = _list_zip(path) if kind == "zip" else _list_tar(path, kind)
    for member in members:
        parts = PurePosixPath(member.name).parts
        name = portable(member.name)
        if _leads_out(member.name):
            yield Member(name, member.number, _UNSAFE)
        elif parts and not any(map(_is_hidden, parts)) and not is_side_file(parts[-1]):
            yield Member(name, member.number, member.problem)


def read_members(
    path: Path, kind: Kind, numbers: Sequence[int], max_bytes: int
) -> Iterator[bytes | UnreadableError]:
    """Read members by their numbers: the bytes of each, or why it has none."""
    for number in numbers:
        try:
            with _explained():
                yield _read(path, kind, number, max_bytes)
        except UnreadableError as error:
            yield error


def _read(path: Path, kind: Kind, number: int, max_bytes: int) -> bytes:
    status = path.stat()
    if kind == "zip":
        archive = _opened_zip(path, status.st_mtime_ns, status.st_size)
        info = archive.infolist()[number]
        return _take(archive.open(info), info.file_size, max_bytes)
    if kind == "tar":
        with path.open("rb") as file:
            file.seek(number)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                return _read_tar(tar, tar.next(), max_bytes)
    return _opened_tar(path, status.st_mtime_ns, status.st_size).read(number, max_bytes)


def _read_tar(tar: tarfile.TarFile, member: tarfile.TarInfo | None, max_bytes: int) -> bytes:
    stream = None if member is None else tar.extractfile(member)
    if member is None or stream is None:
        raise UnreadableError("vanished", "the archive has changed since it was listed")
    return _take(stream, member.size, max_bytes)


def _take(stream: IO[bytes], size: int, max_bytes: int) -> bytes:
    """Read a member that says it has `size` bytes; not one byte more than may be read."""
    with stream:
        if size > max_bytes:
            raise UnreadableError("too-large", f"{size:,} bytes; the limit is {max_bytes:,}")
        content = stream.read(max_bytes + 1)
    if not content:
        raise UnreadableError("empty", "the member has no bytes")
    if len(content) > max_bytes:
        raise UnreadableError("too-large", f"more than {max_bytes:,} bytes, the limit")
    if len(content) < size:
        raise UnreadableError("truncated", "the archive breaks off in it")
    return content


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UnreadableError("vanished", "there is no such archive") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown method
        raise UnreadableError("unsupported", str(error)) from None
    except IndexError:
        raise UnreadableError("vanished", "the archive has changed since it was listed") from None
    except EOFError:
        raise UnreadableError("truncated", "the archive breaks off in it") from None
    except _BROKEN as error:
        raise UnreadableError("unreadable", f"the archive: {error}") from None


class _PackedTar:
    """A compressed tar, read forward; to go back is to begin again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._tar = _open_tar(self._path, "packed")
        self._next = 0

    def read(self, number: int, max_bytes: int) -> bytes:
        if number < self._next:
            self._tar.close()
            self._begin()
        member = None
        while self._next <= number:
            member = self._tar.next()
            self._tar.members = []  # type: ignore[attr-defined]  # so it does not grow; the stubs leave it out
            self._next += 1
            if member is None:
                break
        return _read_tar(self._tar, member, max_bytes)


@lru_cache(maxsize=1)
def _opened_zip(path: Path, _changed: int, _size: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@lru_cache(maxsize=1)
def _opened_tar(path: Path, _changed: int, _size: int) -> _PackedTar:
    return _PackedTar(path)


def _list_zip(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _BROKEN as error:
        raise DataError(
            f"not a readable zip archive ({error})", where=path, todo="Pack it again"
        ) from error
    for number, info in enumerate(infos):
        name = info.filename or f"#{number}"  # `is_dir` cannot be asked of one without a name
        if not name.endswith("/"):
            yield Member(name, number, _doubt_zip(info))


def _doubt_zip(info: zipfile.ZipInfo) -> Problem | None:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in {0, stat.S_IFREG}:
        return _IRREGULAR
    if info.flag_bits & _ENCRYPTED:
        return Problem("unsupported", "encrypted")
    return None


def _list_tar(path: Path, kind: Kind) -> Iterator[Member]:
    bound = _ALWAYS_ALLOWED + _MOST_GROWTH * path.stat().st_size
    number = -1
    try:
        with _open_tar(path, kind) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # as above
                number += 1
                if kind == "packed" and member.offset_data + member.size > bound:
                    words = f"the archive unpacks to more than {_MOST_GROWTH:,} times its size"
                    yield Member(path.name, number, Problem("too-large", words))
                    return
                if not member.isdir():
                    regular = member.isreg() and not member.issparse()
                    place = member.offset if kind == "tar" else number
                    name = member.name or f"#{number}"
                    yield Member(name, place, None if regular else _IRREGULAR)
    except _BROKEN as error:
        words = f"the archive breaks off here: {error}"
        yield Member(path.name, number + 1, Problem("truncated", words))


def _open_tar(path: Path, kind: Kind) -> tarfile.TarFile:
    return tarfile.open(path, "r:") if kind == "tar" else tarfile.open(path, "r|*")


def _is_tar(path: Path, kind: Kind) -> bool:
    try:
        with _open_tar(path, kind) as tar:
            return tar.next() is not None
    except _BROKEN:
        return False


def _is_hidden(part: str) -> bool:
    return (part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX"


def _leads_out(name: str) -> bool:
    pure = PurePosixPath(name)
    windows = PureWindowsPath(name)
    return pure.is_absolute() or ".." in pure.parts + windows.parts or bool(windows.anchor)
