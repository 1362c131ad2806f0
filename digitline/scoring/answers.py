"""From probabilities to answers: the digit, how sure, and whether a person should look."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.rows import PREDICTIONS

ACCEPT = "accept"
REVIEW = "review"


def answer(
    paths: pa.Array,
    ids: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    doubtful: NDArray[np.bool_],
    threshold: float,
    model: str,
) -> pa.RecordBatch:
    """Turn n images' `probabilities` (n, 10) into rows of predictions; `ids` are (n, 32).

    An answer is accepted from `threshold` on, unless it is `doubtful` (n,) whether the image
    shows one digit at all.
    """
    ordered = np.sort(probabilities, axis=1)
    confidence = ordered[:, -1]
    accepted = (confidence >= np.float32(threshold)) & ~doubtful
    digests = pa.py_buffer(np.ascontiguousarray(ids))
    columns = [
        paths,
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(paths), [None, digests]),
        pa.array(probabilities.argmax(axis=1).astype(np.int8)),
        pa.array(np.ascontiguousarray(confidence)),
        pa.array(confidence - ordered[:, -2]),
        *(pa.array(np.ascontiguousarray(probabilities[:, digit])) for digit in range(10)),
        pc.if_else(pa.array(accepted), ACCEPT, REVIEW),
        pa.repeat(model, len(paths)),
    ]
    return pa.record_batch(columns, schema=PREDICTIONS)
