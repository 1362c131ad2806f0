"""Corrections that came back, kept for good: a numbered directory an import, never changed.

`digits.parquet` and `others.parquet` hold raw rows, the images' bytes and their digit (none where
people say that it is no digit); `answers.parquet` what was asked and answered; the manifest,
written last, who said so, when and why.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, check_shards, describe, read_manifest, write_manifest
from digitline.provenance import digest_of
from digitline.rows import RAW, UNLABELLED, raw_batch, read_batches, write_rows, writing

KIND = "corrections"
DIGITS, OTHERS, ANSWERS = "digits.parquet", "others.parquet", "answers.parquet"
_NUMBER = re.compile(r"\d{4,}")
_BATCH_ROWS = 256
_ANSWERS = pa.schema(
    [
        pa.field("id", pa.binary(32), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("digit", pa.int8()),
        pa.field("note", pa.string(), nullable=False),
        pa.field("read", pa.int8(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)

# Why a person looked: it was left to people, drawn at random from the accepted, or singled out.
Kind = Literal["queue", "audit", "chosen"]


@dataclass(frozen=True)
class Answer:
    """What a person said about one image of one run; `digit` is `None` where it is no digit.

    The run had `read` it with that `confidence`, by that `model`.
    """

    id: bytes
    run: str
    file: str
    digit: int | None
    note: str
    read: int
    confidence: float
    model: str
    kind: Kind

    @property
    def wrong(self) -> bool:
        """Whether the run read it wrongly."""
        return self.digit != self.read


class Import(BaseModel):
    """One import: its number, the SHA-256 of the sheet, who brought it, when and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    sheet: str
    by: str
    when: str
    why: str
    digits: int
    others: int

    @property
    def name(self) -> str:
        """Its directory's name."""
        return f"{self.number:04d}"


@dataclass(frozen=True)
class Store:
    """All that was imported beneath a directory."""

    directory: Path

    def imports(self) -> list[Import]:
        """List the imports, oldest first."""
        return [Import.model_validate(manifest.facts) for manifest in self._committed().values()]

    def answers(self) -> list[Answer]:
        """Give every answer, the oldest first; `TamperedError` where a file is not as written."""
        found = []
        for directory, manifest in self._committed().items():
            check_shards(directory, manifest)
            for batch in read_batches(directory / ANSWERS):
                found += [Answer(**row) for row in batch.to_pylist()]
        return found

    def latest(self) -> dict[bytes, Answer]:
        """Give the last word on each image, by its id."""
        return {answer.id: answer for answer in self.answers()}

    @property
    def digest(self) -> str:
        """Identify what is stored."""
        return digest_of({path.name: each.digest for path, each in self._committed().items()})

    def rows(self, file: str) -> Iterator[pa.RecordBatch]:
        """Read raw rows of `DIGITS` or `OTHERS`: of each image those of its last import."""
        last = {
            answer_id: directory
            for directory in self._committed()
            for batch in read_batches(directory / ANSWERS, ["id"])
            for answer_id in batch.column("id").to_pylist()
        }
        for directory in self._committed():
            for batch in read_batches(directory / file, size=_BATCH_ROWS):
                contents = batch.column("image").field("bytes").to_pylist()
                ids = [hashlib.sha256(content).digest() for content in contents]
                yield batch.filter(pa.array([last[each] == directory for each in ids], pa.bool_()))

    def add(
        self,
        answers: Sequence[Answer],
        contents: Iterator[tuple[Answer, bytes]],
        *,
        sheet: str,
        by: str,
        when: str,
        why: str,
    ) -> Import:
        """Commit answers with the bytes of each image once; nothing counts before the manifest."""
        number = max((int(path.name) for path in self._committed()), default=0) + 1
        directory = self.directory / f"{number:04d}"
        with (
            writing(directory / DIGITS, RAW) as digits,
            writing(directory / OTHERS, RAW) as others,
        ):
            for answer, content in contents:
                label = np.array([UNLABELLED if answer.digit is None else answer.digit], np.int8)
                sink = others if answer.digit is None else digits
                sink.write(raw_batch([content], [answer.file], label))
        write_rows(directory / ANSWERS, _ANSWERS, iter([_to_batch(answers)]))
        done = Import(
            number=number,
            sheet=sheet,
            by=by,
            when=when,
            why=why,
            digits=digits.rows,
            others=others.rows,
        )
        shards = (
            describe(directory / DIGITS, digits.rows),
            describe(directory / OTHERS, others.rows),
            describe(directory / ANSWERS, len(answers)),
        )
        facts = done.model_dump(mode="json")
        write_manifest(directory, Manifest(kind=KIND, shards=shards, facts=facts))
        return done

    def _committed(self) -> dict[Path, Manifest]:
        """Find the directories of imports that were committed, oldest first."""
        if not self.directory.is_dir():
            return {}
        found = sorted(path for path in self.directory.iterdir() if _NUMBER.fullmatch(path.name))
        manifests = {path: read_manifest(path) for path in found}
        return {path: each for path, each in manifests.items() if each is not None}


def _to_batch(answers: Sequence[Answer]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([asdict(answer) for answer in answers], schema=_ANSWERS)
