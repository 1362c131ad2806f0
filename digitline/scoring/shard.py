"""Score one shard of a listing: every entry ends as a prediction or an error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from digitline.judging.census import Sample, observe, observe_pictures, sample
from digitline.models.bundle import Model
from digitline.models.reading import BATCH, Reading
from digitline.pixels.decode import Limits
from digitline.pixels.reading import Failure
from digitline.rows import ERRORS, PREDICTIONS, read_slice, writing
from digitline.scoring.answers import ACCEPT, answer
from digitline.scoring.past import Past
from digitline.scoring.reader import Care, Digits, Mark, read_digits_of
from digitline.scoring.results import SAMPLE, ScoredShard, describe_shard, shard_files
from digitline.sources.listing import LISTING


@dataclass(frozen=True)
class Task:
    """The images `start` to `stop` of a listing, scored into the shard `number` in `out`.

    What the `past` has answered is taken from there.
    """

    listing: Path
    start: int
    stop: int
    number: int
    out: Path
    care: Care = field(default_factory=Care)
    past: Past | None = None

    def with_care(self, care: Care) -> "Task":
        """Give the same task, with what is known of images that do harm."""
        return replace(self, care=care)


@dataclass(frozen=True)
class Scored:
    """The rows that some images came to, both in listing order, and what was seen on the way."""

    predictions: pa.RecordBatch
    errors: pa.RecordBatch
    sample: Sample


@dataclass(frozen=True)
class Scorer:
    """A model at work: answers are accepted from `threshold` on, images read within `limits`."""

    model: Model
    threshold: float
    limits: Limits

    def score_shard(self, task: Task, mark: Mark) -> ScoredShard:
        """Score a shard, some thousand images at a time, and commit its two files."""
        predictions, errors = shard_files(task.out, task.number)
        seen = Sample()
        with writing(predictions, PREDICTIONS) as answered, writing(errors, ERRORS) as failed:
            place = task.start
            for batch in read_evenly(task):
                scored = self.score_batch(batch, place, task, mark)
                answered.write(scored.predictions)
                failed.write(scored.errors)
                seen += scored.sample
                place += batch.num_rows
            answered.note(SAMPLE, seen.model_dump_json())
        return describe_shard(predictions, errors)

    def score_batch(self, batch: pa.RecordBatch, first: int, task: Task, mark: Mark) -> Scored:
        """Score rows of a listing, of which the first has the place `first`."""
        known = None if task.past is None else task.past.knows
        read = read_digits_of(batch, first, self.limits, care=task.care, mark=mark, known=known)
        mark(-1, -1)
        names = batch.column("name")
        reading = self.model.read(read.px)
        predictions = answer(
            paths=names.take(pa.array(read.places - first)),
            ids=read.ids,
            probabilities=reading.probabilities,
            doubtful=read.doubtful | reading.odd,
            threshold=self.threshold,
            model=self.model.version,
        )
        seen = self._observe(read, reading, predictions)
        if task.past is not None and read.known:
            predictions = _join(predictions, read, task.past, names, first)
        return Scored(predictions, to_errors(read.failures, names, first), seen)

    def _observe(self, read: Digits, reading: Reading, predictions: pa.RecordBatch) -> Sample:
        """Measure the images that were read just now, not those answered before."""
        reference = self.model.card.reference
        edges = () if reference is None else reference.odd_edges
        accepted = pc.equal(predictions.column("status"), ACCEPT).to_numpy(zero_copy_only=False)
        bins = observe(read.px, reading.probabilities, accepted, reading.oddness, edges)
        return sample(read.places, bins | observe_pictures(read.traits), edges)


def to_errors(failures: Sequence[Failure], names: pa.Array, first: int) -> pa.RecordBatch:
    """Turn failures into rows of errors; `names` are those of all images, `first` their place."""
    columns = [
        names.take(pa.array([failure.place - first for failure in failures], pa.int64())),
        pa.array([failure.reason for failure in failures], pa.string()),
        pa.array([failure.message for failure in failures], pa.string()),
    ]
    return pa.record_batch(columns, schema=ERRORS)


def _join(
    predictions: pa.RecordBatch, read: Digits, past: Past, names: pa.Array, first: int
) -> pa.RecordBatch:
    """Put earlier answers, under the names of today, among the new ones."""
    places = np.array([place for place, _ in read.known], np.int64)
    earlier = past.answers([digest for _, digest in read.known])
    earlier = earlier.set_column(0, PREDICTIONS.field("path"), names.take(pa.array(places - first)))
    both = pa.concat_tables([pa.Table.from_batches([predictions]), earlier.cast(PREDICTIONS)])
    order = np.argsort(np.concatenate([read.places, places]))
    return both.take(pa.array(order)).combine_chunks().to_batches()[0]


def read_evenly(task: Task) -> Iterator[pa.RecordBatch]:
    """Read a task's rows in batches whose borders depend on nothing but the task.

    The last bits of a probability can depend on the rows that are multiplied with it.
    """
    for start in range(task.start, task.stop, BATCH):
        pieces = read_slice(task.listing, start, min(start + BATCH, task.stop))
        table = pa.Table.from_batches(pieces, LISTING).combine_chunks()
        yield from table.to_batches()
