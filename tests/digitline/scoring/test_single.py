import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.scoring.single import Reading, Unread, read_image, to_page

Mnist = tuple[list[bytes], NDArray[np.int64]]


@pytest.fixture(scope="module")
def model(reader: Home) -> Model:
    return Registry(reader.models, reader.keys).load()


def test_images_are_read_one_by_one(mnist: Mnist, tmp_path: Path, model: Model) -> None:
    right = 0
    for number in range(50):
        path = tmp_path / f"{number}.png"
        path.write_bytes(mnist[0][number])
        reading = read_image(path, model, 0.5, Limits())
        assert isinstance(reading, Reading)
        assert reading.confidence == pytest.approx(reading.probabilities.max())
        assert reading.status == ("accept" if reading.confidence >= 0.5 else "review")
        right += reading.answer == mnist[1][number]
    assert right >= 45


def test_the_terminal_shows_the_digit_and_ten_bars(
    mnist: Mnist, tmp_path: Path, model: Model
) -> None:
    path = tmp_path / "a\x1b[31m.png"
    path.write_bytes(mnist[0][0])
    reading = read_image(path, model, 1.0, Limits())
    assert isinstance(reading, Reading)
    text = reading.to_text()
    assert "\x1b" not in text
    assert "review: less sure than 100.00%" in text
    assert len(re.findall(r"^.{33}\d [█ ]{20} +[\d.]+%$", text, re.MULTILINE)) == 10
    inked = sum(text.count(block) for block in "▀▄") + 2 * text.split("0 ")[0].count("█")
    assert inked > 20


def test_a_blank_sheet_is_for_review_and_a_letter_is_unread(
    tmp_path: Path, model: Model, white: bytes
) -> None:
    (tmp_path / "blank.png").write_bytes(white)
    (tmp_path / "letter.png").write_text("Dear reader")
    blank = read_image(tmp_path / "blank.png", model, 0.0, Limits())
    assert isinstance(blank, Reading)
    assert (blank.status, blank.reason) == ("review", "blank")
    letter = read_image(tmp_path / "letter.png", model, 0.0, Limits())
    gone = read_image(tmp_path / "gone.png", model, 0.0, Limits())
    assert isinstance(letter, Unread)
    assert isinstance(gone, Unread)
    assert (letter.reason, gone.reason) == ("unsupported", "vanished")
    page = to_page([blank, letter, gone])
    assert page.count("<section>") == 3
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_shows_names_and_runs_none_of_them(
    mnist: Mnist, tmp_path: Path, model: Model
) -> None:
    path = tmp_path / "<script>alert(1)<&quot;.png"
    path.write_bytes(mnist[0][0])
    page = to_page([read_image(path, model, 0.5, Limits())])
    assert "<script" not in page
    assert "data:image/png;base64," in page
