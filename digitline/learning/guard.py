"""A small second network that tells digits from what is none, by what the first makes of them."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

_UNITS = 64
_EPOCHS = 8


def fit_guard(
    familiar: NDArray[np.float32], strange: NDArray[np.float32], seed: int
) -> MLPClassifier:
    """Fit a guard on activations of digits, (n, h), and of pictures that are none, (m, h).

    Its class 1 is what is strange. A network is as sure of junk as of digits, but not by the same
    units (outlier exposure: Hendrycks, Mazeika & Dietterich 2019).
    """
    guard = MLPClassifier((_UNITS,), max_iter=_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        # A few epochs are enough, and all it is given.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return guard.fit(
            np.concatenate([familiar, strange]),
            np.repeat(np.arange(2), [len(familiar), len(strange)]),
        )
