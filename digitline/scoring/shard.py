"""Score one shard of a listing: every entry ends as a prediction or an error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from digitline.models.bundle import Model
from digitline.pixels.decode import Limits
from digitline.rows import ERRORS
from digitline.scoring.answers import answer
from digitline.scoring.reader import read_entries_as_digits
from digitline.sources.listing import Entry


@dataclass(frozen=True)
class Scored:
    """The rows of one shard, both in listing order."""

    predictions: pa.RecordBatch
    errors: pa.RecordBatch


def score_entries(
    entries: Sequence[Entry], model: Model, threshold: float, limits: Limits
) -> Scored:
    """Score entries with a model; an answer is accepted from `threshold` on."""
    read = list(read_entries_as_digits(entries, limits))
    places = np.concatenate([some.places for some in read])
    predictions = answer(
        paths=[entries[place].name for place in places],
        ids=[row_id for some in read for row_id in some.ids],
        probabilities=model.probabilities(np.concatenate([some.px for some in read])),
        doubtful=np.concatenate([some.doubtful for some in read]),
        threshold=threshold,
        model=model.version,
    )
    failures = [failure for some in read for failure in some.failures]
    errors = pa.RecordBatch.from_pydict(
        {
            "path": [entries[failure.place].name for failure in failures],
            "reason": [failure.reason for failure in failures],
            "message": [failure.message for failure in failures],
        },
        schema=ERRORS,
    )
    return Scored(predictions, errors)
