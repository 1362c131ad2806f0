"""Raw rows in Parquet, as the Hugging Face hub serves them: one file or a folder of shards."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa

from digitline.commit import check_shards
from digitline.errors import DataError, SourceError
from digitline.rows import open_parquet
from digitline.sources.dataset import part_name, read_committed
from digitline.sources.item import NO_IMAGE, PARTS, Item, Part, Problem, Source
from digitline.sources.swap import standing

IMAGE, LABEL = "image", "label"
_BATCH_ROWS = 256  # raw rows may be photographs of some megabytes each
_NO_IMAGE = Problem(NO_IMAGE, "the row holds no image")


def find_shards(folder: Path) -> list[Path]:
    """Find the Parquet files of a folder, or of the only folder in it that has some.

    Files that begin with a dot or an underscore are passed over.
    """
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    holding = [shards for shards in map(_shards, inner) if shards]
    return _shards(folder) or (holding[0] if len(holding) == 1 else [])


def open_parquet_source(where: Path, shards: list[Path]) -> Source:
    """Open raw rows, the parts told by the shards' names; `DataError` for a wrong column.

    In a folder this program has committed, the manifest names the files and their digests;
    `TamperedError` where one differs.
    """
    parts = _committed_parts(where) or _assign_parts(shards, where)
    for files in parts.values():
        for path in files:
            check_raw(path, labelled=True)
    readers = {part: partial(_read, part, files) for part, files in parts.items()}
    return Source(kind="parquet", where=str(where), readers=readers)


def check_raw(path: Path, *, labelled: bool) -> None:
    """Raise `DataError` unless a Parquet file has an image column, and with `labelled` a label."""
    with open_parquet(path) as file:
        schema = file.schema_arrow
    _check(schema, IMAGE, _holds_images, "bytes, or a struct with bytes in it", path)
    if labelled:
        _check(schema, LABEL, pa.types.is_integer, "a whole number", path)


def read_contents(batch: pa.RecordBatch) -> list[bytes | None]:
    """Take the images' bytes out of a batch of raw rows, `None` where there are none."""
    column = batch.column(IMAGE)
    if pa.types.is_struct(column.type):
        # `flatten` hands the nulls of the struct down to its fields, `field` would not.
        column = column.flatten()[column.type.get_field_index("bytes")]
    contents: list[bytes | None] = column.to_pylist()
    return contents


def read_paths(path: Path) -> Iterator[list[str | None]]:
    """Read the images' names in a Parquet file batch by batch, `None` where there are none."""
    with open_parquet(path) as file:
        image = file.schema_arrow.field(IMAGE).type
        if not pa.types.is_struct(image) or image.get_field_index("path") < 0:
            for batch in file.iter_batches(columns=[]):
                yield [None] * batch.num_rows
        else:
            for batch in file.iter_batches(columns=[f"{IMAGE}.path"]):
                yield _decode_paths(batch.column(IMAGE).flatten()[0])


def _decode_paths(column: pa.Array) -> list[str | None]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return [None] * len(column)
    # As bytes, for a file may claim to hold UTF-8 and hold something else.
    paths = column.cast(pa.large_binary()).to_pylist()
    return [path.decode("utf-8", "backslashreplace") if path else None for path in paths]


def _shards(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.glob("*.parquet")
        if not path.name.startswith((".", "_")) and path.is_file()
    )


def _committed_parts(where: Path) -> dict[Part, list[Path]]:
    committed = read_committed(where)
    if committed is None:
        return {}
    manifest, facts = committed
    place = standing(where)
    check_shards(place, manifest)
    return {
        part: [place / part_name(part)]
        for part in PARTS
        if part in facts.parts and facts.parts[part].rows
    }


def _assign_parts(shards: list[Path], where: Path) -> dict[Part, list[Path]]:
    """Tell training shards from test shards by how their names begin; no such name: training."""
    parts: dict[Part, list[Path]] = {
        part: [path for path in shards if _begins(path, part)] for part in PARTS
    }
    if not any(parts.values()):
        return {"train": shards}
    for path in shards:
        if not any(path in files for files in parts.values()):
            raise SourceError(
                f"the name of {path.name} begins neither with train nor with test",
                where=where,
                todo="Move the file away, or give it such a name",
            )
    return {part: files for part, files in parts.items() if files}


def _begins(path: Path, part: Part) -> bool:
    return path.stem == part or path.stem.startswith((f"{part}-", f"{part}_", f"{part}."))


def _read(part: Part, shards: list[Path]) -> Iterator[Item]:
    number = 0
    for path in shards:
        names = chain.from_iterable(read_paths(path))
        with open_parquet(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=[IMAGE, LABEL]):
                labels = batch.column(LABEL).to_pylist()
                for content, label in zip(read_contents(batch), labels, strict=True):
                    yield _item(next(names) or f"{part}/{number:05}", label, content)
                    number += 1


def _item(name: str, label: int | None, content: bytes | None) -> Item:
    if content is None:
        return Item(name, label, problem=_NO_IMAGE)
    return Item(name, label, content)


def _check(
    schema: pa.Schema, name: str, fits: Callable[[pa.DataType], bool], wanted: str, path: Path
) -> None:
    if schema.names.count(name) != 1:
        raise DataError(
            f"not one column `{name}`; there are {', '.join(schema.names)}",
            where=path,
            todo="Raw rows have the columns image and label",
        )
    kind = schema.field(name).type
    if not fits(kind):
        raise DataError(
            f"column `{name}` is {kind}, not {wanted}",
            where=path,
            todo="Raw rows have the columns image and label",
        )


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")  # -1 where there is none, or more than one
        return bool(place >= 0 and _is_binary(kind.field(place).type))
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)
