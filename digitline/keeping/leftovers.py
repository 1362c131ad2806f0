"""What was left behind: drafts of processes that are no more, and files that nothing refers to."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from digitline.commit import undisturbed
from digitline.home import Home
from digitline.keeping.committed import RUN, list_data_sets, list_places
from digitline.keeping.fault import Fault, Found, Note, Remedy, list_entries, tell_stranger
from digitline.models.champion import MARK_NAME, POINTER_NAME
from digitline.models.registry import Registry
from digitline.models.signing import (
    NEXT_NAME,
    PRIVATE_NAME,
    PUBLIC_NAME,
    RETIRED_NAME,
    TRUSTED_NAME,
)
from digitline.report.index import CHAMPIONS_NAME, INDEX_NAME

CHECKPOINT = re.compile(r"(?P<owner>[a-z]+-\d{4,}|m\d{4,})\..+")
_VERSION = re.compile(r"m\d{4,}")
_DRAFT = re.compile(r"\.(.+)\.(draft-)?[0-9a-f]{12}")
_RETIRED = re.compile(r"\.(?P<name>.+)\.retired")
_LOCK = re.compile(r"\.(.+\.)?lock")
_KEY_FILES = frozenset(
    {PRIVATE_NAME, PUBLIC_NAME, NEXT_NAME, MARK_NAME, TRUSTED_NAME, RETIRED_NAME}
)


def look_for_leftovers(home: Home) -> Found:
    """Look for drafts of processes that are no more, and for what nobody of ours has put there."""
    held = _open_files(home.root)
    for directory in _directories(home):
        with undisturbed(directory) as free:
            for path in list_entries(directory):
                if not path.name.startswith("."):
                    continue
                if _LOCK.fullmatch(path.name):
                    continue
                if not free or any(each == path or path in each.parents for each in held):
                    yield Note(where=path, what="being written")
                else:
                    yield _leftover(path)
    yield from _look_for_strangers(home)


def _leftover(path: Path) -> Fault:
    retired = _RETIRED.fullmatch(path.name)
    if retired is not None and not path.with_name(retired["name"]).exists():
        return Fault(
            where=path,
            what="a data set whose replacement was cut off",
            todo="It is whole, under another name",
            remedy=Remedy.RETURN,
        )
    if _DRAFT.fullmatch(path.name) or retired is not None:
        return Fault(
            where=path,
            what="left behind by a process that was cut off",
            todo="Nothing refers to it",
            remedy=Remedy.REMOVE,
        )
    return tell_stranger(path)


def _look_for_strangers(home: Home) -> Found:
    for place in list_places(home):
        also = {INDEX_NAME, CHAMPIONS_NAME} if place.directory == home.reports else set()
        for path in list_entries(place.directory):
            if not (
                path.name.startswith(".") or place.names.fullmatch(path.name) or path.name in also
            ):
                yield tell_stranger(path)
    for directory, names, known in (
        (home.models, _VERSION, {POINTER_NAME}),
        (home.keys, None, _KEY_FILES),
        (home.checkpoints, CHECKPOINT, set()),
    ):
        for path in list_entries(directory):
            expected = path.name in known or (names is not None and names.fullmatch(path.name))
            if not (expected or path.name.startswith(".")):
                yield tell_stranger(path)


def _directories(home: Home) -> Iterator[Path]:
    """List the directories that something of ours is drafted in."""
    yield from (
        each
        for each in (home.data, home.models, home.reports, home.private, home.service)
        if each.is_dir()
    )
    trees = [place.directory for place in list_places(home)]
    for tree in (*trees, home.jobs, home.keys, home.checkpoints, *list_data_sets(home)):
        if tree.is_dir() and tree.is_relative_to(home.root):
            yield from (
                Path(directory) for directory, _, _ in os.walk(tree) if not _hidden(directory, tree)
            )
    yield from (home.models / version for version in Registry(home.models, home.keys).versions())
    yield from (
        path for path in list_entries(home.reports) if path.is_dir() and RUN.fullmatch(path.name)
    )


def _hidden(directory: str, tree: Path) -> bool:
    return any(part.startswith(".") for part in Path(directory).relative_to(tree).parts)


def _open_files(root: Path) -> frozenset[Path]:
    """List the files under `root` that some process has open, as far as we may know."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = link.readlink()
        except OSError:  # it has ended, or is somebody else's
            continue
        if target.is_relative_to(root):
            found.add(target)
    return frozenset(found)
