"""Take away what the plan lets go: out of sight by one rename, then deleted."""

import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from digitline.commit import drafting, locked, move, storage_errors
from digitline.errors import BusyError
from digitline.home import Home
from digitline.keeping.retention import Decision, Item
from digitline.models.registry import Registry

_GOING = re.compile(r"\.going\..+\.[0-9a-f]{12}")
# What a retraining may be reading or writing; gone only while none is under way.
_OF_RETRAINING = frozenset({"cache", "split", "checkpoint", "model"})


@dataclass(frozen=True)
class Pruned:
    """What has gone, and what had to wait because a run was at work on it."""

    gone: tuple[Item, ...]
    waiting: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes that were freed."""
        return sum(item.size for item in self.gone)


def prune(decisions: Iterable[Decision], home: Home) -> Pruned:
    """Delete what is not kept; killed at any moment, the next call ends what was begun.

    Raises `StorageError` where something cannot be deleted.
    """
    doomed = [decision.item for decision in decisions if not decision.keep]
    gone: list[Item] = []
    with ExitStack() as held:
        held.enter_context(locked(home.lock("runs"), "the run list", patience=10))
        idle = _is_free(home, held)
        _sweep(home)
        waiting = [] if idle else [item for item in doomed if item.kind in _OF_RETRAINING]
        for item in doomed:
            if item not in waiting:
                _remove(item, home)
                gone.append(item)
    return Pruned(tuple(gone), tuple(waiting))


def _is_free(home: Home, held: ExitStack) -> bool:
    """Keep retrainings away for as long as `held` lasts; say whether none was under way."""
    try:
        held.enter_context(locked(home.lock("retrain"), "retrain"))
    except BusyError:
        return False
    return True


def _remove(item: Item, home: Home) -> None:
    if item.kind == "model":
        Registry(home.models, home.keys).discard(item.path.name)
        return
    going = item.path.with_name(f".going.{item.path.name}.{secrets.token_hex(6)}")
    with storage_errors(item.path), drafting(item.path.parent):
        move(item.path, going)
        _delete(going)


def _sweep(home: Home) -> None:
    """Delete what a prune that was killed had put out of sight."""
    for directory in (home.runs, home.reports, home.normalised, home.splits, home.checkpoints):
        with storage_errors(directory):
            for path in directory.iterdir() if directory.is_dir() else ():
                if _GOING.fullmatch(path.name):
                    _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
