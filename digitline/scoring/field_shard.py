"""Score one shard of a listing of fields: every entry ends as a string of digits or an error."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from digitline.errors import DataError
from digitline.models.bundle import Model
from digitline.pixels.decode import Limits
from digitline.pixels.reading import Failure
from digitline.rows import ERRORS, writing
from digitline.scoring.fields import Field, read_field
from digitline.scoring.legal import Legal
from digitline.scoring.reader import Mark, decode_image, open_images
from digitline.scoring.results import ScoredShard, describe_shard, shard_files
from digitline.scoring.shard import Task, read_evenly, to_errors
from digitline.scoring.worker import Duty, ShardScorer
from digitline.sources.files import UnreadableError
from digitline.sources.listing import to_entries

FIELDS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("id", pa.binary(32), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("digits", pa.int8(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class FieldDuty(Duty):
    """What a worker is to read fields with: also, which strings are legal."""

    legal: Legal

    def scorer(self) -> ShardScorer:
        """Load the model; raises as `Registry.load` does."""
        model = self.registry.load(self.version, lean=True)
        return FieldScorer(model, self.threshold, self.limits, self.legal)


@dataclass(frozen=True)
class FieldScorer:
    """A model at work on fields: accepted from `threshold` on, images read within `limits`."""

    model: Model
    threshold: float
    limits: Limits
    legal: Legal

    def score_shard(self, task: Task, mark: Mark) -> ScoredShard:
        """Score a shard, one field after the other, and commit its two files."""
        predictions, errors = shard_files(task.out, task.number)
        with writing(predictions, FIELDS) as answered, writing(errors, ERRORS) as failed:
            place = task.start
            for batch in read_evenly(task):
                rows, failures = self._read(batch, place, task, mark)
                mark(-1, -1)
                answered.write(rows)
                failed.write(to_errors(failures, batch.column("name"), place))
                place += batch.num_rows
        return describe_shard(predictions, errors)

    def _read(
        self, batch: pa.RecordBatch, first: int, task: Task, mark: Mark
    ) -> tuple[pa.RecordBatch, Sequence[Failure]]:
        entries = to_entries(batch)
        if any(entry.opener == "normalised" for entry in entries):
            raise DataError(
                "normalised rows hold one digit each, not fields",
                where=entries[0].path,
                todo="Give the images, or leave out --fields",
            )
        rows, failures = [], []
        for place, content in open_images(entries, first, self.limits, task.care, mark):
            entry = entries[place - first]
            if isinstance(content, UnreadableError):
                failures.append(Failure(place, content.reason, content.message))
                continue
            picture = decode_image(place, content, self.limits)
            if isinstance(picture, Failure):
                failures.append(picture)
                continue
            field = read_field(picture, self.model, self.threshold, self.legal.rules(entry.name))
            rows.append(self._row(entry.name, content, field))
        return pa.RecordBatch.from_pylist(rows, FIELDS), failures

    def _row(self, name: str, content: bytes, field: Field) -> dict[str, object]:
        return {
            "path": name,
            "id": hashlib.sha256(content).digest(),
            "text": field.text,
            "confidence": field.confidence,
            "status": field.status,
            "model": self.model.version,
            "digits": len(field.text),
            "reason": field.reason,
        }
