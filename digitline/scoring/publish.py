"""Results on an object store: the place is claimed first, and the manifest is written last.

Both are written on condition that nobody else has: of two runs one gets the place, and who reads
sees all of its results or nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from digitline.commit import MANIFEST_NAME, Manifest
from digitline.errors import BusyError, StorageError
from digitline.objects import (
    CONNECTIONS,
    Address,
    create_object,
    delete_object,
    find_content,
    find_object,
    list_objects,
    put_file,
)
from digitline.records import to_bytes
from digitline.runs import PLAN_NAME, Plan

_ELSEWHERE: Final = "Choose another place for the results"


@dataclass(frozen=True)
class Claim:
    """A place that is one run's alone, by the `note` that lies there."""

    place: Address
    note: bytes

    def publish(self, results: Path, manifest: Manifest) -> None:
        """Copy the shards of a manifest, then the manifest itself.

        Raises `BusyError` where the place has been taken from us.
        """
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in pool.map(lambda name: self._put(results, name), manifest.names):
                pass
        if not (self.stands() and create_object(self.place / MANIFEST_NAME, to_bytes(manifest))):
            raise _busy(self.place)

    def stands(self) -> bool:
        """Say whether the place is ours."""
        standing = find_content(self.place / PLAN_NAME)
        return standing is not None and standing.data == self.note

    def _put(self, results: Path, name: str) -> None:
        put_file(self.place / name, results / name)


def claim(place: Address, plan: Plan) -> Claim:
    """Make a place that of a run's results, or find that it is already.

    Raises `BusyError` where another run is at work there, `StorageError` where it holds anything
    else, or where the store keeps no conditions.
    """
    claimed = Claim(place, to_bytes(plan))
    if next(list_objects(place), None) is None:
        if not create_object(place / PLAN_NAME, claimed.note):
            raise _busy(place)
        _try_condition(claimed)
    elif not claimed.stands():
        raise _full(place) if _is_finished(place) else _busy(place)
    return claimed


def _try_condition(claimed: Claim) -> None:
    """Raise `StorageError` where a store writes although the condition is not met."""
    if create_object(claimed.place / PLAN_NAME, b""):
        delete_object(claimed.place / PLAN_NAME)
        raise StorageError(
            "the store knows no conditional writes",
            where=str(claimed.place),
            todo="Use one that does, so that two runs cannot mix their results",
        )


def _is_finished(place: Address) -> bool:
    """Tell results, and whatever else was there before, from a run that is under way."""
    under_way = find_object(place / PLAN_NAME) is not None
    return not under_way or find_object(place / MANIFEST_NAME) is not None


def _full(place: Address) -> StorageError:
    return StorageError("the place is not empty", where=str(place), todo=_ELSEWHERE)


def _busy(place: Address) -> BusyError:
    return BusyError("another run writes its results there", where=str(place), todo=_ELSEWHERE)
