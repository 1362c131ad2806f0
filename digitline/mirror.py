"""A home on an object store: a working copy brought up to date, and what is committed put there.

What lies there is files by their digests and one index, which says what the home holds. Only whole
things count, its units: a model, a run that has ended, a data set, a job's memory, the champion.
The index is written last, on condition that it is still the one that was read: who looks sees all
of a change or nothing, and of two who change the same unit one wins and the other is told. What is
half done, caches, locks and Prefect's own home stay in the working copy.

Whoever can write the bucket can change the home, and whoever can read it can sign in its name.
"""

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from digitline.commit import (
    MANIFEST_NAME,
    draft_of,
    file_digest,
    locked,
    make_directory,
    move,
    replacing,
    storage_errors,
    write_bytes,
)
from digitline.errors import BusyError, TamperedError
from digitline.holdings import (
    CHAMPION,
    KEYS,
    MARK,
    POINTER,
    Files,
    Index,
    Units,
    broken,
    exchange_index,
    place_of,
    read_index,
    refuse_going,
)
from digitline.home import Home
from digitline.objects import Address, create_object, fetch_object, put_file
from digitline.records import RecordError, from_bytes, to_bytes

_STATE_NAME: Final = "mirror.json"
_PATIENCE: Final = 600.0  # seconds that another process of this working copy may take
_VERSION: Final = re.compile(r"m\d{4,}")


class _Stamp(BaseModel):
    """What a file's digest was when it had that size and time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    changed: int
    digest: str


class _State(BaseModel):
    """What a working copy knows: the index it was last in step with, and digests of its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: Units = Field(default_factory=dict)
    stamps: dict[str, _Stamp] = Field(default_factory=dict)


@contextmanager
def synchronised(home: Home) -> Iterator[None]:
    """Bring a working copy up to date; in the end, however that is, put there what is new.

    Does nothing for a home that is on this machine alone. Raises `BusyError` where another has
    changed the same meanwhile, and `StorageError`.
    """
    if home.remote is None:
        yield
        return
    _pull(home, home.remote)
    try:
        yield
    finally:
        _push(home, home.remote)


def reserve(home: Home, name: str) -> bool:
    """Take a name for this working copy alone; `False` where another has it."""
    if home.remote is None:
        return True
    return create_object(home.remote / f"names/{name}", secrets.token_bytes(16))


def _pull(home: Home, remote: Address) -> None:
    # No process of this machine may change the champion while it is brought up to date.
    with (
        locked(home.lock("mirror"), "the working copy", _PATIENCE),
        locked(home.models / ".lock", "the model registry", _PATIENCE),
    ):
        theirs = read_index(remote)[0].units
        state = _read_state(home)
        ours, stamps = _survey(home, state.stamps)
        for name, files in theirs.items():
            # What only we have changed is still to be put there.
            if ours.get(name) != files and (name not in ours or state.units.get(name) != files):
                _take(home, remote, name, files)
        for name, files in state.units.items():
            if name not in theirs and ours.get(name) == files:
                _remove(home, name)
        _write_state(home, _State(units=theirs, stamps=stamps))


def _push(home: Home, remote: Address) -> None:
    with locked(home.lock("mirror"), "the working copy", _PATIENCE):
        state = _read_state(home)
        ours, stamps = _survey(home, state.stamps)
        base = state.units
        changed = {name: files for name, files in ours.items() if base.get(name) != files}
        gone = {name for name, files in base.items() if not _is_there(home, files)}
        while changed or gone:
            index, tag = read_index(remote)
            theirs = index.units
            for name in (*changed, *gone):
                if theirs.get(name) not in (base.get(name), changed.get(name)):
                    raise BusyError(
                        f"another has changed {name} meanwhile", where=str(remote), todo="Run again"
                    )
            _upload(home, remote, changed, index)
            kept = {name: files for name, files in theirs.items() if name not in gone}
            if exchange_index(remote, index.model_copy(update={"units": kept | changed}), tag):
                base = {name: files for name, files in base.items() if name not in gone} | changed
                break
        _write_state(home, _State(units=base, stamps=stamps))


