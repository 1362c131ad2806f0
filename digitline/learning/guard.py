"""A few small networks that tell digits from what is none, by what the first makes of them."""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from digitline.learning.committee import join

# Three that have seen different junk agree on what is strange beyond it better than one does.
MEMBERS = 3
_UNITS = 64
_EPOCHS = 16

Rows = NDArray[np.float32]


def fit_guard(examples: Callable[[int], tuple[Rows, Rows]], seed: int) -> MLPClassifier:
    """Fit a guard on activations of digits, (n, h), and of pictures that are none, (m, h).

    `examples` gives both for a member of the guard, by its number. Class 1 is what is strange. A
    network is as sure of junk as of digits, but not by the same units (outlier exposure:
    Hendrycks, Mazeika & Dietterich 2019).
    """
    members = [_fit(*examples(number), seed + number) for number in range(MEMBERS)]
    guard = members[0].set_params(hidden_layer_sizes=(MEMBERS * _UNITS,))
    guard.coefs_, guard.intercepts_ = join(members)
    return guard


def _fit(familiar: Rows, strange: Rows, seed: int) -> MLPClassifier:
    guard = MLPClassifier((_UNITS,), max_iter=_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        # A few epochs are enough, and all it is given.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return guard.fit(
            np.concatenate([familiar, strange]),
            np.repeat(np.arange(2), [len(familiar), len(strange)]),
        )
