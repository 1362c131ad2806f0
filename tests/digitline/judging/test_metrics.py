import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from digitline.judging import metrics

Judgements = tuple[NDArray[np.bool_], NDArray[np.float32]]

digits = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.int8, n, elements=st.integers(0, 9))] * 2)
)


@st.composite
def judgements(draw: st.DrawFn) -> Judgements:
    """Readings right or wrong, with confidences among which there are ties."""
    n = draw(st.integers(1, 80))
    tenths = draw(hnp.arrays(np.int8, n, elements=st.integers(0, 20)))
    return draw(hnp.arrays(np.bool_, n)), (tenths / 20).astype(np.float32)


@given(digits)
def test_confusion_counts_every_image_once(pair: tuple[NDArray[np.int8], NDArray[np.int8]]) -> None:
    truth, read = pair
    counts = metrics.confusion(truth, read)
    assert counts.shape == (10, 10)
    assert counts.sum(axis=1).tolist() == np.bincount(truth, minlength=10).tolist()
    assert counts.sum(axis=0).tolist() == np.bincount(read, minlength=10).tolist()
    assert counts.trace() == (truth == read).sum()


@given(digits)
def test_digit_scores_follow_from_the_confusion(
    pair: tuple[NDArray[np.int8], NDArray[np.int8]],
) -> None:
    truth, read = pair
    counts = metrics.confusion(truth, read)
    for score in metrics.digit_scores(truth, read):
        hits, missed = counts[score.digit, score.digit], counts[score.digit].sum()
        assert score.support == missed
        assert score.recall * max(missed, 1) == pytest.approx(hits)
        assert score.precision * max(counts[:, score.digit].sum(), 1) == pytest.approx(hits)


def test_a_digit_that_never_occurs_scores_zero() -> None:
    one = np.array([1], np.int8)
    scores = metrics.digit_scores(one, one)
    assert [score.f1 for score in scores] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]


@given(judgements())
def test_every_point_of_the_curve_is_what_its_threshold_gives(case: Judgements) -> None:
    correct, confidence = case
    for point in metrics.read_curve(correct, confidence):
        assert metrics.read_point(correct, confidence, point.threshold) == point


@given(judgements())
def test_the_curve_runs_from_the_surest_to_all(case: Judgements) -> None:
    correct, confidence = case
    curve = metrics.read_curve(correct, confidence)
    thresholds = [point.threshold for point in curve]
    assert thresholds == sorted(set(confidence.tolist()), reverse=True)
    assert curve[-1].read_rate == 1
    assert curve[-1].errors == (~correct).sum()


def test_a_long_curve_keeps_its_ends_and_its_errors() -> None:
    confidence = np.linspace(0.1, 1, 5000, dtype=np.float32)
    correct = np.ones(5000, bool)
    correct[[4990, 4000, 17]] = False
    curve = metrics.read_curve(correct, confidence, most=50)
    assert len(curve) <= 50
    assert (curve[0].threshold, curve[-1].read_rate) == (1.0, 1.0)
    assert {point.errors for point in curve} == {0, 1, 2, 3}


def test_nothing_accepted_reads_nothing() -> None:
    point = metrics.read_point(np.array([True]), np.array([0.5], np.float32), 0.9)
    assert (point.read_rate, point.error, point.errors) == (0, 0, 0)


@given(judgements(), st.integers(1, 20))
def test_bins_hold_every_image_and_the_error_is_a_share(case: Judgements, bins: int) -> None:
    correct, confidence = case
    reliability = metrics.reliability(correct, confidence, bins)
    assert sum(item.n for item in reliability) == len(correct)
    assert all(item.low - 1e-6 <= item.confidence <= item.high + 1e-6 for item in reliability)
    assert 0 <= metrics.calibration_error(reliability) <= 1


def test_calibration_error_of_a_known_case() -> None:
    # Ten readings at 0.8, six of them right; ten at 0.6, six right: (0.2 + 0) / 2.
    confidence = np.repeat(np.array([0.8, 0.6], np.float32), 10)
    correct = np.tile(np.arange(10) < 6, 2)
    bins = metrics.reliability(correct, confidence)
    assert metrics.calibration_error(bins) == pytest.approx(0.1, abs=1e-6)


def test_the_interval_of_a_known_case() -> None:
    # Wilson's interval for 5 of 100, as published tables give it.
    assert metrics.proportion_interval(5, 100) == pytest.approx((0.0215, 0.1118), abs=1e-4)


def test_worst_mistakes_come_first_and_right_ones_never() -> None:
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[range(4), [3, 4, 5, 6]] = [0.6, 0.9, 1.0, 0.9]
    truth = np.array([0, 0, 5, 0], np.int8)
    assert metrics.worst_mistakes(truth, probabilities).tolist() == [1, 3, 0]
