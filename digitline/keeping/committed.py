"""Directories that a manifest commits: each file is as it was written, and none is too many."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from digitline.commit import MANIFEST_NAME, Manifest, file_digest, is_held, read_manifest
from digitline.errors import DataError
from digitline.home import CHECKOUT, Home
from digitline.keeping.fault import BACKUP, Fault, Found, Note, Remedy, list_entries, tell_stranger
from digitline.records import has_digest
from digitline.runs import PLAN_NAME, check_plan

RUN = re.compile(r"[a-z]+-\d{4,}")
_IMPORT = re.compile(r"\d{4,}")
_CACHE = re.compile(r"[^.].*-[0-9a-f]{16}")
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Place:
    """A directory whose entries are all ours: what may lie in it, and the lock of who writes."""

    directory: Path
    names: re.Pattern[str]
    kind: str
    todo: str
    remedy: Remedy | None = None
    lock: Path | None = None
    known: frozenset[str] = field(default_factory=frozenset)


def list_places(home: Home) -> tuple[Place, ...]:
    """List the directories whose entries are each committed by a manifest."""
    cache = "It is made again when it is needed"
    retrain = home.lock("retrain")
    caches = [
        Place(directory, names, kind, cache, Remedy.QUARANTINE, retrain)
        for directory, names, kind in (
            (home.normalised, _CACHE, "normalised rows"),
            (home.splits, _KEY, "splits"),
            (home.practice, _KEY, "practice rows"),
        )
    ]
    return (
        *caches,
        Place(home.corrections, _IMPORT, "corrections", BACKUP, lock=home.lock("review")),
        Place(
            home.runs,
            RUN,
            "runs",
            f"{BACKUP}, or do that run's work again",
            known=frozenset({PLAN_NAME}),
        ),
        Place(home.reports, RUN, "reports", f"{BACKUP}, or remove its directory"),
    )


def look_at_committed(home: Home, place: Place, path: Path) -> Found:
    """Look at a directory that a manifest commits."""
    aside = path if place.remedy is Remedy.QUARANTINE else None
    if place.kind == "runs":
        yield from _look_at_plan(path)
    try:
        manifest = read_manifest(path)
    except DataError as error:
        yield _damaged(path / MANIFEST_NAME, error.what, place.todo, aside)
        return
    if manifest is None:
        yield from _look_at_uncommitted(home, place, path)
        return
    for name, what in _compare(path, manifest):
        yield _damaged(path / name, what, place.todo, aside)
    if not has_digest((path / MANIFEST_NAME).read_bytes()):
        yield Note(where=path, what="its manifest is of an earlier version and has no digest")
    yield from look_for_strangers_in(path, {shard.name for shard in manifest.shards} | place.known)
    results = manifest.facts.get("results")
    if place.kind == "runs" and isinstance(results, str):
        yield from _look_at_results(Path(results), place)


def _look_at_results(results: Path, place: Place) -> Found:
    """Look at results that lie elsewhere, for as long as whoever wanted them leaves them there."""
    try:
        manifest = read_manifest(results)
    except DataError as error:
        yield _damaged(results / MANIFEST_NAME, error.what, place.todo)
        return
    for name, what in () if manifest is None else _compare(results, manifest):
        yield _damaged(results / name, what, place.todo)


def _look_at_uncommitted(home: Home, place: Place, path: Path) -> Found:
    if place.kind == "runs":
        if (path / PLAN_NAME).exists():
            yield Note(where=path, what="cut off: the same command takes it up again")
        elif not is_held(home.lock("runs")):
            yield Fault(
                where=path,
                what="a run that was cut off before it began",
                todo="It holds nothing that counts",
                remedy=Remedy.QUARANTINE,
            )
    elif place.kind == "reports":
        run = home.runs / path.name
        cut = run.exists() and not (run / MANIFEST_NAME).exists()
        why = "its run was cut off" if cut else "of an earlier version, without digests"
        yield Note(where=path, what=f"not checked: {why}")
    elif place.lock is not None and is_held(place.lock):
        yield Note(where=path, what="being written")
    else:
        yield Fault(
            where=path,
            what="half written, by a process that was cut off",
            todo="Nothing in it counts",
            remedy=Remedy.QUARANTINE,
        )


def _look_at_plan(path: Path) -> Found:
    try:
        check_plan(path)
    except DataError as error:
        done = (path / MANIFEST_NAME).exists()
        yield Fault(
            where=path / PLAN_NAME,
            what=error.what,
            todo="The run has ended and needs it no more" if done else "Its work is begun anew",
            remedy=Remedy.QUARANTINE,
            target=path / PLAN_NAME if done else path,
        )


def _compare(directory: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Compare the files of a directory with its manifest: names, and what is wrong with them."""
    for shard in manifest.shards:
        path = directory / shard.name
        try:
            if path.is_symlink():
                yield shard.name, "a symbolic link where a file belongs"
            elif path.stat().st_size != shard.bytes or file_digest(path) != shard.sha256:
                yield shard.name, "differs from its manifest"
        except FileNotFoundError:
            yield shard.name, "missing"
        except OSError as error:
            yield shard.name, f"cannot be read ({error.strerror})"


def list_data_sets(home: Home) -> list[Path]:
    """List the data sets, and what else is committed beside them; the embedded one, too."""
    ours = {home.runs, home.jobs, home.normalised, home.practice, home.splits, home.corrections}
    found = [path for path in list_entries(home.data) if path not in ours]
    embedded = CHECKOUT / "data" / "mnist"
    return [
        path
        for path in dict.fromkeys((*found, embedded))
        if (path / MANIFEST_NAME).exists() and not path.name.startswith(".")
    ]


def look_at_data_set(path: Path) -> Found:
    """Look at a data set: its manifest and the rows that this lists."""
    todo = f"{BACKUP}, or ingest it again"
    try:
        manifest = read_manifest(path)
    except DataError as error:
        yield _damaged(path / MANIFEST_NAME, error.what, todo)
        return
    if manifest is not None:
        for name, what in _compare(path, manifest):
            yield _damaged(path / name, what, todo)
        yield from look_for_strangers_in(
            path, {shard.name for shard in manifest.shards} | {PLAN_NAME}
        )


def look_for_strangers_in(directory: Path, known: set[str] | frozenset[str]) -> Found:
    """Look for files in a directory besides those that are known."""
    for path in list_entries(directory):
        # What has a dot-name is looked at with what was left behind.
        if path.name not in {MANIFEST_NAME, *known} and not path.name.startswith("."):
            yield tell_stranger(path)


def _damaged(path: Path, what: str, todo: str, aside: Path | None = None) -> Fault:
    """Tell of a damaged file; `aside` is the directory to put aside for it."""
    remedy = None if aside is None else Remedy.QUARANTINE
    return Fault(where=path, what=what, todo=todo, remedy=remedy, target=aside)
