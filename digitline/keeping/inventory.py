"""What there is beneath the home that could go one day, and what needs it to stay."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from digitline.commit import MANIFEST_NAME, read_manifest, storage_errors
from digitline.errors import IncompatibleError, NoModelError, RetiredKeyError
from digitline.home import Home
from digitline.keeping.retention import Item, Kind
from digitline.models.card import Card
from digitline.models.registry import Registry
from digitline.scoring.job import read_last
from digitline.sources.bucket_copy import COPIES

_RUN = re.compile(r"(?P<job>[a-z]+)-(?P<number>\d{4,})")
_CACHE = re.compile(r"(?P<name>.+)-[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{16}")
_DRAFT = re.compile(r"(?P<owner>[a-z]+-\d{4,}|m\d{4,})\..+")


def take_inventory(home: Home) -> tuple[Item, ...]:
    """List everything that could go.

    Raises `TamperedError` where the champion's pointer or a card cannot be trusted: what they
    need to stay could then not be told.
    """
    registry = Registry(home.models, home.keys)
    cards = _cards(registry)
    reigned = _reigned(registry)
    return (
        *_runs(home, cards, reigned),
        *_reports(home, cards, reigned),
        *_models(home, cards, reigned),
        *_caches(home),
        *_copies(home),
        *_splits(home, cards, reigned),
        *_checkpoints(home),
    )


def _cards(registry: Registry) -> dict[str, Card]:
    """Read every card there is.

    A model of another version of Digitline is left alone, and so is one whose key was retired.
    """
    cards: dict[str, Card] = {}
    for version in registry.versions():
        with suppress(IncompatibleError, RetiredKeyError):
            cards[version] = registry.card(version)
    return cards


def _reigned(registry: Registry) -> tuple[str, ...]:
    """Name every version that is or was champion; the champion last."""
    try:
        champion = registry.champion()
    except NoModelError:
        return ()
    return (*(entry.version for entry in registry.history()), champion)


def _runs(home: Home, cards: dict[str, Card], reigned: tuple[str, ...]) -> Iterator[Item]:
    needed = _needed_runs(home, cards, reigned)
    for path, match in _matching(home.runs, _RUN):
        manifest = read_manifest(path)
        job = None if manifest is None else manifest.facts.get("job")
        yield _item(
            "run",
            path,
            match["job"] if job is None else f"job {job}",
            order=int(match["number"]),
            needed=needed.get(path.name, ""),
            unfinished=manifest is None,
        )


def _needed_runs(home: Home, cards: dict[str, Card], reigned: tuple[str, ...]) -> dict[str, str]:
    needed = {cards[each].run: f"made {each}, a champion" for each in reigned if each in cards}
    for file in sorted(home.jobs.glob("*.json")):
        last = read_last(home.jobs, file.stem)
        assert last is not None, "it is in the listing"
        for name in (last.run, last.results.name):
            needed[name] = f"what the job {file.stem} goes on from"
    return needed


def _reports(home: Home, cards: dict[str, Card], reigned: tuple[str, ...]) -> Iterator[Item]:
    needed = {cards[each].run: f"tells of {each}, a champion" for each in reigned if each in cards}
    for path, match in _matching(home.reports, _RUN):
        yield _item(
            "report",
            path,
            match["job"],
            order=int(match["number"]),
            needed=needed.get(path.name, ""),
        )


def _models(home: Home, cards: dict[str, Card], reigned: tuple[str, ...]) -> Iterator[Item]:
    for version, card in cards.items():
        yield _item(
            "model",
            home.models / version,
            "models",
            order=int(version[1:]),
            needed="is or was champion" if version in reigned else "",
            touched=datetime.fromisoformat(card.created),
        )


def _caches(home: Home) -> Iterator[Item]:
    for path, match in _matching(home.normalised, _CACHE):
        yield _item("cache", path, match["name"], unfinished=read_manifest(path) is None)


def _copies(home: Home) -> Iterator[Item]:
    """List copies of sources in buckets: an ingest fetches again what it misses."""
    for path, _ in _matching(home.downloads / COPIES, _DIGEST):
        yield _item("cache", path, COPIES)


def _splits(home: Home, cards: dict[str, Card], reigned: tuple[str, ...]) -> Iterator[Item]:
    """List splits: training goes on from the champion, or from the one before, by its rows."""
    needed = {cards[each].data.manifest: each for each in reigned[-2:] if each in cards}
    for path, _ in _matching(home.splits, _DIGEST):
        manifest = read_manifest(path)
        owner = None if manifest is None else needed.get(manifest.digest)
        yield _item(
            "split",
            path,
            "splits",
            needed="" if owner is None else f"the rows of {owner}",
            unfinished=manifest is None,
        )


def _checkpoints(home: Home) -> Iterator[Item]:
    """List what trainings left half done; one whose run goes on needs it."""
    for path, match in _matching(home.checkpoints, _DRAFT):
        run = home.runs / match["owner"]
        going_on = run.is_dir() and not (run / MANIFEST_NAME).exists()
        touched = max(_touched(path), _touched(run)) if going_on else _touched(path)
        yield _item("checkpoint", path, "checkpoints", unfinished=True, touched=touched)


def _matching(directory: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    with storage_errors(directory):
        paths = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in paths:
        match = pattern.fullmatch(path.name)
        if match is not None and not path.is_symlink():
            yield path, match


def _item(
    kind: Kind,
    path: Path,
    group: str,
    *,
    order: int = 0,
    needed: str = "",
    unfinished: bool = False,
    touched: datetime | None = None,
) -> Item:
    return Item(
        kind=kind,
        path=path,
        group=group,
        touched=_touched(path) if touched is None else touched,
        size=size_of(path),
        order=order,
        needed=needed,
        unfinished=unfinished,
    )


def _touched(path: Path) -> datetime:
    """Tell when something in `path` was last written."""
    moments = [path.lstat().st_mtime]
    if path.is_dir():
        moments += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path)]
    return datetime.fromtimestamp(max(moments), UTC)


def size_of(path: Path) -> int:
    """Give the bytes on disk of a file, or of all that lies in a directory."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_blocks * 512 if path.exists() else 0
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(Path(directory) / name).st_blocks * 512
            except FileNotFoundError:  # a draft that has become something else meanwhile
                continue
    return total
