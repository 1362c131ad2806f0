"""Digits in a folder with a sub-folder per digit, perhaps under `train/` and `test/`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from digitline.errors import SourceError
from digitline.sources.files import read_item, walk
from digitline.sources.item import PARTS, Item, Part, Source

_DIGITS = frozenset("0123456789")


def has_digits(folder: Path) -> bool:
    """Tell whether a folder, or its `train` or `test`, has a sub-folder named by a digit."""
    return any(_DIGITS & _folders(place) for place in (folder, *(folder / part for part in PARTS)))


def open_folder(folder: Path, max_bytes: int) -> Source:
    """Open a folder of labelled images.

    An image's label is the sub-folder it lies in, however deep. An image anywhere else has none:
    the rule `labels` tells of it. Raises `SourceError` for a folder beside `train` and `test`.
    """
    names = _folders(folder)
    if _DIGITS & names:
        places: dict[Part, str] = {"train": ""}
    else:
        places = {part: part for part in PARTS if part in names}
        _refuse_others(folder, names - set(places))
    readers = {part: partial(_read, folder, below, max_bytes) for part, below in places.items()}
    return Source(kind="folder", where=str(folder), readers=readers)


def _refuse_others(folder: Path, names: set[str]) -> None:
    for name in sorted(names):
        if not name.startswith("."):
            raise SourceError(
                f"the folder {name} is neither train nor test",
                where=folder,
                todo="Move it away, or into one of the two",
            )


def _folders(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if path.is_dir()}


def _read(folder: Path, below: str, max_bytes: int) -> Iterator[Item]:
    for found in walk(folder / below):
        name = f"{below}/{found.name}" if below else found.name
        label = _label(found.name)
        if found.problem is not None:
            yield Item(name, label, problem=found.problem)
        else:
            yield read_item(name, label, found.path, max_bytes)


def _label(name: str) -> int | None:
    first, *rest = PurePosixPath(name).parts
    return int(first) if rest and first in _DIGITS else None
