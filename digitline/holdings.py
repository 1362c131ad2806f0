"""What a home on an object store holds: files by their digests, and one index of what they are.

The index is written on condition that it is still the one that was read. A file that it no longer
refers to is deleted in three steps: the index names it as going, it is deleted, the index names it
no more. Whoever would refer to it meanwhile is told to wait, for their index is not the one that
stands; whoever has referred to it before that has made ours the one that does not stand.
"""

import re
import secrets
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from digitline.errors import BusyError, TamperedError
from digitline.objects import (
    Address,
    Object,
    create_object,
    delete_object,
    find_content,
    list_objects,
    replace_object,
    tell_time,
)
from digitline.records import RecordError, from_bytes, to_bytes

INDEX_NAME: Final = "_HOME.json"
CHAMPION: Final = "champion"
KEYS: Final = "keys"
POINTER: Final = "models/champion.json"
KEYS_FOLDER: Final = ".digitline/keys/"
MARK: Final = f"{KEYS_FOLDER}high-water.json"
_SHARED: Final = ("models/", "data/", "reports/", KEYS_FOLDER)
_FILES: Final = "files/"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# Who has named files as going deletes them for so long at most; only after the longer time, by the
# store's clock, do others take it that they were cut off.
_DELETING: Final = 600.0
_CUT_OFF: Final = timedelta(hours=1)

Files: TypeAlias = dict[str, str]
Units: TypeAlias = dict[str, Files]


class Going(BaseModel):
    """Files, by their digests, that are being deleted, and since when by the store's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[str, ...]
    since: AwareDatetime


class Index(BaseModel):
    """What a home holds: each unit's files by their paths beneath the home, and their digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: Units = Field(default_factory=dict)
    going: Going | None = None
    # Tells an index from that of another who made the same change.
    token: str = ""

    @property
    def digests(self) -> frozenset[str]:
        """Every file that is referred to."""
        return frozenset(digest for files in self.units.values() for digest in files.values())


def read_index(remote: Address) -> tuple[Index, str]:
    """Read what the home holds, and the index's tag, which is empty where there is none yet."""
    content = find_content(remote / INDEX_NAME)
    if content is None:
        return Index(), ""
    try:
        index = from_bytes(content.data, Index)
    except RecordError as error:
        raise broken(remote, f"its index {error}") from error
    for name, files in index.units.items():
        for path in files:
            if not _lies_within(name, path):
                raise broken(remote, f"the file {path} is no part of {name}")
    return index, content.etag


def exchange_index(remote: Address, index: Index, tag: str) -> bool:
    """Put an index in place of the one with that tag; `False` where another stands there."""
    own = index.model_copy(update={"token": secrets.token_hex(16)})
    place, data = remote / INDEX_NAME, to_bytes(own)
    return replace_object(place, data, tag) if tag else create_object(place, data)


def place_of(remote: Address, digest: str) -> Address:
    """Say where the file with that digest lies."""
    return remote / f"{_FILES}{digest}"


def refuse_going(remote: Address, index: Index, digests: Collection[str]) -> None:
    """Raise `BusyError` where one of the files is being deleted."""
    if index.going is not None and not set(index.going.files).isdisjoint(digests):
        raise BusyError(
            "old files are being deleted, of which one is needed again",
            where=str(remote),
            todo="Run again: in an hour at most they can be put there anew",
        )


def find_unneeded(remote: Address, days: float) -> list[Object]:
    """List files that the index does not refer to, put there more than `days` ago.

    Those that are younger may be of somebody who is about to refer to them.
    """
    return _unneeded(remote, read_index(remote)[0], days)


def delete_unneeded(remote: Address, days: float) -> list[Object]:
    """Delete what `find_unneeded` lists, and give what has gone.

    Killed at any moment, a later call goes on. Raises `BusyError` where another is at it.
    """
    doomed, going = _doom(remote, days)
    if going is None:
        return []
    gone, deadline = [], time.monotonic() + _DELETING
    try:
        for found in doomed:
            if time.monotonic() > deadline:
                break
            delete_object(Address(remote.bucket, found.key))
            gone.append(found)
    finally:
        _settle(remote, going)
    return gone


def _unneeded(remote: Address, index: Index, days: float) -> list[Object]:
    oldest = tell_time(remote) - timedelta(days=days)
    needed = index.digests
    return [
        found
        for found in list_objects(remote / _FILES.rstrip("/"))
        if _DIGEST.fullmatch(digest_of(found))
        and digest_of(found) not in needed
        and found.changed <= oldest
    ]


def digest_of(found: Object) -> str:
    """Tell the digest of a file from where it lies."""
    return found.key.rpartition("/")[2]


def _doom(remote: Address, days: float) -> tuple[list[Object], Going | None]:
    """Name files as going: from then on nobody can refer to them."""
    while True:
        index, tag = read_index(remote)
        now = tell_time(remote)
        if index.going is not None and now - index.going.since < _CUT_OFF:
            raise BusyError(
                "another deletes old files", where=str(remote), todo="Run again in an hour"
            )
        doomed = _unneeded(remote, index, days)
        going = Going(files=tuple(map(digest_of, doomed)), since=now) if doomed else None
        if going is None and index.going is None:
            return [], None
        if exchange_index(remote, index.model_copy(update={"going": going}), tag):
            return doomed, going


def _settle(remote: Address, going: Going) -> None:
    """Name files as going no more, unless another has taken that over."""
    while True:
        index, tag = read_index(remote)
        if index.going != going:
            return
        if exchange_index(remote, index.model_copy(update={"going": None}), tag):
            return


def _lies_within(name: str, path: str) -> bool:
    """Tell whether a path may be that of a file of a unit: none leads out of the home."""
    inside = ".." not in PurePosixPath(path).parts
    apart = {CHAMPION: (POINTER, MARK), KEYS: (KEYS_FOLDER,)}.get(name, (name,))
    return inside and path.startswith(apart) and path.startswith(_SHARED)


def broken(remote: Address, what: str) -> TamperedError:
    """Make the error of a home that is not as it was put there."""
    return TamperedError(what, where=str(remote), todo="Put the home back from a backup")
