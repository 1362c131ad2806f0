"""From what a person types to a source: the kind is told by what lies there."""

from pathlib import Path

from digitline.errors import SourceError
from digitline.home import CHECKOUT
from digitline.objects import Address, is_address
from digitline.pixels.decode import Limits
from digitline.sources import manifest, openml
from digitline.sources.bucket_copy import copy_labelled
from digitline.sources.files import reading
from digitline.sources.folder import has_digits, open_folder
from digitline.sources.idx import find_pairs, open_idx
from digitline.sources.item import Source
from digitline.sources.parquet import find_shards, open_parquet_source

EMBEDDED = "mnist"
EMBEDDED_DIRECTORY = CHECKOUT / "data" / EMBEDDED
OPENML = f"openml:{openml.NAME}"
ACCEPTED = (
    f"Give `{EMBEDDED}`, `{OPENML}`, a folder with a sub-folder for each digit, a folder or a CSV "
    "file with the columns file and label, Parquet with the columns image and label, or the "
    "folder of MNIST's IDX files; a path, or an address such as s3://bucket/labelled"
)


def open_source(spec: str, *, limits: Limits | None = None, cache: Path | None = None) -> Source:
    """Open what `spec` names: `mnist`, `openml:mnist_784`, or a path or address of any known kind.

    `cache` is where a download is kept, and what lies in a bucket is copied to. Raises
    `SourceError` where it is unknown, missing or empty, `DataError` where it lacks what its kind
    promises, `SettingsError` for an address that is none.
    """
    max_bytes = (limits or Limits()).max_bytes
    if is_address(spec):
        if cache is None:
            raise ValueError("what lies in a bucket is copied to a cache")
        return _open_address(Address.parse(spec), cache, max_bytes)
    if spec.startswith("openml:"):
        if spec != OPENML:
            raise SourceError("not a data set that is read here", where=spec, todo=ACCEPTED)
        return openml.open_openml(cache)
    where = EMBEDDED_DIRECTORY if spec == EMBEDDED else Path(spec).expanduser()
    with reading(where):
        if not where.exists():
            raise SourceError("no such source", where=spec, todo=ACCEPTED)
        return _open_path(where, max_bytes)


def _open_address(place: Address, cache: Path, max_bytes: int) -> Source:
    copy = copy_labelled(place, cache, max_bytes)
    with copy.naming():
        return copy.name(_open_path(copy.path, max_bytes), place)


def _open_path(path: Path, max_bytes: int) -> Source:
    return _open_directory(path, max_bytes) if path.is_dir() else _open_file(path, max_bytes)


def _open_file(path: Path, max_bytes: int) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return open_parquet_source(path, [path])
    if suffix == ".csv":
        return manifest.open_manifests({"train": path}, path, max_bytes)
    raise SourceError("not a source of labelled digits", where=path, todo=ACCEPTED)


def _open_directory(folder: Path, max_bytes: int) -> Source:
    if find_pairs(folder):
        return open_idx(folder)
    if shards := find_shards(folder):
        return open_parquet_source(folder, shards)
    lists, digits = manifest.find_manifests(folder), has_digits(folder)
    if lists and digits:
        raise SourceError(
            f"holds both sub-folders for digits and {lists[0].name}",
            where=folder,
            todo="Name the CSV file to use it, or move it away",
        )
    if lists:
        parts = manifest.assign_parts(lists, folder)
        return manifest.open_manifests(parts, folder, max_bytes)
    if digits:
        return open_folder(folder, max_bytes)
    empty = not any(folder.iterdir())
    raise SourceError(
        "the folder is empty" if empty else "nothing in it tells what digits it holds",
        where=folder,
        todo=ACCEPTED,
    )
