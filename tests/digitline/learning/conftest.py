import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.learning.recipe import Recipe
from digitline.pixels.distort import Distortion
from digitline.rows import normalised_batch, normalised_schema, write_rows

Write = Callable[[str, NDArray[np.uint8], NDArray[np.int8]], Path]


@pytest.fixture(scope="session")
def digits(
    mnist: tuple[list[bytes], NDArray[np.int64]],
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """The first 1,000 training digits, (1000, 784), and their labels."""
    files, labels = mnist
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in files[:1000]]
    return np.stack(pictures).reshape(-1, 784), labels[:1000].astype(np.int8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes digits and labels as normalised rows under a name."""

    def write_digits(name: str, pixels: NDArray[np.uint8], labels: NDArray[np.int8]) -> Path:
        ids = [hashlib.sha256(digit.tobytes()).digest() for digit in pixels]
        batch = normalised_batch(ids, labels, pixels, "1")
        path = tmp_path / f"{name}.parquet"
        write_rows(path, normalised_schema("1"), iter([batch]))
        return path

    return write_digits


@pytest.fixture
def recipe() -> Recipe:
    """A network small enough to train in a second."""
    return Recipe(
        hidden=(32,),
        epochs=4,
        batch=50,
        rate=0.005,
        distortion=Distortion(rotation=10, elastic=0.5, thickness=0.2),
    )
