"""What tests of every room share: a home of their own, digits, and one Prefect server."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from digitline.home import CHECKOUT, Home

# Before any test module imports Prefect: nothing reported, nothing printed.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
os.environ["DO_NOT_TRACK"] = "1"

# How long an example takes says more about the machine than about the code.
settings.register_profile("digitline", deadline=None)
settings.load_profile("digitline")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of this test's own, in the environment as a user would set it."""
    root = tmp_path / "home"
    root.mkdir()
    monkeypatch.setenv("DIGITLINE_HOME", str(root))
    return Home(root)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Prefect's real API on a database of its own, started once a session."""
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - slow to load

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def mnist() -> tuple[list[bytes], NDArray[np.int64]]:
    """The first 4,000 embedded training images as PNG bytes, and their labels (4000,)."""
    table = pq.ParquetFile(CHECKOUT / "data" / "mnist" / "train.parquet").iter_batches(4000)
    batch = next(table)
    return batch.column("image").field("bytes").to_pylist(), batch.column("label").to_numpy()


def png(digit: NDArray[np.uint8]) -> bytes:
    """Write a picture as PNG, as a user with Pillow would."""
    buffer = io.BytesIO()
    Image.fromarray(digit).save(buffer, "PNG")
    return buffer.getvalue()
