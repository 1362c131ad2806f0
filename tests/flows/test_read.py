"""`digitline read`, in a process of its own."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.home import Home

# What takes long to load: none of it may be loaded to read one image.
HEAVY = ("dask", "matplotlib", "pandas", "prefect", "scipy.stats", "seaborn", "sklearn")
CODE = f"""
import sys
from flows.command_line import exit_code
code = exit_code(sys.argv[1:])
assert not (loaded := set({HEAVY}) & set(sys.modules)), loaded
sys.exit(code)
"""


def read(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, "read", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DIGITLINE_HOME": str(home.root), "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture
def images(mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path) -> list[str]:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(mnist[0][number])
    (tmp_path / "letter.png").write_text("Dear reader")
    return [str(tmp_path / name) for name in ("0.png", "letter.png", "1.png")]


def test_an_unreadable_image_is_a_line_and_the_others_are_read(
    reader: Home, images: list[str]
) -> None:
    done = read(reader, *images, "--threshold", "0.5")
    assert done.returncode == 14, done.stderr
    assert done.stdout.count("% sure (") == 2
    assert done.stderr == (
        f"digitline: error: {images[1]}: unsupported: {done.stderr.split(': ')[-1]}"
    )


def test_a_row_of_digits_is_read_as_a_field(
    reader: Home, mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path
) -> None:
    digits = [np.asarray(Image.open(io.BytesIO(content))) for content in mnist[0][:3]]
    Image.fromarray(np.hstack(digits)).save(tmp_path / "row.png")
    text = "".join(map(str, mnist[1][:3]))
    (tmp_path / "codes.txt").write_text(f"{text}\n")
    arguments = (str(tmp_path / "row.png"), "--threshold", "0.2")
    done = read(reader, *arguments, "--fields", "--codes", str(tmp_path / "codes.txt"))
    assert done.returncode == 0, done.stderr
    assert f"row.png: {text}, " in done.stdout
    assert read(reader, *arguments, "--length", "3").returncode == 2


def test_a_page_is_written_in_place_of_the_drawing(
    reader: Home, images: list[str], tmp_path: Path
) -> None:
    done = read(reader, images[0], "--threshold", "0.5", "--html", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    assert "█" not in done.stdout
    assert images[0] in (tmp_path / "page.html").read_text()
