"""What the attacks share: a warm process, and a folder of images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.torture.nursery import Nursery

SHARDS, ROWS = 8, 12


@pytest.fixture(scope="session")
def nursery(prefect_server: None) -> Iterator[Nursery]:
    """Give a warm process whose runs talk to the session's server."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to load

    with Nursery({"PREFECT_API_URL": str(get_current_settings().api.url)}) as nursery:
        yield nursery


@pytest.fixture
def images(mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path) -> Path:
    """Give a folder of as many images as fill eight shards of twelve, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        broken = number % 20 == 7
        (folder / f"{number:04d}.png").write_bytes(content[:60] if broken else content)
    return folder
