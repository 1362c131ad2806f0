"""Normalise a data set: raw rows in, normalised rows out, once for the same content."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest, write_manifest
from digitline.errors import DataError
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.reading import read_images
from digitline.provenance import digest_of
from digitline.rows import (
    labels,
    normalised_batch,
    normalised_schema,
    read_batches,
    write_rows,
)
from tasks import stage

_BATCH = 2048
_log = logging.getLogger(__name__)


class Normalised(BaseModel):
    """Normalised rows: the directory, the digest of its content, and the parts in it."""

    model_config = ConfigDict(frozen=True)

    directory: Path
    digest: str
    parts: tuple[str, ...]
    rows: int


@stage(task_run_name="normalise {directory.name}")
def normalise_rows(directory: Path, cache: Path, limits: Limits) -> Normalised:
    """Normalise the raw rows of the data set in `directory` into a directory under `cache`."""
    raw = _manifest(directory)
    key = digest_of({"rows": raw.digest, "normaliser": NORMALISER})
    target = cache / f"{directory.name}-{key[:16]}"
    done = read_manifest(target)
    if done is None:
        done = _normalise_all(directory, raw, target, limits)
        _log.info("  normalise  %s digits", f"{_rows(done):,}")
    else:
        _log.info("  normalise  %s digits, done before", f"{_rows(done):,}")
    return Normalised(
        directory=target,
        digest=done.digest,
        parts=tuple(Path(shard.name).stem for shard in done.shards),
        rows=_rows(done),
    )


def _manifest(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    if manifest is None:
        raise DataError(
            "no data set here", where=directory, todo="Run `digitline ingest SOURCE --to NAME`"
        )
    return manifest


def _normalise_all(directory: Path, raw: Manifest, target: Path, limits: Limits) -> Manifest:
    schema = normalised_schema(NORMALISER)
    parts = [shard.name for shard in raw.shards if shard.name in {"train.parquet", "test.parquet"}]
    manifest = Manifest(
        kind="normalised rows",
        shards=tuple(
            write_rows(target / name, schema, _normalise(directory / name, limits))
            for name in parts
        ),
        facts={"rows": raw.digest, "normaliser": NORMALISER},
    )
    write_manifest(target, manifest)
    return manifest


def _normalise(path: Path, limits: Limits) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(path, size=_BATCH):
        contents = batch.column("image").field("bytes").to_pylist()
        reading = read_images(contents, limits)
        ids = [hashlib.sha256(contents[place]).digest() for place in reading.places]
        yield normalised_batch(
            ids, np.take(labels(batch), reading.places), reading.digits, NORMALISER
        )


def _rows(manifest: Manifest) -> int:
    return sum(shard.rows for shard in manifest.shards)
