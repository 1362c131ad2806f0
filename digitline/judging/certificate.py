"""Thresholds whose error is certified: a bound that holds for any model and any sample size.

Whatever is chosen is chosen on the validation rows: the thresholds to try, and which comes first.
The calibration rows, which chose nothing, are asked one question after the other until the first
"no". This is fixed-sequence testing with exact binomial p-values (Angelopoulos, Bates, Candes,
Jordan & Lei 2021, "Learn then Test"; the split that finds the order: Laufer-Goldshtein, Fisch,
Barzilay & Jaakkola 2023), for the selective error of Geifman & El-Yaniv (2017).
"""

from bisect import bisect_left

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from digitline.errors import SettingsError

LEVEL = 0.95
# Finer where targets usually lie; each further threshold is one more question that can fail.
_READ_RATES = np.concatenate([np.linspace(0.3, 0.88, 15), np.linspace(0.9, 1, 41)])


class Curve(BaseModel):
    """Error against read rate: what each threshold accepts, the strictest first.

    `drafted` of the `drafted_of` validation rows are accepted, `drafted_wrong` of those wrongly;
    likewise `accepted` and `wrong` of the `rows` calibration rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    thresholds: tuple[float, ...] = Field(min_length=1)
    drafted_of: int = Field(gt=0)
    drafted: tuple[int, ...]
    drafted_wrong: tuple[int, ...]
    rows: int = Field(gt=0)
    accepted: tuple[int, ...]
    wrong: tuple[int, ...]


class Certificate(BaseModel):
    """With confidence `level`, at most `max_error` of the accepted answers are wrong.

    It holds for data like the calibration rows, of which `accepted` of `rows` were accepted from
    `threshold` on, `wrong` of them wrongly; `bound` is the upper bound this gives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    threshold: float
    max_error: float
    level: float
    accepted: int
    wrong: int
    rows: int
    bound: float

    @property
    def read_rate(self) -> float:
        """The share of the calibration rows that were accepted."""
        return self.accepted / self.rows

    @property
    def sentence(self) -> str:
        """Say what is certified."""
        return (
            f"With {self.level:.0%} confidence at most {self.max_error:.2%} of accepted answers "
            f"are wrong, for data like the calibration data, of which {self.read_rate:.1%} is read."
        )


def trace(
    drafted: NDArray[np.float32],
    drafted_right: NDArray[np.bool_],
    confidence: NDArray[np.float32],
    right: NDArray[np.bool_],
) -> Curve:
    """Trace the curve: (n,) confidences and whether the answer was right, validation rows first.

    A row that must not be accepted at all has a confidence below 0.
    """
    thresholds = _thresholds(drafted)
    chosen = [drafted >= threshold for threshold in thresholds]
    taken = [confidence >= threshold for threshold in thresholds]
    return Curve(
        thresholds=tuple(map(float, thresholds)),
        drafted_of=len(drafted),
        drafted=tuple(int(inside.sum()) for inside in chosen),
        drafted_wrong=tuple(int((inside & ~drafted_right).sum()) for inside in chosen),
        rows=len(confidence),
        accepted=tuple(int(inside.sum()) for inside in taken),
        wrong=tuple(int((inside & ~right).sum()) for inside in taken),
    )


def certify(curve: Curve, max_error: float, level: float = LEVEL) -> Certificate:
    """Find the threshold that reads the most with at most `max_error` wrong.

    Raises `SettingsError` saying what is attainable where no threshold is certified.
    """
    place = _walk(curve, max_error, level)
    if place is not None:
        return _certificate(curve, place, max_error, level)
    best = attainable(curve, level)
    raise SettingsError(
        f"no threshold is certified for an error of at most {max_error:.3%}; attainable with "
        f"{curve.rows:,} calibration rows is {best.max_error:.3%}, reading {best.read_rate:.1%}",
        todo="Allow more errors, train on more labelled images, or set a threshold by hand",
    )


def attainable(curve: Curve, level: float = LEVEL) -> Certificate:
    """Find the smallest error that can be certified."""
    for bound in sorted({*_upper_bounds(curve, level).tolist(), 1.0}):
        max_error = min(1.0, np.ceil(bound * 1e5) / 1e5)
        place = _walk(curve, max_error, level)
        if place is not None:
            return _certificate(curve, place, max_error, level)
    raise AssertionError("an error of 100 % is always attained")


def read_rate(curve: Curve, threshold: float) -> float:
    """Say which share of the calibration rows a threshold accepts, as near as the curve tells."""
    ascending = curve.thresholds[::-1]
    accepted = np.array(curve.accepted[::-1]) / curve.rows
    return float(np.interp(threshold, ascending, accepted))


def upper_bound(wrong: int, n: int, level: float = LEVEL) -> float:
    """Bound an error rate from above, `wrong` of `n` having been seen (Clopper & Pearson 1934)."""
    return 1.0 if wrong >= n else float(scipy.special.betaincinv(wrong + 1, n - wrong, level))


def _walk(curve: Curve, max_error: float, level: float) -> int | None:
    """Go from the likeliest threshold to laxer ones, up to the first that is not certified."""
    chances = _chances(curve, max_error, level)
    best = np.flatnonzero(chances == chances.max())[-1]
    passed = _upper_bounds(curve, level)[best:] <= max_error
    run = len(passed) if passed.all() else int(passed.argmin())
    return int(best) + run - 1 if run else None


def _chances(curve: Curve, max_error: float, level: float) -> NDArray[np.float64]:
    """Foresee from the validation rows how likely each threshold is to be certified.

    The calibration rows will show about as many errors, and some more than none (half an error
    is added, as in Jeffreys' prior): a Poisson number, against the most that may be seen.
    """
    chances = []
    for drafted, wrong in zip(curve.drafted, curve.drafted_wrong, strict=True):
        accepted = round(curve.rows * drafted / curve.drafted_of)
        expected = (wrong + 0.5) / max(drafted, 1) * accepted
        chances.append(scipy.special.pdtr(_most_wrong(accepted, max_error, level), expected))
    return np.nan_to_num(np.array(chances, np.float64))


def _most_wrong(n: int, max_error: float, level: float) -> int:
    """Give the most errors among n answers that still certify; -1 where none do."""
    return bisect_left(range(n), x=True, key=lambda k: upper_bound(k, n, level) > max_error) - 1


def _upper_bounds(curve: Curve, level: float) -> NDArray[np.float64]:
    pairs = zip(curve.wrong, curve.accepted, strict=True)
    return np.array([upper_bound(wrong, n, level) for wrong, n in pairs])


def _certificate(curve: Curve, place: int, max_error: float, level: float) -> Certificate:
    wrong, accepted = curve.wrong[place], curve.accepted[place]
    return Certificate(
        threshold=curve.thresholds[place],
        max_error=max_error,
        level=level,
        accepted=accepted,
        wrong=wrong,
        rows=curve.rows,
        bound=upper_bound(wrong, accepted, level),
    )


def _thresholds(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Choose thresholds that give certain read rates, strictest first; none accepts a refused row.

    They are made from validation rows alone: a threshold that looked at calibration rows would
    not be a question asked beforehand.
    """
    descending = np.sort(confidence)[::-1]
    ends = np.clip((_READ_RATES * len(descending)).astype(np.intp) - 1, 0, len(descending) - 1)
    return np.asarray(np.unique(np.maximum(descending[ends], 0))[::-1], np.float32)
