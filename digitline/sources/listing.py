"""What there is to score: a listing in an order that never changes, read back in ranges.

A listing is taken once and kept as Parquet, so a run that is taken up again works on the same
images. Each entry says under which name its answer goes out, and how its content is opened.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.commit import Shard, read_manifest
from digitline.errors import DataError, SourceError, StorageError
from digitline.names import portable
from digitline.objects import Address
from digitline.rows import (
    ROW_GROUP,
    check_normalised,
    digests,
    open_parquet,
    pixels,
    read_places,
    read_slice,
    write_rows,
)
from digitline.sources.archive import ARCHIVES, Kind, Member, list_members, read_members, recognise
from digitline.sources.bucket import Named, Wanted, fetch, find, read_ahead, walk_bucket
from digitline.sources.dataset import DROPPED_NAME
from digitline.sources.files import Found, UnreadableError, is_side_file, read_file, reading, walk
from digitline.sources.manifest import read_lines
from digitline.sources.parquet import IMAGE, check_raw, read_contents, read_paths
from digitline.sources.swap import standing

Opener: TypeAlias = Literal[
    "file", "raw", "normalised", "zip", "tar", "packed", "object", "nothing"
]

LISTING = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("opener", pa.string(), nullable=False),
        pa.field("location", pa.binary(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
    ]
)
ACCEPTED = (
    "Give a folder of images, one image, a zip or tar archive, a CSV file with the column file, "
    "or Parquet with the column image or with normalised rows"
)
_BATCH_ROWS = 256  # raw rows may be photographs of some megabytes each


@dataclass(frozen=True)
class Selection:
    """Which images to list: those whose names fit one of `include` and none of `exclude`.

    Patterns are a shell's. One with a slash is held against the whole name, where `*` stands for
    slashes too; one without against the last part of it.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def choose(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Keep the rows of a listing that are wanted."""
        if not self.include and not self.exclude:
            return batch
        names = batch.column("name").to_pylist()
        return batch.filter(pa.array(map(self._wants, names), pa.bool_()))

    def _wants(self, name: str) -> bool:
        included = not self.include or any(_fits(name, pattern) for pattern in self.include)
        return included and not any(_fits(name, pattern) for pattern in self.exclude)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


class Entry(NamedTuple):
    """One image to score.

    `name` goes into the answer. `opener` tells what `location`, an absolute path as the bytes the
    system knows it by, is: an image `file`, Parquet with `raw` or `normalised` rows, of which
    this is `row`, or an archive (`zip`, `tar`, `packed`) with a member of that number. That of an
    `object` is an address; it has `row` bytes, -1 where that is not known, and its content the
    tag `etag`. With `nothing`, `reason` and `message` tell why it cannot be opened.
    """

    name: str
    opener: Opener
    location: bytes
    row: int = -1
    reason: str = ""
    message: str = ""
    etag: str = ""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(os.fsdecode(self.location))


def list_images(spec: str, normaliser: str) -> Iterator[Entry]:
    """List the images of a source one by one; raises as `list_batches` does."""
    return chain.from_iterable(map(to_entries, list_batches(spec, normaliser)))


def list_batches(
    spec: str, normaliser: str, selection: Selection | None = None
) -> Iterator[pa.RecordBatch]:
    """List the images of a folder, an archive, a CSV file, or Parquet with rows of either kind.

    Gives batches of `LISTING`. Raises `SourceError` where there is none, `DataError` for a
    missing column or a bad line, `IncompatibleError` for rows of another version than `normaliser`.
    """
    where = Path(spec).expanduser().absolute()
    with reading(where):
        if not where.exists():
            raise SourceError("no such file or folder", where=spec, todo=ACCEPTED)
        batches = (
            _list_folder(where, normaliser) if where.is_dir() else _list_file(where, normaliser)
        )
    return _some(batches if selection is None else map(selection.choose, batches), spec)


def list_bucket(
    place: Address, normaliser: str, selection: Selection, cache: Path
) -> Iterator[pa.RecordBatch]:
    """List what lies at an address, or beneath it, as `list_batches` does with paths.

    An archive, a CSV file or Parquet is copied to `cache` first.
    """
    found = walk_bucket(place)
    shards: list[Named] = []
    for one in found:
        if not one.name.lower().endswith(".parquet"):
            entries = map(_from_bucket, chain(shards, [one], found))
            return _some(map(selection.choose, _to_batches(entries)), str(place))
        shards.append(one)
    folder, paths = fetch(shards or [find(place)], cache)
    if shards:
        batches = _list_parquet(paths, folder, normaliser)
    elif paths[0].suffix.lower() == ".csv":
        batches = _to_batches(_from_list(paths[0], place))
    else:
        batches = _list_file(paths[0], normaliser)
    return _some(map(selection.choose, batches), str(place))


def write_listing(path: Path, entries: Iterable[Entry]) -> Shard:
    """Keep entries as a listing in Parquet."""
    return write_rows(path, LISTING, _to_batches(iter(entries)))


def keep_listing(path: Path, batches: Iterator[pa.RecordBatch]) -> Shard:
    """Keep batches of `LISTING` in Parquet."""
    return write_rows(path, LISTING, batches)


def read_listing(path: Path, start: int, stop: int) -> list[Entry]:
    """Read the entries `start` to `stop` of a listing."""
    return [entry for batch in read_slice(path, start, stop) for entry in to_entries(batch)]


def to_entries(batch: pa.RecordBatch) -> list[Entry]:
    """Turn rows of `LISTING` into entries."""
    return list(
        map(Entry._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))
    )


def read_entry(entry: Entry, max_bytes: int) -> bytes:
    """Read one image's bytes; `UnreadableError` says why not."""
    content = next(read_entries([entry], max_bytes))
    if isinstance(content, UnreadableError):
        raise content
    return content


def read_entries(entries: Sequence[Entry], max_bytes: int) -> Iterator[bytes | UnreadableError]:
    """Read images one by one, in order: the bytes of each, or why it has none.

    Rows of one Parquet file that follow one another are read together. Normalised rows have no
    bytes to read; `read_digits` reads their pixels.
    """
    for run in _runs(entries):
        opener = run[0].opener
        if opener == "raw":
            yield from _read_raw(run, max_bytes)
        elif (archive := ARCHIVES.get(opener)) is not None:
            numbers = [entry.row for entry in run]
            yield from read_members(run[0].path, archive, numbers, max_bytes)
        elif opener == "object":
            yield from read_ahead(map(_to_wanted, run), max_bytes)
        else:
            yield from (_read_file(entry, max_bytes) for entry in run)


def read_digits(entries: Sequence[Entry]) -> tuple[list[bytes], NDArray[np.uint8]]:
    """Read normalised rows: n ids of 32 bytes, and their pixels (n, 784).

    Raises `DataError` where the rows listed are not there any more.
    """
    batch = pa.Table.from_batches(_to_batches(iter(entries)), LISTING).combine_chunks()
    ids, px = read_digit_rows(batch.to_batches()[0])
    return [row.tobytes() for row in ids], px


def read_digit_rows(batch: pa.RecordBatch) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the normalised rows that rows of a listing name: ids (n, 32), pixels (n, 784).

    Raises `DataError` where they are not there any more.
    """
    locations = batch.column("location").dictionary_encode()
    files, rows = locations.indices.to_numpy(), batch.column("row").to_numpy()
    breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) <= 0)) + 1
    ids, px = [], []
    for run in np.split(np.arange(len(rows)), breaks):
        path = Path(os.fsdecode(locations.dictionary[files[run[0]]].as_py()))
        found = 0
        for some in read_places(path, rows[run], ["id", "px"]):
            ids.append(digests(some))
            px.append(pixels(some))
            found += some.num_rows
        if found != len(run):
            raise DataError("rows have gone since they were listed", where=path, todo="Run again")
    return np.concatenate(ids), np.concatenate(px)


def _list_folder(folder: Path, normaliser: str) -> Iterator[pa.RecordBatch]:
    shards = _find_parquet(folder)
    if shards:
        return _list_parquet(shards, folder, normaliser)
    return _to_batches(map(_from_walk, walk(folder)))


def _list_file(path: Path, normaliser: str) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() == ".parquet":
        return _list_parquet([path], path.parent, normaliser)
    if path.suffix.lower() == ".csv":
        lines = read_lines(path, labelled=False)
        return _to_batches(_from_file(line.name, line.path) for line in lines)
    archive = recognise(path) if path.is_file() else None
    if archive is not None:
        members = list_members(path, archive)
        return _to_batches(_from_member(member, path, archive) for member in members)
    if path.is_file() and not is_side_file(path.name):
        return _to_batches(iter([_from_file(portable(path.name), path)]))
    raise SourceError("not something that can be scored", where=path, todo=ACCEPTED)


def _find_parquet(folder: Path) -> list[Path]:
    """Find the Parquet files of a folder that holds nothing else, by its manifest if it has one."""
    manifest = read_manifest(standing(folder))
    if manifest is not None:
        names = [shard.name for shard in manifest.shards if shard.name != DROPPED_NAME]
        return [standing(folder) / name for name in names]
    shards = []
    for found in walk(folder):
        if found.problem is not None or found.path.suffix.lower() != ".parquet":
            return []
        shards.append(found.path)
    return shards


def _list_parquet(
    shards: Sequence[Path], folder: Path, normaliser: str
) -> Iterator[pa.RecordBatch]:
    kinds = [_recognise_rows(path, normaliser) for path in shards]
    return chain.from_iterable(
        _to_batches(_list_raw(path, folder)) if kind == "raw" else _list_normalised(path, folder)
        for path, kind in zip(shards, kinds, strict=True)
    )


def _recognise_rows(path: Path, normaliser: str) -> Opener:
    with open_parquet(path) as file:
        names = file.schema_arrow.names
    if "px" in names:
        check_normalised(path, normaliser)
        return "normalised"
    check_raw(path, labelled=False)
    return "raw"


def _list_raw(path: Path, folder: Path) -> Iterator[Entry]:
    location, number = os.fsencode(path), 0
    for names in read_paths(path):
        for name in names:
            yield Entry(name or _name_row(path, folder, number), "raw", location, number)
            number += 1


def _list_normalised(path: Path, folder: Path) -> Iterator[pa.RecordBatch]:
    """List rows a batch at a time: there may be many millions, and each is quickly scored."""
    with open_parquet(path) as file:
        count = file.metadata.num_rows
    for start in range(0, count, ROW_GROUP):
        rows = pa.array(np.arange(start, min(start + ROW_GROUP, count)))
        names = pc.binary_join_element_wise(
            portable(path.relative_to(folder)), pc.cast(rows, pa.string()), "#"
        )
        nothing = pa.repeat("", len(rows))
        location = pa.repeat(os.fsencode(path), len(rows))
        opener = pa.repeat("normalised", len(rows))
        columns = [names, opener, location, rows, nothing, nothing, nothing]
        yield pa.record_batch(columns, schema=LISTING)


def _name_row(path: Path, folder: Path, number: int) -> str:
    return f"{portable(path.relative_to(folder))}#{number}"


def _from_file(name: str, path: Path) -> Entry:
    return Entry(name, "file", os.fsencode(path))


def _from_member(member: Member, path: Path, kind: Kind) -> Entry:
    location = os.fsencode(path)
    if member.problem is None:
        return Entry(member.name, kind, location, member.number)
    return Entry(member.name, "nothing", location, member.number, *member.problem)


def _from_bucket(found: Named) -> Entry:
    return Entry(found.name, "object", _locate(found.address), found.size, etag=found.etag)


def _from_list(path: Path, place: Address) -> Iterator[Entry]:
    """List the objects that a CSV file names, which lie beside it or beneath."""
    for line in read_lines(path, labelled=False):
        within = line.path.relative_to(path.parent).as_posix()
        yield Entry(line.name, "object", _locate(place.folder / within))


def _locate(address: Address) -> bytes:
    return str(address).encode("utf-8", "surrogateescape")


def _to_wanted(entry: Entry) -> Wanted:
    location = entry.location.decode("utf-8", "surrogateescape")
    return Wanted(Address.parse(location), entry.row, entry.etag)


def _from_walk(found: Found) -> Entry:
    if found.problem is None:
        return Entry(found.name, "file", found.location)
    return Entry(found.name, "nothing", found.location, -1, *found.problem)


def _some(batches: Iterator[pa.RecordBatch], spec: str) -> Iterator[pa.RecordBatch]:
    """Pass batches on; `SourceError` where there is no row in them."""
    filled = (batch for batch in batches if batch.num_rows)
    first = next(filled, None)
    if first is None:
        raise SourceError("there is no image in it", where=spec, todo=ACCEPTED)
    return chain([first], filled)


def _to_batches(entries: Iterator[Entry]) -> Iterator[pa.RecordBatch]:
    while batch := list(islice(entries, ROW_GROUP)):
        columns = zip(LISTING.types, zip(*batch, strict=True), strict=True)
        yield pa.record_batch([pa.array(values, kind) for kind, values in columns], schema=LISTING)


def _runs(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Split entries where the way to open them changes, the Parquet file or archive, or its rows.

    Files make one run, as each is opened by itself, and so do objects.
    """

    def kind(pair: tuple[int, Entry]) -> tuple[str, bytes, int]:
        place, entry = pair
        if entry.opener in {"file", "nothing"}:
            return "file", b"", 0
        if entry.opener == "object":
            return "object", b"", 0
        follows = entry.row - place if entry.opener in {"raw", "normalised"} else 0
        return entry.opener, entry.location, follows

    for _, run in groupby(enumerate(entries), kind):
        yield [entry for _, entry in run]


def _read_file(entry: Entry, max_bytes: int) -> bytes | UnreadableError:
    if entry.opener == "nothing":
        return UnreadableError(entry.reason, entry.message)
    try:
        return read_file(entry.location, max_bytes)
    except UnreadableError as error:
        return error


def _read_raw(run: Sequence[Entry], max_bytes: int) -> Iterator[bytes | UnreadableError]:
    """Read consecutive rows; where the file breaks off, the rest of them have the reason."""
    path, done = run[0].path, 0
    trouble = UnreadableError("vanished", "the row has gone since it was listed")
    try:
        for batch in read_slice(path, run[0].row, run[-1].row + 1, [IMAGE], _BATCH_ROWS):
            for content in read_contents(batch):
                yield _admit(content, max_bytes)
                done += 1
    except FileNotFoundError:
        trouble = UnreadableError("vanished", "there is no such file")
    except (DataError, StorageError, OSError) as error:
        trouble = UnreadableError("unreadable", str(error))
    yield from (trouble for _ in range(len(run) - done))


def _admit(content: bytes | None, max_bytes: int) -> bytes | UnreadableError:
    if not content:
        return UnreadableError("empty", "the row holds no image")
    if len(content) > max_bytes:
        return UnreadableError("too-large", f"{len(content):,} bytes; the limit is {max_bytes:,}")
    return content
