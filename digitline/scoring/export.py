"""Results as CSV or JSON lines beside the Parquet shards, and joined to the list they came from."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import IO, Any, Final, Literal, TypeAlias

from digitline.commit import Shard, describe, replacing
from digitline.errors import DataError, SettingsError
from digitline.names import is_formula, portable
from digitline.rows import ERRORS, open_parquet, read_batches
from digitline.sources.files import reading

Format: TypeAlias = Literal["parquet", "csv", "jsonl"]
Row: TypeAlias = Mapping[str, Any]
Files: TypeAlias = Sequence[tuple[Path, Path]]

_OUTCOME: Final = ("status", "digit", "text", "confidence", "reason", "message")


def export(shards: Files, out: Path, kind: Format) -> list[Shard]:
    """Write `predictions` and `errors` as one file each; nothing where Parquet is enough.

    In CSV, a text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    if kind == "parquet":
        return []
    return [
        _write(out / f"predictions.{kind}", _columns(shards), _rows([pair[0] for pair in shards])),
        _write(out / f"errors.{kind}", ERRORS.names, _rows([pair[1] for pair in shards])),
    ]


def join(listing: Path, shards: Files, source: Path, out: Path, kind: Format) -> Shard:
    """Write the rows of the CSV file `source`, each with what became of its image.

    Rows that were left out of the scoring are left out. Raises `SettingsError` where the source
    is no CSV file, `DataError` where it has changed since it was listed.
    """
    if source.suffix.lower() != ".csv":
        raise SettingsError(
            "only a CSV manifest has columns to join", where=source, todo="Leave out --join"
        )
    with (
        reading(source),
        source.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        lines = csv.DictReader(file, strict=True)
        known = {*_columns(shards), *ERRORS.names}
        outcome = [name for name in _OUTCOME if name in known]
        own = [name for name in lines.fieldnames or () if name not in outcome]
        suffix = "csv" if kind == "parquet" else kind
        rows = _joined(lines, _outcomes(listing, shards), own, outcome, source)
        return _write(out / f"joined.{suffix}", [*own, *outcome], rows)


def _columns(shards: Files) -> list[str]:
    """Give the columns of the predictions, which are of digits or of fields."""
    with open_parquet(shards[0][0]) as file:
        return list(file.schema_arrow.names)


def _joined(
    lines: Iterator[dict[str, str]],
    outcomes: Iterator[Row],
    own: Sequence[str],
    told: Sequence[str],
    source: Path,
) -> Iterator[Row]:
    outcome = next(outcomes, None)
    for line in lines:
        name = "/".join(map(portable, PurePath(line["file"]).parts))
        if outcome is not None and outcome["path"] == name:
            texts = {column: portable(line[column]) for column in own}
            yield {**texts, **{column: outcome.get(column) for column in told}}
            outcome = next(outcomes, None)
    if outcome is not None:
        raise DataError("the list has changed since it was read", where=source, todo="Run again")


def _outcomes(listing: Path, shards: Files) -> Iterator[Row]:
    """Merge predictions and errors, each in the order of the listing, back into one."""
    predictions = _rows([pair[0] for pair in shards])
    errors = _rows([pair[1] for pair in shards])
    prediction = next(predictions, None)
    for batch in read_batches(listing, ["name"]):
        for name in batch.column("name").to_pylist():
            if prediction is not None and prediction["path"] == name:
                yield prediction
                prediction = next(predictions, None)
            else:
                yield {"status": "error", **next(errors)}


def _rows(files: Sequence[Path]) -> Iterator[Row]:
    for file in files:
        for batch in read_batches(file):
            yield from batch.to_pylist()


def _write(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> Shard:
    count = 0
    with (
        replacing(path) as draft,
        draft.open("w", encoding="utf-8", newline="") as file,
    ):
        write = _csv_writer(file, columns) if path.suffix == ".csv" else _json_writer(file, columns)
        for row in rows:
            write(row)
            count += 1
    return describe(path, count)


def _csv_writer(file: IO[str], columns: Sequence[str]) -> Callable[[Row], object]:
    writer = csv.writer(file)  # with its own line ends, which it quotes within a cell: both of them
    writer.writerow([_cell(column) for column in columns])
    return lambda row: writer.writerow([_cell(row.get(column)) for column in columns])


def _json_writer(file: IO[str], columns: Sequence[str]) -> Callable[[Row], object]:
    def write(row: Row) -> None:
        known = {column: _plain(row.get(column)) for column in columns}
        file.write(json.dumps(known, ensure_ascii=False) + "\n")

    return write


def _cell(value: object) -> object:
    plain = _plain(value)
    if isinstance(plain, str) and is_formula(plain):
        return f"'{plain}"
    return plain


def _plain(value: object) -> object:
    """Write digests in hex, and probabilities with the digits that float32 has."""
    if isinstance(value, bytes):
        return value.hex()
    return round(value, 7) if isinstance(value, float) else value
