"""Drift: unchanged images seldom alarm, changed ones do, and few ones say nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitline.judging.census import Census, count
from digitline.judging.drift import (
    FEWEST,
    LEVEL,
    Reference,
    _corrected,
    assess,
    compare,
    pick_evidence,
    strongest,
)
from digitline.judging.measures import MEASURES

Values = dict[str, NDArray[np.generic]]


def draw(n: int, seed: int, **changes: NDArray[np.generic]) -> Census:
    """Draw images that are all alike, but for the changes."""
    rng = np.random.default_rng(seed)
    values: Values = {
        "polarity": np.zeros(n, np.intp),
        "contrast": rng.normal(150, 20, n),
        "framing": rng.normal(0.6, 0.05, n),
        "stroke": rng.normal(0.12, 0.02, n),
        "focus": rng.normal(0.08, 0.01, n),
        "digits": rng.integers(0, 10, n),
        "ink": rng.normal(0.15, 0.03, n),
        "confidence": 1 - rng.exponential(0.02, n),
        "review": rng.random(n) < 0.05,
        "oddness": rng.normal(-5, 2, n),
    }
    bins = {name: MEASURES[name].place(value) for name, value in {**values, **changes}.items()}
    return count(n, bins, MEASURES["oddness"].edges)


USUAL = Reference("the usual", draw(4000, 0))
RNG = np.random.default_rng(1)
N = 400


def verdict(**changes: NDArray[np.generic]) -> str:
    return compare(draw(N, 2, **changes), USUAL).verdict


def test_unchanged_images_are_the_same() -> None:
    alarms = [compare(draw(N, seed), USUAL).verdict != "same" for seed in range(100, 200)]
    assert sum(alarms) <= 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"contrast": RNG.normal(110, 20, N)}, "rescan"),
        ({"polarity": RNG.integers(0, 2, N)}, "rescan"),
        ({"focus": RNG.normal(0.12, 0.02, N)}, "rescan"),
        ({"digits": RNG.integers(0, 10, N) // 2}, "retrain"),
        ({"review": RNG.random(N) < 0.3}, "retrain"),
        ({"confidence": 1 - RNG.exponential(0.2, N)}, "retrain"),
        ({"oddness": RNG.normal(-2, 2, N)}, "retrain"),
        ({"oddness": RNG.normal(-2, 2, N), "stroke": RNG.normal(0.2, 0.02, N)}, "rescan"),
    ],
)
def test_what_changed_tells_what_to_do(
    changes: dict[str, NDArray[np.generic]], expected: str
) -> None:
    comparison = compare(draw(N, 2, **changes), USUAL)
    assert comparison.verdict == expected
    assert {finding.measure for finding in comparison.changes} == set(changes)
    assert strongest(comparison)[0].seen in comparison.sentence


def test_a_difference_too_small_to_matter_never_alarms() -> None:
    n = 200_000
    many = draw(n, 3, contrast=np.random.default_rng(3).normal(152, 20, n))
    (finding,) = (item for item in compare(many, USUAL).findings if item.measure == "contrast")
    assert finding.p < LEVEL
    assert not finding.changed
    assert compare(many, USUAL).verdict == "same"


def test_few_images_say_nothing_however_strange() -> None:
    n = FEWEST - 1
    few = compare(draw(n, 4, contrast=np.full(n, 10.0)), USUAL)
    assert few.verdict == "too-few"
    assert str(FEWEST) in few.sentence
    assert len(few.untested) == len(MEASURES)


def test_without_a_reference_nothing_is_claimed() -> None:
    drift = assess(draw(N, 5), [], "m0007")
    assert drift.verdict == "unknown"
    assert "m0007" in drift.sentence
    assert drift.ruling is None


def test_the_last_reference_rules() -> None:
    other = Reference("the other", draw(4000, 6, contrast=RNG.normal(90, 20, 4000)))
    drift = assess(draw(N, 7), [other, USUAL], "m0007")
    assert [each.verdict for each in drift.comparisons] == ["rescan", "same"]
    assert drift.verdict == "same"
    assert drift.ruling is not None
    assert drift.ruling.reference == "the usual"


def test_what_one_side_did_not_measure_is_not_tested() -> None:
    blind = Census(images=N, counts={"digits": draw(N, 8).counts["digits"]})
    comparison = compare(blind, USUAL)
    assert [finding.measure for finding in comparison.findings] == ["digits"]
    assert "Confidence" in comparison.untested


def test_evidence_shows_what_is_more_than_usual() -> None:
    comparison = compare(draw(N, 2, polarity=np.ones(N, np.intp)), USUAL)
    (finding,) = comparison.changes
    assert pick_evidence(finding, {1: (5, 6, 7)}) == ((5, 6, 7), ())
    assert pick_evidence(finding, {0: (4,), 1: (5,)}) == ((5,), (4,))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_at_least_once_and_keeps_the_order(chances: list[float]) -> None:
    corrected = _corrected(chances)
    assert all(one >= other for one, other in zip(corrected, chances, strict=True))
    assert min(corrected) == pytest.approx(min(1, min(chances) * len(chances)))
    order = np.argsort(chances, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
