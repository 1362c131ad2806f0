"""Confidence that means what it says: temperature scaling of a fitted network."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from digitline.pixels.aspect import aspects_of, to_ink
from digitline.rows import PIXELS

_DIGITS = 10
_FOLDS = 2
_FAINTEST = np.float32(1e-30)


def calibrate(
    network: MLPClassifier, digits: NDArray[np.uint8], labels: NDArray[np.int8]
) -> CalibratedClassifierCV:
    """Wrap a network so that its probabilities come true on the rows given.

    `digits` are (n, 784), `labels` (n,), rows the network was not trained on. One temperature
    for all answers (Guo, Pleiss, Sun & Weinberger 2017): which digit is read never changes.
    """
    # scikit-learn asks for rows of every digit in each fold, which small data may not have.
    padding = np.repeat(np.arange(_DIGITS), _FOLDS)
    blanks = np.zeros((len(padding), PIXELS), np.uint8)
    calibrated = CalibratedClassifierCV(
        FrozenEstimator(network), method="temperature", cv=_FOLDS, ensemble=False
    )
    with warnings.catch_warnings():
        # It warns that weights do not reach a network which is not fitted again anyway.
        warnings.filterwarnings("ignore", "Since FrozenEstimator does not appear", UserWarning)
        return calibrated.fit(
            to_ink(np.concatenate([digits, blanks]), aspects_of(network)),
            np.concatenate([labels.astype(np.int64), padding]),
            sample_weight=np.r_[np.ones(len(digits)), np.zeros(len(padding))],
        )


def calibrated_loss(chances: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    """Give the mean cross-entropy of probabilities (n, 10) at the best single temperature."""
    logits = np.log(np.maximum(chances, _FAINTEST))
    rows = np.arange(len(labels))

    def loss(log_heat: float) -> float:
        heated = logits * np.float32(np.exp(-log_heat))
        return float(np.mean(logsumexp(heated, axis=1) - heated[rows, labels], dtype=np.float64))

    return float(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").fun)


def temperature(calibrated: CalibratedClassifierCV) -> float:
    """Give the temperature; above 1 the network was too sure of itself."""
    (member,) = calibrated.calibrated_classifiers_
    return 1 / float(member.calibrators[0].beta_)
