"""Images in a bucket: listed as a walk through folders would find them, read some ahead."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from digitline.errors import SourceError, StorageError
from digitline.objects import (
    CONNECTIONS,
    Address,
    MissingObjectError,
    ObjectError,
    fetch_object,
    find_object,
    list_objects,
    read_object,
)
from digitline.sources.files import UnreadableError, is_side_file

_AHEAD = 64 << 20  # bytes of images that may wait to be decoded


class Named(NamedTuple):
    """An object, and its name beneath the address that was listed."""

    name: str
    address: Address
    size: int
    etag: str


class Wanted(NamedTuple):
    """An object to read: its size and its tag where they are known, -1 and "" where not."""

    address: Address
    size: int = -1
    etag: str = ""


@contextmanager
def reading_bucket() -> Iterator[None]:
    """Turn the store's word about a source into a `SourceError`."""
    try:
        yield
    except StorageError as error:
        raise SourceError(error.what, where=error.where, todo=error.todo) from None


def walk_bucket(folder: Address) -> Iterator[Named]:
    """Find every object beneath `folder` that may be an image, in the order of `files.walk`.

    What begins with a dot is passed over, and the side files.
    """
    with reading_bucket():
        yield from in_walking_order(filter(_may_be_image, _name(folder)))


def in_walking_order(found: Iterable[Named]) -> Iterator[Named]:
    """Reorder what comes by the bytes of its name: a folder stands where its own name does.

    A slash then comes before all else. An object waits only while one that belongs before it may
    still come, at most until its folder has been listed.
    """
    waiting: list[tuple[str, Named]] = []
    for one in found:
        while waiting and not _may_be_preceded(waiting[0][1].name, one.name):
            yield heapq.heappop(waiting)[1]
        heapq.heappush(waiting, (one.name.replace("/", "\0"), one))
    while waiting:
        yield heapq.heappop(waiting)[1]


def read_ahead(wanted: Iterable[Wanted], max_bytes: int) -> Iterator[bytes | UnreadableError]:
    """Read objects in their order, some at once: the bytes of each, or why it has none.

    Raises `StorageError` where the store or our credentials are at fault, not an object.
    """
    waiting: deque[tuple[int, Future[bytes | UnreadableError]]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for one in wanted:
            while waiting and (len(waiting) >= 2 * CONNECTIONS or ahead + one.size > _AHEAD):
                size, future = waiting.popleft()
                ahead -= size
                yield future.result()
            waiting.append((one.size, pool.submit(_read, one, max_bytes)))
            ahead += one.size
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


def find(address: Address) -> Named:
    """Look one object up, under the last part of its key; `SourceError` where there is none."""
    with reading_bucket():
        found = find_object(address)
    if found is None:
        raise SourceError("there is nothing at this address", where=str(address), todo="Correct it")
    return Named(found.key.rpartition("/")[2], address, found.size, found.etag)


def fetch(found: Sequence[Named], cache: Path) -> tuple[Path, list[Path]]:
    """Copy objects to a directory beneath `cache` that is theirs alone, unless they are there.

    Gives the directory and their paths, in order, each in it under its name.
    Raises `SourceError` where one cannot be read, or its name would lead out of the directory.
    """
    told = "".join(f"{one.address} {one.etag}\n" for one in found)
    directory = cache / sha256(told.encode()).hexdigest()[:16]
    paths = []
    for one in found:
        if {".", ".."} & set(one.name.split("/")) or "\0" in one.name:
            raise SourceError(
                "no name for a file", where=str(one.address), todo="Rename the object"
            )
        path = directory / one.name.lstrip("/")
        with reading_bucket():
            if not path.exists():
                fetch_object(one.address, path, one.etag)
        paths.append(path)
    return directory, paths


def _name(folder: Address) -> Iterator[Named]:
    for found in list_objects(folder):
        address = Address(folder.bucket, found.key)
        yield Named(found.key.removeprefix(folder.prefix), address, found.size, found.etag)


def _may_be_image(found: Named) -> bool:
    *folders, last = found.name.split("/")
    hidden = any(part.startswith(".") for part in folders)
    return not hidden and last != "" and not is_side_file(last)


def _may_be_preceded(waiting: str, now: str) -> bool:
    """Tell whether a name that belongs before `waiting` can be that of `now` or come after it.

    It would have a slash where `waiting` has something that comes before slashes.
    """
    for ours, theirs in zip(waiting, now, strict=False):
        if ours != theirs:
            return ours < "/" and theirs <= "/"
        if ours < "/":
            return True
    return False


def _read(one: Wanted, max_bytes: int) -> bytes | UnreadableError:
    if one.size > max_bytes:
        return UnreadableError("too-large", f"{one.size:,} bytes; the limit is {max_bytes:,}")
    try:
        content = read_object(one.address, one.etag, max_bytes + 1).data if one.size else b""
    except MissingObjectError as error:
        return UnreadableError("vanished", error.what)
    except ObjectError as error:
        return UnreadableError("unreadable", error.what)
    if not content:
        return UnreadableError("empty", "the object has no bytes")
    if len(content) > max_bytes:
        return UnreadableError("too-large", f"more than {max_bytes:,} bytes, the limit")
    return content
