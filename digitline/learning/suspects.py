"""Labels that are probably wrong: confident learning on networks that have not seen the row.

Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels".
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from digitline.learning.split import draw
from digitline.pixels.aspect import to_ink
from digitline.rows import PIXELS, read_batches

DIGITS = 10
ISSUES_NAME = "label_issues.parquet"
ISSUES = pa.schema(
    [
        pa.field("id", pa.binary(32), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("suggested", pa.int8(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("px", pa.binary(PIXELS), nullable=False),
    ]
)
# Small networks, and a few epochs: with more they would learn the wrong labels by heart.
_UNITS, _EPOCHS, _BATCH, _RATE = 256, 8, 256, 0.003


@dataclass(frozen=True)
class Doubts:
    """Rows whose label is probably wrong, the likeliest first.

    `rows` (k,) are their places, `suggested` (k,) the digit they are taken for, `score` (k,) the
    chance of their label less that of the suggested digit: the closer to -1, the surer.
    """

    rows: NDArray[np.intp]
    suggested: NDArray[np.int8]
    score: NDArray[np.float32]


def out_of_fold(
    ids: NDArray[np.uint8],
    digits: NDArray[np.uint8],
    labels: NDArray[np.int8],
    *,
    folds: int = 3,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Let each row be read by a network that has not learned from it, (n, 10).

    `ids` (n, 32) draw the fold, so copies of an image share one; `digits` (n, 784), `labels` (n,).
    A digit that is absent from the other folds has no chance at all.
    """
    chances = np.zeros((len(labels), DIGITS), np.float32)
    fold = (draw(ids) * folds).astype(np.intp)
    for number in range(folds):
        held = fold == number
        if held.any() and not held.all():
            network = _fit(digits[~held], labels[~held], seed)
            columns = np.asarray(network.classes_, np.intp)
            chances[np.ix_(held, columns)] = network.predict_proba(to_ink(digits[held]))
    return chances


def find_suspects(labels: NDArray[np.int8], chances: NDArray[np.float32]) -> Doubts:
    """Find labels (n,) that do not agree with out-of-fold `chances` (n, 10).

    A row counts as another digit where its chance of that is at least what rows of that digit
    have on average, their own being lower still: the off-diagonal of the confident joint.
    """
    own = chances[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=DIGITS)
    sums = np.bincount(labels, weights=own, minlength=DIGITS)
    usual = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(chances >= usual, chances, -1)
    suggested = confident.argmax(axis=1).astype(np.int8)
    highest = confident.max(axis=1)
    rows = np.flatnonzero((highest >= 0) & (suggested != labels))
    score = own[rows] - highest[rows]
    order = np.argsort(score, kind="stable")
    return Doubts(rows[order], suggested[rows][order], score[order].astype(np.float32))


def read_issues(files: Sequence[Path]) -> pa.Table:
    """Put the suspects found in several data sets together, the likeliest first."""
    tables = [pa.Table.from_batches(read_batches(file), ISSUES) for file in files]
    return pa.concat_tables([ISSUES.empty_table(), *tables]).sort_by("score").combine_chunks()


def _fit(digits: NDArray[np.uint8], labels: NDArray[np.int8], seed: int) -> MLPClassifier:
    network = MLPClassifier(
        (_UNITS,),
        batch_size=min(_BATCH, len(labels)),
        learning_rate_init=_RATE,
        max_iter=_EPOCHS,
        random_state=seed,
    )
    # So small that threads would only wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        # A few epochs are enough, and all it is given.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(to_ink(digits), labels)
