from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.judging.metrics import calibration_error, reliability
from digitline.learning.calibration import calibrate, calibrated_loss, temperature
from digitline.models.bundle import predict
from digitline.models.pickling import to_bytes
from digitline.models.unpickling import unpickle

Rows = tuple[NDArray[np.uint8], NDArray[np.int8]]


def rows(rng: np.random.Generator, n: int) -> Rows:
    """Ten overlapping kinds of rows."""
    labels = rng.integers(0, 10, n).astype(np.int8)
    digits = rng.integers(0, 200, (n, 784)).astype(np.uint8)
    digits[np.arange(n)[:, None], labels[:, None] * 70 + np.arange(20)] += np.uint8(40)
    return digits, labels


@pytest.fixture(scope="module")
def network() -> MLPClassifier:
    digits, labels = rows(np.random.default_rng(0), 600)
    ink = np.divide(digits, np.float32(255), dtype=np.float32)
    fitted = MLPClassifier((40,), early_stopping=True, random_state=0).fit(
        ink, labels.astype(np.int64)
    )
    # Too sure of itself, whatever the fitting made of it.
    fitted.coefs_[-1] *= 6
    fitted.intercepts_[-1] *= 6
    return fitted


def test_overconfident_network_is_cooled_and_reads_the_same(network: MLPClassifier) -> None:
    rng = np.random.default_rng(1)
    calibrated = calibrate(network, *rows(rng, 1000))
    digits, labels = rows(rng, 2000)
    before, after = predict(network, digits), predict(calibrated, digits)
    assert temperature(calibrated) > 1
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    right = before.argmax(axis=1) == labels
    errors = [calibration_error(reliability(right, each.max(axis=1))) for each in (before, after)]
    assert errors[1] < errors[0] / 2
    assert after.dtype == np.float32


def test_digits_that_no_row_shows_stay_among_the_ten(network: MLPClassifier) -> None:
    digits, labels = rows(np.random.default_rng(2), 400)
    few = labels < 3
    calibrated = calibrate(network, digits[few], labels[few])
    assert calibrated.classes_.tolist() == list(range(10))


def test_padding_counts_for_nothing(network: MLPClassifier) -> None:
    digits, labels = rows(np.random.default_rng(3), 1000)
    once = temperature(calibrate(network, digits, labels))
    twice = temperature(calibrate(network, np.tile(digits, (2, 1)), np.tile(labels, 2)))
    assert once == pytest.approx(twice, rel=1e-3)


def test_calibrated_network_is_one_object_that_loads(
    network: MLPClassifier, tmp_path: Path
) -> None:
    digits, labels = rows(np.random.default_rng(4), 300)
    calibrated = calibrate(network, digits, labels)
    again = unpickle(to_bytes(calibrated), tmp_path)
    assert (predict(again, digits) == predict(calibrated, digits)).all()


def test_calibrated_loss_is_what_calibration_comes_to(network: MLPClassifier) -> None:
    digits, labels = rows(np.random.default_rng(1), 1000)
    raw = network.predict_proba(digits / np.float32(255))
    reached = predict(calibrate(network, digits, labels), digits)
    log_loss = -np.log(reached[np.arange(len(labels)), labels]).mean()
    found = calibrated_loss(raw, labels)
    assert found == pytest.approx(log_loss, rel=1e-3)
    assert found < -np.log(np.maximum(raw[np.arange(len(labels)), labels], 1e-30)).mean()
