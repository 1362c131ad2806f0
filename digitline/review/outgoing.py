"""A sheet and its images as they go out to people: a CSV, or a folder with the images beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from digitline.commit import write_bytes
from digitline.errors import StorageError
from digitline.pixels.decode import Limits
from digitline.review.answered import Answered
from digitline.review.questions import COLUMNS, Question, Questions
from digitline.review.sheet import KIND, write_sheet
from digitline.review.store import Store
from digitline.rows import read_batches
from digitline.sources.files import UnreadableError
from digitline.sources.listing import read_entry, to_entries

SHEET_NAME = "corrections.csv"
_ROW = ("path", "id", "digit", "confidence")


@dataclass(frozen=True)
class Sent:
    """What went out: the sheet, how many are asked about, how many wait besides, images missing."""

    sheet: Path
    queue: int
    audit: int
    waiting: int
    missing: int


def send_out(
    answered: Answered, out: Path, *, most: int, audit: int, store: Store, limits: Limits
) -> Sent:
    """Write the first `most` of the queue and `audit` accepted answers to a CSV or a new folder.

    What people have said, in `store`, is not asked again. Raises `StorageError` where `out` is
    there already.
    """
    if out.exists():
        raise StorageError("is already there", where=out, todo="Choose another place with --out")
    said = store.answers()
    known = {answer.id for answer in said}
    done = {answer.id for answer in said if answer.run == answered.run}
    questions = Questions(answered.run, answered.threshold, audit, known, done)
    for batch in answered.batches(COLUMNS):
        questions.add(batch)
    asked = questions.ask(most)
    rows = _rows(answered, asked)
    alone = out.suffix.lower() == ".csv"
    sheet = out if alone else out / SHEET_NAME
    missing = 0 if alone else _copy_images(answered, rows, out / "images", limits)
    write_sheet(sheet, (_line(row, answered.run) for row in rows))
    queued = sum(question.kind == "queue" for question in asked)
    return Sent(sheet, queued, len(asked) - queued, questions.waiting - queued, missing)


def _rows(answered: Answered, asked: list[Question]) -> list[dict[str, Any]]:
    if not asked:
        return []
    table = answered.take([question.row for question in asked]).select(_ROW)
    kinds = pa.array([question.kind for question in asked])
    rows: list[dict[str, Any]] = table.append_column(KIND, kinds).to_pylist()
    return rows


def _line(row: dict[str, Any], run: str) -> dict[str, object]:
    return {
        "id": row["id"].hex(),
        "file": row["path"],
        "read": row["digit"],
        "confidence": f"{row['confidence']:.6g}",
        "run": run,
        KIND: row[KIND],
    }


def _copy_images(
    answered: Answered, rows: list[dict[str, Any]], folder: Path, limits: Limits
) -> int:
    """Copy the images under their places in the sheet; count those that are gone."""
    places = {row["path"]: place for place, row in enumerate(rows, start=1)}
    copied = 0
    for name, content in _contents(answered, set(places), limits):
        suffix = PurePath(name).suffix.lower()[:10]
        write_bytes(folder / f"{places[name]:05d}{suffix}", content)
        copied += 1
    return len(rows) - copied


def _contents(answered: Answered, names: set[str], limits: Limits) -> Iterator[tuple[str, bytes]]:
    for batch in read_batches(answered.listing):
        wanted = pc.is_in(batch.column("name"), pa.array(sorted(names), pa.string()))
        for entry in to_entries(batch.filter(wanted)):
            if entry.opener == "normalised":
                continue
            try:
                yield entry.name, read_entry(entry, limits.max_bytes)
            except UnreadableError:
                continue
