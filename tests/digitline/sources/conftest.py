import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[[int], bytes]


def picture(number: int, *, side: int = 12) -> bytes:
    """A PNG that is like no other number's."""
    px = np.random.default_rng(number).integers(0, 256, (side, side), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(px).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def draw() -> Draw:
    return picture


@pytest.fixture
def labelled_folder(tmp_path: Path) -> Path:
    """Three pictures of each digit, in a sub-folder a digit."""
    for number in range(30):
        place = tmp_path / "folder" / str(number % 10) / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    return tmp_path / "folder"


@pytest.fixture
def write_idx() -> Callable[..., None]:
    return idx_files


def idx_files(
    folder: Path,
    prefix: str,
    labels: Sequence[int],
    *,
    side: int = 28,
    seed: int = 0,
) -> None:
    """Write an image file and a label file in IDX."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(labels)
    px = np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)
    images = struct.pack(">IIII", 0x803, count, side, side) + px.tobytes()
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(images)
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
        struct.pack(">II", 0x801, count) + bytes(labels)
    )
