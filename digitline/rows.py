"""Rows in Parquet: the schemas, and reading and writing them in bounded memory.

Raw rows hold an image file's bytes, in the Hugging Face convention. Normalised rows hold a
digit's 784 pixels. Predictions and errors are what scoring an image comes to: one or the other.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digitline.commit import Shard, describe, replacing, storage_errors
from digitline.errors import DataError, IncompatibleError

SIDE = 28
PIXELS = SIDE * SIDE
ROW_GROUP = 8192
GROUP_BYTES = 64 << 20
UNLABELLED = -1

_HUGGING_FACE = {
    "info": {
        "features": {
            "image": {"_type": "Image"},
            "label": {"names": [str(digit) for digit in range(10)], "_type": "ClassLabel"},
        }
    }
}

RAW = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
    ],
    metadata={"huggingface": json.dumps(_HUGGING_FACE)},
)

_NORMALISED_FIELDS = [
    pa.field("id", pa.binary(32), nullable=False),
    pa.field("label", pa.int8()),
    pa.field("px", pa.binary(PIXELS), nullable=False),
]

PREDICTIONS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.binary(32), nullable=False),
        pa.field("digit", pa.int8(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        *(pa.field(f"p{digit}", pa.float32(), nullable=False) for digit in range(10)),
        pa.field("status", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
    ]
)

ERRORS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)

_NORMALISER_KEY = b"digitline.normaliser"
_SHAPE_KEY = b"digitline.shape"


def normalised_schema(normaliser: str) -> pa.Schema:
    """Give the schema of normalised rows made by that version of the normaliser."""
    metadata = {_SHAPE_KEY: b"28,28", _NORMALISER_KEY: normaliser.encode()}
    return pa.schema(_NORMALISED_FIELDS, metadata=metadata)


def normalised_batch(
    ids: Sequence[bytes],
    labels: NDArray[np.int8],
    digits: NDArray[np.uint8],
    normaliser: str,
) -> pa.RecordBatch:
    """Put digits into normalised rows.

    `ids` are n SHA-256 digests of 32 bytes, `labels` (n,) with `UNLABELLED` where unknown,
    `digits` (n, 28, 28) or (n, 784).
    """
    px = np.ascontiguousarray(digits, dtype=np.uint8).reshape(len(ids), PIXELS)
    columns = [
        pa.array(ids, pa.binary(32)),
        pa.array(labels, pa.int8(), mask=labels == UNLABELLED),
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(PIXELS), len(ids), [None, pa.py_buffer(px)]),
    ]
    return pa.record_batch(columns, schema=normalised_schema(normaliser))


def raw_batch(
    contents: Sequence[bytes], paths: Sequence[str], labels: NDArray[np.int8]
) -> pa.RecordBatch:
    """Put image files into raw rows; a label is null where it is `UNLABELLED`."""
    image = pa.StructArray.from_arrays(
        [pa.array(contents, pa.binary()), pa.array(paths, pa.string())],
        fields=list(RAW.field("image").type),
    )
    label = pa.array(labels.astype(np.int64), pa.int64(), mask=labels == UNLABELLED)
    return pa.record_batch([image, label], schema=RAW)


def pixels(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """View the pixels of normalised rows, (n, 784) uint8, without copying them."""
    column = batch.column("px")
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    rows = flat.reshape(-1, PIXELS)
    return rows[column.offset : column.offset + len(column)]


def labels(batch: pa.RecordBatch) -> NDArray[np.int8]:
    """Read the labels of rows, (n,) int8, `UNLABELLED` where null."""
    filled = batch.column("label").fill_null(UNLABELLED)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int8)


def digests(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """View the ids of rows, (n, 32) uint8, without copying them."""
    column = batch.column("id")
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    return flat.reshape(-1, 32)[column.offset : column.offset + len(column)]


class RowWriter:
    """Write batches of rows to one Parquet file, in row groups of `ROW_GROUP`.

    A group ends sooner where its rows reach `GROUP_BYTES`: raw rows may be photographs.
    """

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        """Begin a file of rows of `schema` in `sink`."""
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=3,
            # A dictionary of 784-byte values that never repeat costs time and space.
            use_dictionary=[
                field.name for field in schema if field.name in {"status", "model", "reason"}
            ],
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; they reach the file a full row group at a time."""
        self._waiting.append(batch)
        self.rows += batch.num_rows
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        while self._waiting_rows >= ROW_GROUP or self._waiting_bytes >= GROUP_BYTES:
            self._write_group(ROW_GROUP)

    def note(self, key: str, text: str) -> None:
        """Keep a note in the file's footer; `read_note` gives it back."""
        self._writer.add_key_value_metadata({key: text})

    def close(self) -> None:
        """Write the last, smaller row group and the footer."""
        if self._waiting:
            self._write_group(ROW_GROUP)
        self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is: after a full disk the footer would fail as well."""
        self._writer.is_open = False

    def _write_group(self, size: int) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table.slice(0, size), row_group_size=size)
        rest = table.slice(size)
        self._waiting = rest.to_batches()
        self._waiting_rows, self._waiting_bytes = rest.num_rows, rest.nbytes


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[RowWriter]:
    """Write a Parquet file that appears whole when the block ends, or not at all."""
    with replacing(path) as draft, draft.open("wb") as sink:
        writer = RowWriter(sink, schema)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


def write_rows(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Shard:
    """Write batches to one file, atomically, and describe it."""
    with writing(path, schema) as writer:
        for batch in batches:
            writer.write(batch)
    return describe(path, writer.rows)


def read_batches(
    path: Path, columns: Sequence[str] | None = None, size: int = ROW_GROUP
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file batch by batch, in bounded memory.

    Raises `DataError` where `path` is not Parquet.
    """
    with open_parquet(path) as file:
        yield from file.iter_batches(batch_size=size, columns=columns)


