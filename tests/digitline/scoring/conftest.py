"""Folders of images to read."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Mnist = tuple[list[bytes], NDArray[np.int64]]


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


@pytest.fixture
def white() -> bytes:
    """Give an image of nothing but paper."""
    buffer = io.BytesIO()
    Image.new("L", (60, 60), 250).save(buffer, "PNG")
    return buffer.getvalue()
