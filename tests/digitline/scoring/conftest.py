"""A small reader of real digits in a registry of its own, and folders of images to read."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from digitline.models.card import Data, Facts, Metrics, Rows, Verdict
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER

Mnist = tuple[list[bytes], NDArray[np.int64]]
NOON = "2026-01-02T12:00:00Z"


@pytest.fixture(scope="session")
def registry(mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Give a registry whose champion reads nine digits of ten."""
    px = np.stack([np.asarray(Image.open(io.BytesIO(content))) for content in mnist[0][:2000]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((32,), max_iter=12, random_state=0).fit(
            px.reshape(-1, 784).astype(np.float32) / np.float32(255), mnist[1][:2000]
        )
    part = Rows(rows=2000, digest="0" * 64)
    facts = Facts(
        created=NOON,
        run="retrain-0001",
        parent=None,
        recipe={"hidden": [32]},
        recipe_digest="1" * 64,
        seed=0,
        data=Data(name="mnist", manifest="2" * 64, train=part, validation=part, test=part),
        code="3" * 64,
        normaliser=NORMALISER,
        metrics=Metrics(accuracy=0.9, error=0.1, n_test=200, recall=(0.9,) * 10),
        threshold=0.9,
        verdict=Verdict(kind="bootstrap", sentence="First champion."),
    )
    root = tmp_path_factory.mktemp("registry")
    made = Registry(root / "models", root / "keys")
    version = made.register(network, facts, px[:10].reshape(-1, 784))
    made.promote(version, reason="first", run="retrain-0001", created=NOON)
    return made


@pytest.fixture
def folder(mnist: Mnist, tmp_path: Path) -> Path:
    """Give a folder of sixty images, three of them broken."""
    place = tmp_path / "images"
    place.mkdir()
    for number, content in enumerate(mnist[0][2000:2057]):
        (place / f"{number:03d}.png").write_bytes(content)
    (place / "010-cut.png").write_bytes(mnist[0][0][:100])
    (place / "020-empty.png").touch()
    (place / "030-letter.jpg").write_text("Dear reader")
    return place
