from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

from digitline.learning.optimiser import Adam, Schedule, install, strip

STEADY = Schedule(highest=0.01, warm_up=0, total=1, final=1.0)


def task() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return rng.random((200, 784), np.float32), rng.integers(0, 10, 200)


def model() -> MLPClassifier:
    made = MLPClassifier((40,), shuffle=False, batch_size=50, random_state=0)
    made.partial_fit(*task(), classes=np.arange(10))
    return made


def test_steps_are_those_of_scikit_learns_adam() -> None:
    rng = np.random.default_rng(0)
    theirs = [rng.standard_normal((50, 20)).astype(np.float32)]
    ours = [theirs[0].copy()]
    reference = AdamOptimizer(theirs, learning_rate_init=0.01)
    adam = Adam(STEADY, averaging=0)
    adam.begin(ours)
    for _ in range(30):
        slope = rng.standard_normal((50, 20)).astype(np.float32)
        reference.update_params(theirs, [slope])
        adam.update_params(ours, [slope])
    assert adam.step == 30
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-6)


def test_a_model_steps_with_the_optimiser_it_is_given() -> None:
    fitted = model()
    adam = Adam(STEADY, averaging=0)
    adam.begin([*fitted.coefs_, *fitted.intercepts_])
    install(fitted, adam)
    fitted.partial_fit(*task())
    assert adam.step == 4  # mini-batches of 50
    for mean, weight in zip(adam.mean, [*fitted.coefs_, *fitted.intercepts_], strict=True):
        np.testing.assert_allclose(mean, weight, atol=1e-6)


def test_average_of_weights_lies_behind_them() -> None:
    weight = [np.zeros(3, np.float32)]
    adam = Adam(STEADY, averaging=10)
    adam.begin(weight)
    for _ in range(300):
        adam.update_params(weight, [np.full(3, -1, np.float32)])
    # Steps of 0.01 averaged over the last 10 steps lag 9 steps behind.
    assert weight[0] == pytest.approx(3.0, rel=1e-3)
    assert weight[0] - adam.mean[0] == pytest.approx(0.09, rel=1e-2)


def test_without_averaging_the_mean_is_the_weights() -> None:
    weight = [np.zeros(3, np.float32)]
    adam = Adam(STEADY, averaging=0)
    adam.begin(weight)
    for _ in range(10):
        adam.update_params(weight, [np.full(3, -1, np.float32)])
    assert adam.mean[0] == pytest.approx(weight[0], rel=1e-6)


def test_blocks_do_not_show() -> None:
    rng = np.random.default_rng(0)
    slope = rng.standard_normal(200_000).astype(np.float32)
    whole, pieces = [np.zeros(200_000, np.float32)], list(np.zeros((4, 50_000), np.float32))
    one, other = Adam(STEADY, 5), Adam(STEADY, 5)
    one.begin(whole)
    other.begin(pieces)
    for _ in range(3):
        one.update_params(whole, [slope])
        other.update_params(pieces, list(slope.reshape(4, -1)))
    assert np.array_equal(whole[0], np.concatenate(pieces))
    assert np.array_equal(one.mean[0], np.concatenate(other.mean))


@given(st.integers(0, 50), st.integers(51, 200), st.floats(0, 1))
def test_rate_rises_then_falls_to_its_end(warm_up: int, total: int, final: float) -> None:
    schedule = Schedule(highest=0.1, warm_up=warm_up, total=total, final=final)
    rates = [schedule.rate(step) for step in range(total + 1)]
    assert max(rates) == pytest.approx(0.1)
    assert all(a < b for a, b in pairwise(rates[:warm_up]))
    assert all(a >= b for a, b in pairwise(rates[warm_up:]))
    assert rates[-1] == pytest.approx(0.1 * final)
    assert min(rates) >= 0


def test_a_stripped_model_predicts_the_same_and_can_be_fitted_on() -> None:
    fitted = model()
    digits, labels = task()
    before = fitted.predict_proba(digits)
    strip(fitted)
    assert not {"_optimizer", "_best_coefs", "_best_intercepts"} & set(vars(fitted))
    assert np.array_equal(fitted.predict_proba(digits), before)
    fitted.partial_fit(digits, labels)
    assert not np.array_equal(fitted.predict_proba(digits), before)
