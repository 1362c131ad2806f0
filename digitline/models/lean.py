"""A model rebuilt without scikit-learn, which takes a second to load: the same file, the same sums.

Each class stands for one of scikit-learn's and keeps its attributes under their names. A model
rebuilt of them is held against its golden rows like any other.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from digitline.models.reading import layers, softmax
from digitline.models.unpickling import NETWORK, Name

# What scikit-learn adds to probabilities before it takes their logarithm.
_EPSILON: Final = 1e-12


class Network:
    """Stand for a fitted `MLPClassifier`."""

    activation: str
    coefs_: list[NDArray[np.float32]]
    intercepts_: list[NDArray[np.float32]]

    def predict_proba(self, ink: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the probabilities of the ten digits: (n, 784) to (n, 10)."""
        *_, logits = layers(self, ink)
        return softmax(logits)


class Frozen:
    """Stand for a `FrozenEstimator`."""

    estimator: Network


class Temperature:
    """Stand for a `_TemperatureScaling` of probabilities (Guo et al. 2017)."""

    beta_: float

    def predict(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale their logits: (n, 10) to (n, 10)."""
        logits = np.log(probabilities + _EPSILON)
        return softmax(self.beta_ * logits)


class Member:
    """Stand for a `_CalibratedClassifier`."""

    estimator: Frozen
    calibrators: list[Temperature]


class Calibrated:
    """Stand for a `CalibratedClassifierCV` of one member."""

    calibrated_classifiers_: list[Member]

    def predict_proba(self, ink: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the calibrated probabilities of the ten digits: (n, 784) to (n, 10)."""
        (member,) = self.calibrated_classifiers_
        (temperature,) = member.calibrators
        return temperature.predict(member.estimator.estimator.predict_proba(ink))


class Labels:
    """Stand for a `LabelBinarizer`, which reading does not need."""


LEAN: Final[Mapping[Name, type]] = MappingProxyType(
    {
        NETWORK: Network,
        ("sklearn.preprocessing._label", "LabelBinarizer"): Labels,
        ("sklearn.calibration", "CalibratedClassifierCV"): Calibrated,
        ("sklearn.calibration", "_CalibratedClassifier"): Member,
        ("sklearn.calibration", "_TemperatureScaling"): Temperature,
        ("sklearn.frozen._frozen", "FrozenEstimator"): Frozen,
    }
)
