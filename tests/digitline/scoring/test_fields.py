import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.home import Home
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.fields import find_rows
from digitline.scoring.field_single import FieldReading
from digitline.scoring.fields import read_field
from digitline.scoring.lattice import Listed
from digitline.scoring.legal import Length

Mnist = tuple[list[bytes], NDArray[np.int64]]
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def model(reader: Home) -> Model:
    return Registry(reader.models, reader.keys).load(lean=True)


def drawn(mnist: Mnist, places: list[int]) -> tuple[list[Picture], str]:
    pictures = [np.asarray(Image.open(io.BytesIO(mnist[0][place]))) for place in places]
    return pictures, "".join(str(mnist[1][place]) for place in places)


@pytest.fixture
def plain(mnist: Mnist, model: Model) -> tuple[list[Picture], str]:
    """Give four digits of which the model is sure, and what they are."""
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in mnist[0][:200]])
    sure = model.probabilities(pictures.reshape(-1, 784))[np.arange(200), mnist[1][:200]]
    return drawn(mnist, np.argsort(-sure, kind="stable")[:40:10].tolist())


def in_a_row(pictures: list[Picture], gap: int) -> Picture:
    cropped = []
    for picture in pictures:
        left, _, wide, _ = cv2.boundingRect(picture)
        cropped += [picture[:, left : left + wide], np.zeros((28, gap), np.uint8)]
    return np.pad(np.hstack(cropped), 6)


def test_digits_apart_are_read_in_order(plain: tuple[list[Picture], str], model: Model) -> None:
    pictures, text = plain
    row = in_a_row(pictures, 6)
    for picture in (row, ~row, cv2.resize(~row, None, fx=3, fy=3)):
        field = read_field(np.asarray(picture, np.uint8), model, 0.5)
        assert (field.text, field.status) == (text, "accept")
        assert field.seen.shape == (4, 28, 28)
        assert 0.5 < field.confidence <= 1


def test_printed_boxes_are_not_read(plain: tuple[list[Picture], str], model: Model) -> None:
    pictures, text = plain
    page = np.full((60, 4 * 44 + 16), 230, np.uint8)
    for number, picture in enumerate(pictures):
        left = 8 + 44 * number
        cv2.rectangle(page, (left, 5), (left + 44, 54), 120, 1)
        page[16:44, left + 8 : left + 36] -= (picture * 0.7).astype(np.uint8)
    assert read_field(page, model, 0.5).text == text


@pytest.mark.parametrize("grey", [60, 76, 140, 204])
def test_faint_boxes_are_not_read_either(
    plain: tuple[list[Picture], str], model: Model, grey: int
) -> None:
    pictures, text = plain
    page = np.zeros((60, 4 * 40 + 16), np.uint8)
    for number, picture in enumerate(pictures):
        left = 8 + 40 * number
        cv2.rectangle(page, (left, 4), (left + 40, 55), grey, 1)
        page[16:44, left + 7 : left + 35] = np.maximum(page[16:44, left + 7 : left + 35], picture)
    large = np.asarray(cv2.resize(page, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    paper = 220 + np.random.default_rng(grey).normal(0, 4, large.shape)
    assert read_field((paper - 0.6 * large).clip(0, 255).astype(np.uint8), model, 0.5).text == text


def test_halves_of_a_broken_digit_are_never_surely_two(mnist: Mnist, model: Model) -> None:
    zeros = [place for place in range(600) if mnist[1][place] == 0]
    ones = [place for place in range(600) if mnist[1][place] == 1]
    sure = []
    for zero, one in zip(zeros, ones, strict=False):
        pictures, _ = drawn(mnist, [one, zero])
        broken = pictures[1].copy()
        broken[:, 13:15] = 0
        field = read_field(in_a_row([pictures[0], broken], 6), model, 0.5)
        sure += [field.confidence] * (len(field.text) > 2)
    assert len(sure) > 5
    assert max(sure) < 0.95


def test_a_tick_beside_a_digit_is_not_accepted_as_one(
    plain: tuple[list[Picture], str], model: Model
) -> None:
    pictures, text = plain
    row = in_a_row(pictures, 6)
    row[14:24, -6:-4] = 255
    field = read_field(row, model, 0.0)
    assert field.status == "review" or field.text == text


def test_what_touches_is_cut_but_not_accepted_unchecked(mnist: Mnist, model: Model) -> None:
    ones = [place for place in range(300) if mnist[1][place] == 1][:2]
    zero = next(place for place in range(300) if mnist[1][place] == 0)
    pictures, _ = drawn(mnist, [ones[0], zero])
    row = in_a_row(pictures, 6)
    middle = slice(row.shape[0] // 2 - 1, row.shape[0] // 2 + 1)
    row[middle, 8:-14] = np.maximum(row[middle, 8:-14], 255)
    (found,) = find_rows(row)
    assert found.count == 1
    parts, origins = found.cut_up({0})
    assert parts.count == len(origins) > 1
    assert (np.unique(parts.pieces) == np.arange(parts.count + 1)).all()
    assert ((parts.pieces > 0) == (found.pieces > 0)).all()
    field = read_field(row, model, 0.0)
    assert len(field.text) == 1 or "touches" in field.reason


def test_what_is_known_decides(plain: tuple[list[Picture], str], model: Model) -> None:
    pictures, text = plain
    row = in_a_row(pictures, 6)
    assert read_field(row, model, 0.5, [Length(4, 4)]).text == text
    wrong = read_field(row, model, 0.5, [Length(50, 60)])
    assert (wrong.text, wrong.status, wrong.reason) == ("", "review", "no legal string fits")
    code, other = Listed(frozenset({text, "77777"})), Listed(frozenset({f"{text[:-1]}8"}))
    assert read_field(row, model, 0.5, [code]).text == text
    assert read_field(row, model, 0.5, [other]).status == "review"


@pytest.mark.parametrize("shape", [(40, 200), (1, 1), (3, 90), (200, 3), (28, 28, 3), (2, 900)])
@pytest.mark.parametrize("kind", ["blank", "noise"])
def test_what_is_no_field_is_for_review(model: Model, shape: tuple[int, ...], kind: str) -> None:
    rng = np.random.default_rng(0)
    picture = (
        rng.integers(0, 256, shape, np.uint8) if kind == "noise" else np.full(shape, 240, np.uint8)
    )
    field = read_field(picture, model, 0.5)
    assert field.status == "review"
    assert field.reason


def test_the_terminal_shows_the_digits_side_by_side(
    plain: tuple[list[Picture], str], model: Model
) -> None:
    pictures, text = plain
    reading = FieldReading("a\nb.png", read_field(in_a_row(pictures, 6), model, 0.5))
    first, *drawing, last = reading.to_text().split("\n")
    assert first.startswith(rf"a\nb.png: {text}, ")
    assert all(len(line) <= 4 * 28 for line in drawing)
    assert last.split()[::2] == list(text)
    assert reading.to_html().count("<img") == 4
