"""One tiny network, trained once, and registries to put it into."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from digitline.judging.verdict import Verdict
from digitline.models.card import Data, Facts, Metrics, Rows
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER

NOON = "2026-01-02T12:00:00Z"


@pytest.fixture(scope="session")
def px() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (200, 784), dtype=np.uint8)


@pytest.fixture(scope="session")
def digits() -> NDArray[np.int64]:
    return np.arange(200) % 10


@pytest.fixture(scope="session")
def network(px: NDArray[np.uint8], digits: NDArray[np.int64]) -> MLPClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier((8,), max_iter=3, random_state=0).fit(_ink(px), digits)


@pytest.fixture(scope="session")
def calibrated(
    network: MLPClassifier, px: NDArray[np.uint8], digits: NDArray[np.int64]
) -> CalibratedClassifierCV:
    frozen = FrozenEstimator(network)
    return CalibratedClassifierCV(frozen, method="temperature").fit(_ink(px), digits)


@pytest.fixture(scope="session")
def facts() -> Facts:
    part = Rows(rows=200, digest="0" * 64)
    return Facts(
        created=NOON,
        run="retrain-0001",
        parent=None,
        recipe={"hidden": [8], "epochs": 3},
        recipe_digest="1" * 64,
        seed=0,
        data=Data(name="noise", manifest="2" * 64, train=part, validation=part, test=part),
        code="3" * 64,
        normaliser=NORMALISER,
        metrics=Metrics(accuracy=0.1, error=0.9, n_test=200, recall=(0.1,) * 10),
        threshold=0.9,
        verdict=Verdict(kind="bootstrap", sentence="First champion: 90.00% error."),
    )


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models", tmp_path / ".digitline" / "keys")


@pytest.fixture
def champion(
    registry: Registry, network: MLPClassifier, facts: Facts, px: NDArray[np.uint8]
) -> Registry:
    """Give a registry with one model, the champion."""
    version = registry.register(network, facts, px[:10])
    registry.promote(version, reason="first", run="retrain-0001", created=NOON)
    return registry


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Give a path that only code hidden in a file would create."""
    path = tmp_path / "canary"
    yield path
    assert not os.path.lexists(path), "a file was executed"


def _ink(px: NDArray[np.uint8]) -> NDArray[np.float32]:
    return px.astype(np.float32) / np.float32(255)
