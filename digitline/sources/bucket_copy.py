"""Labelled digits in a bucket, copied to be opened as they would be on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from digitline.commit import MANIFEST_NAME
from digitline.errors import DigitlineError
from digitline.objects import Address
from digitline.sources.bucket import Named, fetch, find, name_objects, reading_bucket
from digitline.sources.files import is_side_file
from digitline.sources.idx import is_idx
from digitline.sources.item import Item, Part, Source
from digitline.sources.manifest import read_lines

COPIES: Final = "labelled"
_LIST, _ROWS = ".csv", ".parquet"


@dataclass(frozen=True)
class Copy:
    """Where a source has been copied to: its `path` in a `root` that stands for an address."""

    path: Path
    root: Path
    address: Address

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Let an error name the object, not the file that stands for it."""
        try:
            yield
        except DigitlineError as error:
            if error.where is not None and Path(error.where).is_relative_to(self.root):
                within = Path(error.where).relative_to(self.root).as_posix()
                error.where = str(self.address if within == "." else self.address / within)
            raise

    def name(self, source: Source, where: Address) -> Source:
        """Let a source that was opened from the copy go by its address."""
        readers = {part: partial(self._read, source, part) for part in source.parts}
        return replace(source, where=str(where), readers=readers)

    def _read(self, source: Source, part: Part) -> Iterator[Item]:
        with self.naming():
            yield from source.read(part)


def copy_labelled(place: Address, cache: Path, max_bytes: int) -> Copy:
    """Copy what lies beneath an address, or at it, unless that very content has been copied.

    Beside a CSV file come the images that it lists. Of an image larger than `max_bytes` only that
    is told. Raises `SourceError` where there is nothing, or it cannot be read or be files.
    """
    copies = cache / COPIES
    with reading_bucket():
        beneath = list(filter(_belongs, name_objects(place)))
    if beneath:
        root, _ = fetch(beneath, copies, _hollow(beneath, max_bytes))
        return Copy(root, root, place)
    one = find(place)
    root, (path,) = fetch([one], copies, _hollow([one], max_bytes))
    if one.name.lower().endswith(_LIST):
        with Copy(path, root, place.folder).naming():
            listed = _read_names(path)
        with reading_bucket():
            images = [image for image in name_objects(place.folder) if image.name in listed]
        root, (path, *_) = fetch([one, *images], copies, _hollow(images, max_bytes))
    return Copy(path, root, place.folder)


def _read_names(path: Path) -> set[str]:
    lines = read_lines(path, labelled=True)
    return {line.path.relative_to(path.parent).as_posix() for line in lines}


def _belongs(found: Named) -> bool:
    """Tell whether a source on disk would be opened by that file, or read it."""
    *folders, last = found.name.split("/")
    if not last or any(part.startswith(".") for part in (*folders, last)):
        return False
    tells = not folders and (last == MANIFEST_NAME or last.lower().endswith(_LIST))
    return tells or not is_side_file(last)


def _hollow(found: list[Named], max_bytes: int) -> frozenset[Named]:
    """Find the images that are too large to be looked at."""
    return frozenset(one for one in found if one.size > max_bytes and _is_image(one.name))


def _is_image(name: str) -> bool:
    last = name.rpartition("/")[2]
    lowered = last.lower()
    return not (lowered.endswith((_LIST, _ROWS)) or last == MANIFEST_NAME or is_idx(last))
