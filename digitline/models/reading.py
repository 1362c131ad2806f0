"""What a model makes of pictures: probabilities of the ten digits, and how odd each looks.

A model is one scikit-learn object, a calibrated network. Its guard, which tells digits from what
is none by the network's activations, is kept on it as one more fitted attribute, `guard_`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digitline.pixels.aspect import OF_PIXELS, PLAIN, Aspect, aspects_of, to_ink, width
from digitline.pixels.normalise import inked_rows
from digitline.rows import PIXELS, SIDE

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.neural_network import MLPClassifier

DIGITS = 10
# Rows scored at once: enough to keep the matrix products busy, small enough for the cache.
BATCH = 4096
_GROUP = 1024
_ALL = slice(None)
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


def seen_by(estimator: Any) -> tuple[Aspect, ...]:  # noqa: ANN401 - scikit-learn has no types
    """Tell what a network, calibrated or not, sees of a digit."""
    calibrated = hasattr(estimator, "calibrated_classifiers_")
    return aspects_of(network_of(estimator) if calibrated else estimator)


def pixel_weights(network: "MLPClassifier") -> NDArray[np.float32] | None:
    """Give the weights of first units that see pixels, (784, units); `None` where none does."""
    first = 0
    for aspect in aspects_of(network):
        rows = network.coefs_[0][first : first + width((aspect,))]
        if aspect in OF_PIXELS:
            seeing = rows[:, rows.any(axis=0)]
            return np.asarray(seeing, np.float32)
        first += len(rows)
    return None


def read(estimator: Any, px: NDArray[np.uint8]) -> Reading:  # noqa: ANN401 - scikit-learn has no types
    """Read normalised pixels, (n, 784) uint8, batch by batch; without a guard nothing is odd."""
    probabilities = np.empty((len(px), DIGITS), np.float32)
    oddness = np.zeros(len(px), np.float32)
    guard = getattr(estimator, _GUARD, None)
    if guard is None:
        for part, ink in _batches(px, seen_by(estimator)):
            probabilities[part] = estimator.predict_proba(ink)
    else:
        for places, ink, seen in _alike(px, seen_by(estimator)):
            passed = _read_guarded(estimator, guard, px[places], ink, seen)
            probabilities[places], oddness[places] = passed
    return Reading(probabilities, oddness, np.zeros(len(px), np.bool_))


def activations(network: "MLPClassifier", px: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Give what a guard looks at: the outputs of all layers, the last before softmax, and pixels.

    (n, 784) to (n, h). The network may not see a digit as it is: the guard does.
    """
    outputs = np.empty((len(px), sum(map(len, network.intercepts_)) + PIXELS), np.float16)
    for part, ink in _batches(px, aspects_of(network)):
        seen = [*layers(network, ink), to_ink(px[part])]
        np.concatenate(seen, axis=1, out=outputs[part], casting="same_kind")
    return outputs


def _read_guarded(
    calibrated: "CalibratedClassifierCV",
    guard: "MLPClassifier",
    px: NDArray[np.uint8],
    ink: NDArray[np.float32],
    seen: slice,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pass through the network once, for both: (n, 10) probabilities and (n,) oddness.

    `ink` is what of the pixels `px` the network is fed; of that, what is not `seen` is black.
    """
    (member,) = calibrated.calibrated_classifiers_
    into, out = guard.coefs_
    units = np.repeat(guard.intercepts_[0][None], len(ink), axis=0)
    logits, row = ink, 0
    for layer in layers(network_of(calibrated), ink, seen):
        units += layer @ into[row : row + layer.shape[1]]
        logits, row = layer, row + layer.shape[1]
    if row < len(into):  # guards of earlier versions do not look at pixels
        units += to_ink(px) @ into[row:]
    oddness = np.maximum(units, 0) @ out[:, 0] + guard.intercepts_[1][0]
    return member.calibrators[0].predict(softmax(logits)), oddness


def layers(
    network: Layered, ink: NDArray[np.float32], seen: slice = _ALL
) -> Iterator[NDArray[np.float32]]:
    """Yield the outputs of each layer of a ReLU network, the last one before its softmax.

    `ink` (n, h) are the pixels that are `seen`, all others being black.
    """
    assert network.activation == "relu"
    first, *others, _ = network.coefs_
    values = ink
    for weights, bias in zip((first[seen], *others), network.intercepts_[:-1], strict=True):
        values = _multiply(values, weights)
        values += bias
        np.maximum(values, 0, out=values)
        yield values
    yield values @ network.coefs_[-1] + network.intercepts_[-1]


def _multiply(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply (n, h) by (h, k), passing over the zeros between the members of a committee."""
    product = np.empty((len(values), weights.shape[1]), np.float32)
    for rows, columns in diagonal_blocks(weights):
        np.matmul(values[:, rows], weights[rows, columns], out=product[:, columns])
    return product


def diagonal_blocks(weights: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Split a (h, k) matrix into the blocks along its diagonal, beyond which all is zero."""
    height, width = weights.shape
    if weights[0, -1] or weights[-1, 0]:
        return [(slice(0, height), slice(0, width))]
    filled = weights != 0
    first = np.where(filled.any(axis=1), filled.argmax(axis=1), width)
    after = np.where(filled.any(axis=1), width - filled[:, ::-1].argmax(axis=1), 0)
    reached = np.maximum.accumulate(after)
    to_come = np.minimum.accumulate(first[::-1])[::-1]
    ends = np.flatnonzero(reached[:-1] <= to_come[1:]) + 1
    rows = [0, *ends.tolist(), height]
    columns = [0, *reached[ends - 1].tolist(), width]
    return [
        (slice(*some), slice(*others))
        for some, others in zip(pairwise(rows), pairwise(columns), strict=True)
    ]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits into probabilities, (n, 10), each row by itself."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _batches(
    px: NDArray[np.uint8], aspects: Sequence[Aspect]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    for start in range(0, len(px), BATCH):
        part = slice(start, start + BATCH)
        yield part, to_ink(px[part].reshape(-1, PIXELS), aspects)


def _alike(
    px: NDArray[np.uint8], aspects: Sequence[Aspect]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], slice]]:
    """Group n digits by where they begin: the places of some, their ink, and where that may be.

    A digit of 20 rows leaves 8 blank, which need not be multiplied where digits stay as they are.
    """
    inked = inked_rows(px.reshape(-1, SIDE, SIDE))
    order = np.argsort(inked.argmax(axis=1), kind="stable")
    for start in range(0, len(px), _GROUP):
        part = order[start : start + _GROUP]
        rows = np.flatnonzero(inked[part].any(axis=0))
        first, after = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 1)
        if aspects == PLAIN:
            seen = slice(first * SIDE, after * SIDE)
            yield part, to_ink(px[part, seen]), seen
        else:
            yield part, to_ink(px[part], aspects), _ALL