def _survey(home: Home, known: Mapping[str, _Stamp]) -> tuple[Units, dict[str, _Stamp]]:
    """Find the units of a working copy, reading only files that have changed since `known`."""
    stamps: dict[str, _Stamp] = {}

    def digest(path: Path) -> str:
        name, status = path.relative_to(home.root).as_posix(), path.stat()
        stamp = known.get(name)
        if stamp is None or (stamp.size, stamp.changed) != (status.st_size, status.st_mtime_ns):
            stamp = _Stamp(
                size=status.st_size, changed=status.st_mtime_ns, digest=file_digest(path)
            )
        stamps[name] = stamp
        return stamp.digest

    with storage_errors(home.root):
        units = {
            name: {path.relative_to(home.root).as_posix(): digest(path) for path in sorted(paths)}
            for name, paths in _find_units(home)
        }
    return {name: files for name, files in units.items() if files}, stamps


def _find_units(home: Home) -> Iterator[tuple[str, list[Path]]]:
    root = home.root
    mark = root / MARK
    yield CHAMPION, [path for path in (root / POINTER, mark) if path.is_file()]
    yield KEYS, [path for path in _files(home.keys) if path != mark]
    for path in (*home.jobs.glob("*.json"), *home.jobs.glob("usual/*.json")):
        yield path.relative_to(root).as_posix(), [path]
    models = [path for path in home.models.glob("m*") if _VERSION.fullmatch(path.name)]
    places = (home.data, home.runs, home.corrections, home.reports)
    committed = [path.parent for place in places for path in place.glob(f"*/{MANIFEST_NAME}")]
    for folder in (*models, *committed):
        if not folder.name.startswith("."):
            yield folder.relative_to(root).as_posix(), _files(folder)


def _files(folder: Path) -> list[Path]:
    """List the files beneath a folder, none that is on its way."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _is_there(home: Home, files: Files) -> bool:
    """Say whether anything of a unit is left: one that is being written anew has not gone."""
    return any((home.root / path).exists() for path in files)


def _upload(home: Home, remote: Address, changed: Units, index: Index) -> None:
    """Put the files there that are new, by their digests."""
    held = set(index.digests)
    refuse_going(remote, index, {each for files in changed.values() for each in files.values()})
    for files in changed.values():
        for path, digest in files.items():
            if digest not in held:
                put_file(place_of(remote, digest), home.root / path)
                held.add(digest)


def _take(home: Home, remote: Address, name: str, files: Files) -> None:
    """Bring a unit to the working copy, in place of what is there of it."""
    if name in {CHAMPION, KEYS} or set(files) == {name}:
        # In their order: the pointer comes before the mark that it must not be below.
        for path in sorted(files, reverse=True):
            _fetch(remote, files[path], home.root / path)
        return
    folder = home.root / name
    draft = draft_of(folder)
    make_directory(draft)
    try:
        for path, digest in files.items():
            _fetch(remote, digest, draft / PurePosixPath(path).relative_to(name))
        _remove(home, name)
        move(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch(remote: Address, digest: str, path: Path) -> None:
    with replacing(path, mode=0o600) as draft:
        fetch_object(place_of(remote, digest), draft)
        if file_digest(draft) != digest:
            raise broken(remote, f"the file {path.name} differs from its digest")


def _remove(home: Home, name: str) -> None:
    """Take away what others have replaced or pruned: a directory goes in one step."""
    place = home.root / name
    if place.is_dir():
        aside = draft_of(place)
        move(place, aside)
        shutil.rmtree(aside)
    else:
        place.unlink(missing_ok=True)


def _read_state(home: Home) -> _State:
    try:
        return from_bytes((home.private / _STATE_NAME).read_bytes(), _State)
    except FileNotFoundError:
        return _State()
    except RecordError as error:
        raise TamperedError(
            f"what the working copy knows {error}",
            where=home.private / _STATE_NAME,
            todo="Remove the working copy: all that is committed lies in the home",
        ) from error


def _write_state(home: Home, state: _State) -> None:
    write_bytes(home.private / _STATE_NAME, to_bytes(state), mode=0o600)
