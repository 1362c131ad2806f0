import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from digitline.errors import SettingsError
from digitline.judging.certificate import LEVEL, attainable, certify, trace, upper_bound


def sample(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers that are wrong more often the less sure they are."""
    confidence = rng.beta(8, 1, n).astype(np.float32)
    right = rng.random(n) >= error_at(confidence)
    return confidence, right


def error_at(confidence: np.ndarray) -> np.ndarray:
    return 0.3 * (1 - np.asarray(confidence, np.float64)) ** 1.5


def true_error(threshold: float) -> float:
    grid = np.linspace(threshold, 1, 20_001)
    density = grid**7
    return float(np.sum(error_at(grid) * density) / np.sum(density))


@pytest.mark.parametrize(
    ("wrong", "fewest"), [(0, 2995), (1, 4742), (2, 6294), (3, 7752), (4, 9151)]
)
def test_rows_needed_for_one_in_a_thousand(wrong: int, fewest: int) -> None:
    assert upper_bound(wrong, fewest) <= 0.001 < upper_bound(wrong, fewest - 1)


@given(st.integers(0, 50), st.integers(1, 2000), st.floats(0.6, 0.99))
def test_bound_is_where_so_few_errors_become_unlikely(wrong: int, n: int, level: float) -> None:
    bound = upper_bound(wrong, n, level)
    if wrong >= n:
        assert bound == 1
    else:
        assert binom.cdf(wrong, n, bound) == pytest.approx(1 - level, rel=1e-6)


@pytest.mark.parametrize("target", [0.01, 0.02])
def test_certified_error_is_exceeded_no_more_often_than_promised(target: float) -> None:
    rng = np.random.default_rng(7)
    runs = 400
    exceeded = certified = 0
    for _ in range(runs):
        curve = trace(*sample(rng, 1000), *sample(rng, 2000))
        try:
            certificate = certify(curve, target)
        except SettingsError:
            continue
        certified += 1
        exceeded += true_error(certificate.threshold) > target
    assert certified > runs / 2
    # At most 5 % of runs, give or take what chance does in 400.
    assert exceeded <= binom.ppf(0.999, runs, 1 - LEVEL)


def test_more_errors_allowed_read_more() -> None:
    rng = np.random.default_rng(1)
    curve = trace(*sample(rng, 5000), *sample(rng, 10_000))
    certificates = [certify(curve, target) for target in (0.005, 0.01, 0.02)]
    rates = [certificate.read_rate for certificate in certificates]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert all(certificate.bound <= certificate.max_error for certificate in certificates)


def test_unattainable_target_says_what_is_attainable() -> None:
    rng = np.random.default_rng(2)
    curve = trace(*sample(rng, 500), *sample(rng, 500))
    best = attainable(curve)
    with pytest.raises(SettingsError, match=f"attainable .* is {best.max_error:.3%}"):
        certify(curve, 0.0001)
    assert certify(curve, best.max_error) == best


def test_refused_rows_are_accepted_at_no_threshold() -> None:
    confidence = np.array([0.9, 0.8, -1, -1], np.float32)
    right = np.ones(4, np.bool_)
    curve = trace(confidence, right, confidence, right)
    assert curve.accepted[-1] == 2
    assert min(curve.thresholds) >= 0


def test_hopeless_reader_still_has_something_attainable() -> None:
    confidence = np.linspace(0.1, 1, 50, dtype=np.float32)
    wrong = np.zeros(50, np.bool_)
    assert attainable(trace(confidence, wrong, confidence, wrong)).max_error == 1
