"""Images in a bucket: listed as a walk through folders would find them, read some ahead."""

import heapq
import os
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from digitline.commit import make_directory, replacing
from digitline.errors import SourceError, StorageError
from digitline.objects import (
    CONNECTIONS,
    Address,
    MissingObjectError,
    ObjectError,
    fetch_object,
    find_object,
    is_address,
    list_objects,
    read_object,
)
from digitline.sources.files import UnreadableError, is_side_file

_AHEAD = 64 << 20  # bytes of images that may wait to be decoded
_LONGEST_NAME = 240  # bytes that file systems take, less what the name of a draft has more


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
        if not is_address(error.where):
            raise  # the disk's word about a copy
        raise SourceError(error.what, where=error.where, todo=error.todo) from None


def walk_bucket(folder: Address) -> Iterator[Named]:
    """Find every object beneath `folder` that may be an image, in the order of `files.walk`.

    What begins with a dot is passed over, and the side files.
    """
    with reading_bucket():
        yield from in_walking_order(filter(_may_be_image, name_objects(folder)))


def name_objects(folder: Address) -> Iterator[Named]:
    """Find every object beneath `folder`, in the order of the keys' bytes."""
    for found in list_objects(folder):
        address = Address(folder.bucket, found.key)
        yield Named(found.key.removeprefix(folder.prefix), address, found.size, found.etag)


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


def fetch(
    found: Sequence[Named], cache: Path, hollow: Container[Named] = ()
) -> tuple[Path, list[Path]]:
    """Copy objects to a directory beneath `cache` that is theirs alone, unless they are there.

    Gives the directory and their paths, in order, each in it under its name. Of a `hollow` object
    the size alone comes: a file of holes. Raises `SourceError` where one cannot be read, its name
    would lead out of the directory, or two cannot lie in one directory.
    """
    told = "".join(f"{one.address} {'' if one in hollow else one.etag}\n" for one in found)
    directory = cache / sha256(told.encode()).hexdigest()[:16]
    paths = _lay_out(found, directory)
    make_directory(directory)
    os.utime(directory)  # it is in use, and not to be pruned
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        with reading_bucket():
            for _ in pool.map(lambda one, path: _copy(one, path, one in hollow), found, paths):
                pass
    finally:
        pool.shutdown(cancel_futures=True)
    return directory, paths


def _may_be_image(found: Named) -> bool:
    *folders, last = found.name.split("/")
    hidden = any(part.startswith(".") for part in folders)
    return not hidden and last != "" and not is_side_file(last)


def _lay_out(found: Sequence[Named], directory: Path) -> list[Path]:
    """Give each object its path in the directory, no two the same, none beneath another's."""
    paths: dict[Path, Named] = {}
    for one in found:
        parts = one.name.split("/")
        long = any(len(part.encode()) > _LONGEST_NAME for part in parts)
        path = directory / one.name.lstrip("/")
        if long or {".", ".."} & set(parts) or "\0" in one.name or path in paths:
            raise SourceError(
                "no name for a file", where=str(one.address), todo="Rename the object"
            )
        paths[path] = one
    for path, one in paths.items():
        if not paths.keys().isdisjoint(path.parents):
            raise SourceError(
                "another object has the name of its folder",
                where=str(one.address),
                todo="Rename one of the two",
            )
    return list(paths)


def _copy(one: Named, path: Path, hollow: bool) -> None:  # noqa: FBT001 - mapped over
    if path.exists():
        return
    if hollow:
        with replacing(path) as draft, draft.open("wb") as file:
            file.truncate(one.size)
    else:
        fetch_object(one.address, path, one.etag)


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
