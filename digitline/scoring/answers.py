"""From probabilities to answers: the digit, how sure, and whether a person should look."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.rows import PREDICTIONS

ACCEPT = "accept"
REVIEW = "review"


def answer(
    paths: Sequence[str],
    ids: Sequence[bytes],
    probabilities: NDArray[np.float32],
    doubtful: NDArray[np.bool_],
    threshold: float,
    model: str,
) -> pa.RecordBatch:
    """Turn n images' `probabilities` (n, 10) into rows of predictions.

    An answer is accepted from `threshold` on, unless it is `doubtful` (n,) whether the image
    shows one digit at all.
    """
    ordered = np.sort(probabilities, axis=1)
    confidence = ordered[:, -1]
    accepted = (confidence >= np.float32(threshold)) & ~doubtful
    columns = [
        pa.array(paths, pa.string()),
        pa.array(ids, pa.binary(32)),
        pa.array(probabilities.argmax(axis=1).astype(np.int8)),
        pa.array(confidence),
        pa.array(confidence - ordered[:, -2]),
        *(pa.array(np.ascontiguousarray(probabilities[:, digit])) for digit in range(10)),
        pa.array(np.where(accepted, ACCEPT, REVIEW).tolist(), pa.string()),
        pa.array([model] * len(paths), pa.string()),
    ]
    return pa.record_batch(columns, schema=PREDICTIONS)
