"""What a model makes of pictures: probabilities of the ten digits, and how odd each looks.

A model is one scikit-learn object, a calibrated network. Its guard, which tells digits from what
is none by the network's activations, is kept on it as one more fitted attribute, `guard_`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digitline.rows import PIXELS

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.neural_network import MLPClassifier

DIGITS = 10
# Rows scored at once: enough to keep the matrix products busy, small enough for the cache.
BATCH = 4096
_GUARD = "guard_"


class Layered(Protocol):
    """The part of a fitted `MLPClassifier` that a forward pass needs."""

    activation: str
    coefs_: list[NDArray[np.float32]]
    intercepts_: list[NDArray[np.float32]]


@dataclass(frozen=True)
class Reading:
    """What n pictures were read as.

    `probabilities` (n, 10) float32; `oddness` (n,) float32, above 0 where the guard takes a
    picture for no digit; `odd` (n,) whether it is too odd to be accepted.
    """

    probabilities: NDArray[np.float32]
    oddness: NDArray[np.float32]
    odd: NDArray[np.bool_]


def attach_guard(calibrated: "CalibratedClassifierCV", guard: "MLPClassifier") -> None:
    """Give a calibrated network the guard fitted on its activations."""
    setattr(calibrated, _GUARD, guard)


def network_of(calibrated: "CalibratedClassifierCV") -> "MLPClassifier":
    """Give the network within a calibrated one."""
    (member,) = calibrated.calibrated_classifiers_
    return member.estimator.estimator


def read(estimator: Any, px: NDArray[np.uint8]) -> Reading:  # noqa: ANN401 - scikit-learn has no types
    """Read normalised pixels, (n, 784) uint8, batch by batch; without a guard nothing is odd."""
    probabilities = np.empty((len(px), DIGITS), np.float32)
    oddness = np.zeros(len(px), np.float32)
    guard = getattr(estimator, _GUARD, None)
    for part, ink in _batches(px):
        if guard is None:
            probabilities[part] = estimator.predict_proba(ink)
        else:
            probabilities[part], oddness[part] = _read_guarded(estimator, guard, ink)
    return Reading(probabilities, oddness, np.zeros(len(px), np.bool_))


def activations(network: "MLPClassifier", px: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the outputs of all hidden units and of the last layer before softmax, (n, h)."""
    rows = [np.concatenate([*layers(network, ink)], axis=1) for _, ink in _batches(px)]
    return np.concatenate(rows)


def _read_guarded(
    calibrated: "CalibratedClassifierCV", guard: "MLPClassifier", ink: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pass through the network once, for both: (n, 10) probabilities and (n,) oddness."""
    (member,) = calibrated.calibrated_classifiers_
    into, out = guard.coefs_
    units = np.repeat(guard.intercepts_[0][None], len(ink), axis=0)
    logits, row = ink, 0
    for layer in layers(network_of(calibrated), ink):
        units += layer @ into[row : row + layer.shape[1]]
        logits, row = layer, row + layer.shape[1]
    oddness = np.maximum(units, 0) @ out[:, 0] + guard.intercepts_[1][0]
    return member.calibrators[0].predict(softmax(logits)), oddness


def layers(network: Layered, ink: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the outputs of each layer of a ReLU network, the last one before its softmax."""
    assert network.activation == "relu"
    values = ink
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        values = values @ weights
        values += bias
        np.maximum(values, 0, out=values)
        yield values
    yield values @ network.coefs_[-1] + network.intercepts_[-1]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits into probabilities, (n, 10), each row by itself."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _batches(px: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    for start in range(0, len(px), BATCH):
        part = slice(start, start + BATCH)
        rows = px[part].reshape(-1, PIXELS)
        yield part, np.divide(rows, np.float32(255), dtype=np.float32)
