"""Writing a fitted classifier as a joblib file: lean, and the same weights give the same bytes."""

import io
import math
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import NDArray

from digitline.errors import IncompatibleError
from digitline.models.unpickling import DTYPES, NETWORK, PARTS, name_of

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

# Python's default differs between its versions, and with it the bytes.
_PROTOCOL = 4
# What predicting needs of a fitted network, and what further training goes on from.
_FITTED = frozenset(
    {
        "_label_binarizer",
        "classes_",
        "coefs_",
        "intercepts_",
        "loss",
        "n_features_in_",
        "n_iter_",
        "n_layers_",
        "n_outputs_",
        "out_activation_",
        "aspects_",
        "t_",
    }
)
# What further training looks up and need not know: how the fitting went.
_FORGOTTEN = MappingProxyType({"_no_improvement_count": 0, "best_loss_": math.inf})


def to_bytes(estimator: Any) -> bytes:  # noqa: ANN401 - scikit-learn has no types
    """Write a fitted classifier as uncompressed joblib.

    Leaves out the optimiser's state and the history of the fitting. Raises `IncompatibleError`
    where the classifier holds a part that `unpickle` would refuse.
    """
    buffer = io.BytesIO()
    joblib.dump(_Leaner().lean(estimator), buffer, protocol=_PROTOCOL)
    return buffer.getvalue()


class _Leaner:
    """Copy a fitted object into the one form its pickle depends on nothing but values in.

    A pickle shows in which order attributes were set, which strings are one object and how
    arrays lie in memory.
    """

    def __init__(self) -> None:
        self._parts: dict[int, Any] = {}  # a network that is referred to twice stays one

    def lean(self, value: Any) -> Any:  # noqa: ANN401 - any attribute of an estimator
        """Copy a value."""
        match value:
            case np.ndarray():
                return _lean_array(value)
            case np.generic():
                return self.lean(value.item())
            case str():
                return sys.intern(value)
            case None | bool() | int() | float():
                return value
            case tuple() | list():
                return type(value)(self.lean(item) for item in value)
            case _:
                return self._lean_part(value)

    def _lean_part(self, part: Any) -> Any:  # noqa: ANN401 - any estimator
        if name_of(part) not in PARTS:
            raise IncompatibleError(
                f"a model holds a {type(part).__module__}.{type(part).__qualname__}, "
                "which loading would refuse",
                todo="Fit a plain MLPClassifier, calibrated or not",
            )
        if id(part) not in self._parts:
            copy = object.__new__(type(part))
            self._parts[id(part)] = copy
            state = _network_state(part) if name_of(part) == NETWORK else vars(part)
            # Not `setattr`: instances share their keys, and other equal strings may be among them.
            copy.__dict__ = {sys.intern(name): self.lean(state[name]) for name in sorted(state)}
        return self._parts[id(part)]


def _network_state(network: "MLPClassifier") -> dict[str, Any]:
    kept = _FITTED.union(network.get_params(deep=False))
    state = {name: value for name, value in vars(network).items() if name in kept}
    if not isinstance(network.random_state, int):
        state["random_state"] = None  # a generator: its state belongs to the fitting
    return {**state, **_FORGOTTEN, "loss_curve_": []}


def _lean_array(array: NDArray[Any]) -> NDArray[Any]:
    plain = DTYPES.get(array.dtype.str[1:])
    if plain is None:
        raise IncompatibleError(
            f"a model holds an array of {array.dtype}, which loading would refuse",
            todo="Fit on float32 pixels and integer labels",
        )
    copy = np.empty(array.shape, plain)
    copy[...] = array
    return copy
