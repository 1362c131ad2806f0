"""How well a model reads: confusion, per-digit scores, error against read rate, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

DIGITS = tuple(range(10))


@dataclass(frozen=True)
class DigitScore:
    """How one digit is read: of `support` true ones, and of what was called so."""

    digit: int
    support: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ReadPoint:
    """Accepting at or above `threshold` reads `read_rate` of the images, `error` of them wrongly.

    `errors` counts the wrong among the accepted; `error` is 0 where nothing is accepted.
    """

    threshold: float
    read_rate: float
    error: float
    errors: int


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in [low, high): how sure they were and how often right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def confusion(truth: NDArray[np.int8], digits: NDArray[np.int8]) -> NDArray[np.int64]:
    """Count readings, (10, 10): a row for each true digit, a column for each digit read."""
    return np.asarray(confusion_matrix(truth, digits, labels=DIGITS), dtype=np.int64)


def digit_scores(truth: NDArray[np.int8], digits: NDArray[np.int8]) -> tuple[DigitScore, ...]:
    """Give precision, recall and F1 of the ten digits; 0 where a digit never occurs."""
    columns = precision_recall_fscore_support(truth, digits, labels=DIGITS, zero_division=0)
    return tuple(
        DigitScore(digit, int(support), float(precision), float(recall), float(f1))
        for digit, precision, recall, f1, support in zip(DIGITS, *columns, strict=True)
    )


def proportion_interval(count: int, n: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval for a share of `count` in `n` (Wilson 1927); n > 0."""
    interval = binomtest(count, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def read_point(
    correct: NDArray[np.bool_], confidence: NDArray[np.float32], threshold: float
) -> ReadPoint:
    """Say what accepting at `threshold` comes to; `correct` and `confidence` are (n,)."""
    accepted = confidence >= np.float32(threshold)
    n = int(accepted.sum())
    errors = int((accepted & ~correct).sum())
    rate = n / len(correct) if len(correct) else 0.0
    return ReadPoint(float(threshold), rate, errors / n if n else 0.0, errors)


def read_curve(
    correct: NDArray[np.bool_], confidence: NDArray[np.float32], most: int = 200
) -> tuple[ReadPoint, ...]:
    """Trace error against read rate, from the surest images to all, in at most `most` points.

    Images of equal confidence are accepted together, so every point is a threshold one can set.
    The error-reject curve of Chow (1970).
    """
    order = np.argsort(-confidence, kind="stable")
    descending = confidence[order]
    wrong = np.cumsum(~correct[order], dtype=np.int64)
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], [True])[: len(order)])
    return tuple(
        ReadPoint(
            threshold=float(descending[at]),
            read_rate=float((at + 1) / len(order)),
            error=float(wrong[at] / (at + 1)),
            errors=int(wrong[at]),
        )
        for at in _thinned(ends, wrong, most)
    )


def _thinned(ends: NDArray[np.intp], wrong: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Keep at most `most` of `ends`: half evenly by images read, half evenly by errors made."""
    if len(ends) <= most:
        return ends
    by_images = np.linspace(0, len(ends) - 1, most // 2).round().astype(np.intp)
    errors = wrong[ends]
    by_errors = np.searchsorted(errors, np.linspace(0, errors[-1], most // 2))
    return ends[np.union1d(by_images, by_errors)]


def reliability(
    correct: NDArray[np.bool_], confidence: NDArray[np.float32], bins: int = 15
) -> tuple[Bin, ...]:
    """Sort readings by confidence into `bins` of equal width over [0, 1]; empty ones are left out.

    DeGroot & Fienberg (1983).
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    return tuple(
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            n=int(inside.sum()),
            confidence=float(confidence[inside].mean(dtype=np.float64)),
            accuracy=float(correct[inside].mean()),
        )
        for index in range(bins)
        if (inside := which == index).any()
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Average |accuracy - confidence| over all images: the ECE of Naeini et al. (2015)."""
    n = sum(item.n for item in bins)
    return sum(item.n * abs(item.accuracy - item.confidence) for item in bins) / n if n else 0.0


def worst_mistakes(truth: NDArray[np.int8], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """List the rows read wrongly, most confident first, ties in row order.

    `truth` is (n,), `probabilities` (n, 10).
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    confidence = probabilities[wrong].max(axis=1)
    return wrong[np.argsort(-confidence, kind="stable")]
