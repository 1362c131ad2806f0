"""A few small networks that tell digits from what is none, by what the first makes of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.learning.committee import join
from digitline.learning.side_by_side import side_by_side

# Three that have seen different junk agree on what is strange beyond it better than one does.
MEMBERS = 3
_UNITS = 64
_EPOCHS = 16
# Rows at a time: they are kept in half precision, and widened as they are needed.
_CHUNK = 2_000


@dataclass(frozen=True)
class Examples:
    """What a guard learns from: `activations` (n, h) of pictures, and whether each is `strange`."""

    activations: NDArray[np.float16]
    strange: NDArray[np.bool_]


def fit_guard(examples: Callable[[int], Examples], seed: int) -> MLPClassifier:
    """Fit a guard on activations of digits, and of pictures that are none.

    `examples` gives them for a member of the guard, by its number. Class 1 is what is strange. A
    network is as sure of junk as of digits, but not by the same units (outlier exposure:
    Hendrycks, Mazeika & Dietterich 2019).
    """
    members = side_by_side(lambda number, _: _fit(examples(number), seed + number), MEMBERS)
    guard = members[0].set_params(hidden_layer_sizes=(MEMBERS * _UNITS,))
    guard.coefs_, guard.intercepts_ = join(members)
    return guard


def _fit(examples: Examples, seed: int) -> MLPClassifier:
    guard = MLPClassifier((_UNITS,), shuffle=False, random_state=seed)
    rng = np.random.default_rng(seed)
    for _ in range(_EPOCHS):
        order = rng.permutation(len(examples.strange))
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            widened = examples.activations[rows].astype(np.float32)
            guard.partial_fit(widened, examples.strange[rows].astype(int), classes=(0, 1))
    return guard
