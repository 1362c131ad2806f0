"""A committed data set: `train.parquet`, perhaps `test.parquet` and `dropped.parquet`, a manifest.

The directory is replaced as a whole, and a reader opens all its files before it reads the first
row. So it reads the old rows or the new ones, never some of each.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from digitline import rows
from digitline.commit import MANIFEST_NAME, Manifest, read_manifest, storage_errors
from digitline.errors import DataError, SettingsError, SourceError, StorageError
from digitline.sources.checks import Checks, Outcome
from digitline.sources.item import PARTS, Part
from digitline.sources.swap import replacing_directory, standing

KIND = "dataset"
DROPPED_NAME = "dropped.parquet"
DROPPED = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Other things lie there.
_RESERVED = frozenset(
    {"corrections", "errata", "jobs", "normalised", "practice", "runs", "samples", "splits"}
)
_ATTEMPTS = 5
_BATCH_ROWS = 256  # raw rows may be photographs of some megabytes each


class PartFacts(BaseModel):
    """One part: rows read from the source, rows kept, and of those how many a digit 0-9."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: int
    rows: int
    labels: tuple[int, ...]


class Facts(BaseModel):
    """What the manifest of a data set tells beside its files.

    `source_digest` is over every row of the source, `rows_digest` over the rows kept and
    `dropped_digest` over the others: paths, labels and contents, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    source_digest: str
    rows_digest: str
    dropped: int
    dropped_digest: str
    parts: dict[Part, PartFacts]
    checks: Checks
    outcomes: tuple[Outcome, ...]


class Ingested(BaseModel):
    """What an ingest came to: where the rows lie, whether they were written, what was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    verdict: Literal["written", "unchanged"]
    digest: str
    facts: Facts


@dataclass(frozen=True)
class Dataset:
    """A committed data set, held open: replacing it meanwhile changes nothing in it."""

    manifest: Manifest
    facts: Facts
    files: Mapping[str, BufferedReader]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts it has, training before test."""
        return tuple(part for part in PARTS if part_name(part) in self.files)

    def batches(self, part: Part) -> Iterator[pa.RecordBatch]:
        """Read the raw rows of a part; `DataError` where they differ from the manifest."""
        return self._read(part_name(part))

    def dropped(self) -> Iterator[pa.RecordBatch]:
        """Read what was dropped and why: path, part, reason (a rule's name), message."""
        return self._read(DROPPED_NAME) if DROPPED_NAME in self.files else iter(())

    def _read(self, name: str) -> Iterator[pa.RecordBatch]:
        file = self.files[name]
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest.shard(name).sha256:
            raise DataError(
                "a file differs from its manifest", where=file.name, todo="Ingest it again"
            )
        with rows.open_parquet(file) as parquet:
            yield from parquet.iter_batches(batch_size=_BATCH_ROWS)


def part_name(part: Part) -> str:
    """Name the file of a part."""
    return f"{part}.parquet"


def locate(data: Path, name: str) -> Path:
    """Give the directory of a data set beneath `data`; `SettingsError` for an unusable name."""
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        raise SettingsError(
            f"`{name}` cannot name a data set",
            todo="Use another one, of letters, digits, dots and dashes",
        )
    return data / name


def read_committed(directory: Path) -> tuple[Manifest, Facts] | None:
    """Read what is committed in a directory, `None` where it is no data set of ours.

    Raises `DataError` where the manifest cannot be understood.
    """
    manifest = read_manifest(standing(directory))
    if manifest is None or manifest.kind != KIND:
        return None
    try:
        return manifest, Facts.model_validate_json(json.dumps(manifest.facts))
    except ValidationError as error:
        raise DataError(
            "the manifest cannot be understood",
            where=directory / MANIFEST_NAME,
            todo="Remove the directory and ingest again",
        ) from error


@contextmanager
def opened(directory: Path, digest: str | None = None) -> Iterator[Dataset]:
    """Open a committed data set, all its files at once.

    `digest` is the manifest's, where it must be that very version. Raises `SourceError` where
    nothing is committed, `DataError` where it has been replaced by another version.
    """
    with ExitStack() as stack:
        data = _open_files(directory, stack)
        if digest is not None and data.manifest.digest != digest:
            raise DataError(
                "the data set has been replaced meanwhile", where=directory, todo="Run again"
            )
        yield data


def _open_files(directory: Path, stack: ExitStack) -> Dataset:
    for _ in range(_ATTEMPTS):
        committed = read_committed(directory)
        if committed is None:
            raise SourceError("no data set here", where=directory, todo="Ingest one first")
        manifest, facts = committed
        files = _try_open(standing(directory), manifest)
        if files is not None and read_committed(directory) == committed:
            for file in files.values():
                stack.enter_context(file)
            return Dataset(manifest, facts, files)
        # It was replaced between two of these steps: look again.
        for file in (files or {}).values():
            file.close()
    raise StorageError(
        "files of the data set are missing, or it changes all the time",
        where=directory,
        todo="Ingest it again",
    )


def _try_open(directory: Path, manifest: Manifest) -> dict[str, BufferedReader] | None:
    files: dict[str, BufferedReader] = {}
    try:
        with storage_errors(directory):
            for shard in manifest.shards:
                files[shard.name] = (directory / shard.name).open("rb")
    except FileNotFoundError:
        for file in files.values():
            file.close()
        return None
    return files


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """Give an empty directory to write a data set to; on leaving it becomes `directory`.

    Raises `StorageError` where `directory` holds files that no ingest has written.
    """
    _refuse_foreign(directory)
    with replacing_directory(directory) as draft:
        yield draft


def _refuse_foreign(directory: Path) -> None:
    if not directory.exists():
        return
    committed = read_committed(directory)
    own = {MANIFEST_NAME}
    if committed is not None:
        own |= {shard.name for shard in committed[0].shards}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in own)
    if foreign:
        raise StorageError(
            f"holds `{foreign[0]}`, which no ingest has written",
            where=directory,
            todo="Choose another name",
        )