def read_labelled(
    path: Path, most: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Read the first `most` normalised rows, or all: pixels (n, 784) and labels (n,)."""
    digits, found = [np.empty((0, PIXELS), np.uint8)], [np.empty(0, np.int8)]
    for batch in read_slice(path, 0, most or count_rows(path), ["label", "px"]):
        digits.append(pixels(batch))
        found.append(labels(batch))
    return np.concatenate(digits), np.concatenate(found)


def read_slice(
    path: Path,
    start: int,
    stop: int,
    columns: Sequence[str] | None = None,
    size: int = ROW_GROUP,
) -> Iterator[pa.RecordBatch]:
    """Read rows `start` to `stop`, touching only the row groups they lie in.

    Rows beyond the end of the file are left out. Raises `DataError` where `path` is not Parquet.
    """
    with open_parquet(path) as file:
        after = 0
        for group in range(file.num_row_groups):
            before, after = after, after + file.metadata.row_group(group).num_rows
            if start < after and before < stop:
                for batch in file.iter_batches(size, row_groups=[group], columns=columns):
                    skipped = min(max(start - before, 0), batch.num_rows)
                    piece = batch.slice(skipped, max(stop - before - skipped, 0))
                    before += batch.num_rows
                    if piece.num_rows:
                        yield piece


def read_places(
    path: Path, places: NDArray[np.int64], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows at `places` (n,), which grow, touching only the row groups they lie in.

    Rows beyond the end of the file are left out. Raises `DataError` where `path` is not Parquet.
    """
    with open_parquet(path) as file:
        after = 0
        for group in range(file.num_row_groups):
            before, after = after, after + file.metadata.row_group(group).num_rows
            if np.searchsorted(places, before) == np.searchsorted(places, after):
                continue
            for batch in file.iter_batches(ROW_GROUP, row_groups=[group], columns=columns):
                first, last = np.searchsorted(places, [before, before + batch.num_rows])
                if first < last:
                    yield batch.take(pa.array(places[first:last] - before))
                before += batch.num_rows


def count_rows(path: Path) -> int:
    """Count the rows of a Parquet file; `DataError` where it is not one."""
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def open_parquet(source: Path | IO[bytes]) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; `DataError` where it is not one or is broken inside."""
    path = source if isinstance(source, Path) else Path(source.name)
    try:
        with storage_errors(path), pq.ParquetFile(source, memory_map=True) as file:
            yield file
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        # Arrow raises a bare `OSError` for broken pages; the system's own has a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            "not a readable Parquet file", where=path, todo="Write it again, or leave it out"
        ) from error


def read_note(path: Path, key: str) -> str | None:
    """Read a note from a file's footer, `None` where it has none of that name."""
    with open_parquet(path) as file:
        note = (file.metadata.metadata or {}).get(key.encode())
    return None if note is None else note.decode()


def check_normalised(path: Path, normaliser: str) -> None:
    """Raise unless `path` holds normalised rows made by that version of the normaliser.

    `DataError` for a missing column or a wrong type, `IncompatibleError` for another version.
    """
    with open_parquet(path) as file:
        schema = file.schema_arrow
    for field in _NORMALISED_FIELDS:
        if field.name not in schema.names:
            raise DataError(
                f"no column `{field.name}`",
                where=path,
                todo="Normalised rows have the columns id, label and px",
            )
        found = schema.field(field.name).type
        if found != field.type:
            raise DataError(
                f"column `{field.name}` is {found}, not {field.type}",
                where=path,
                todo="Normalise the raw rows again",
            )
    version = (schema.metadata or {}).get(_NORMALISER_KEY, b"").decode()
    if version != normaliser:
        raise IncompatibleError(
            f"rows of normaliser {version or 'unknown'}, but {normaliser} is needed",
            where=path,
            todo="Normalise the raw rows again",
        )
