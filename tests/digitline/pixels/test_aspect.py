import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from digitline.pixels.aspect import Aspect, aspects_of, sense, stand, to_ink, width

ASPECTS: tuple[Aspect, ...] = ("plain", "upright", "strokes")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def px(mnist: tuple[list[bytes], NDArray[np.int64]]) -> Pixels:
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in mnist[0][:300]]
    return np.stack(pictures).reshape(-1, 784)


def shape_of(digits: Pixels) -> tuple[NDArray[np.float64], ...]:
    """Slant, breadth and height of digits, each (n,)."""
    ink = digits.reshape(-1, 28, 28) / digits.sum(axis=1)[:, None, None]
    y, x = np.mgrid[:28, :28]
    right = x - (ink * x).sum(axis=(1, 2))[:, None, None]
    down = y - (ink * y).sum(axis=(1, 2))[:, None, None]
    xx, xy, yy = ((ink * moment).sum(axis=(1, 2)) for moment in (right**2, right * down, down**2))
    return xy / yy, np.sqrt(xx), np.sqrt(yy)


def test_upright_digits_have_no_slant_and_one_size(px: Pixels) -> None:
    before = np.abs(shape_of(px)[0])
    slant, breadth, height = shape_of(stand(px, "upright"))
    assert np.quantile(np.abs(slant), 0.99) < 0.1 < np.median(before)
    # An upright stroke has no breadth to speak of, and is stretched only so far.
    assert np.allclose(np.median(breadth), 4.2, atol=0.1)
    assert np.quantile(np.abs(height - 5.2), 0.95) < 0.2


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_where_a_digit_lies_does_not_matter(across: int, down: int) -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[8:20, 10:13] = 200
    digit[9, 10:18] = 255
    moved = np.roll(digit, (down, across), axis=(0, 1))
    stood = stand(np.stack([digit, moved]).reshape(2, 784), "upright")
    assert (stood[0] == stood[1]).all()


def test_strokes_of_a_mirrored_digit_are_the_mirrored_strokes(px: Pixels) -> None:
    mirrored = px.reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)
    strokes, found = (sense(digits, "strokes").reshape(-1, 8, 9, 9) for digits in (px, mirrored))
    ways = [(4 - way) % 8 for way in range(8)]
    assert np.allclose(found, strokes[:, ways, :, ::-1], atol=1e-6)


def test_strokes_of_a_turned_digit_are_the_turned_strokes(px: Pixels) -> None:
    turned = np.rot90(px.reshape(-1, 28, 28), -1, axes=(1, 2)).reshape(-1, 784)
    strokes, found = (sense(digits, "strokes").reshape(-1, 8, 9, 9) for digits in (px, turned))
    ways = [(way - 2) % 8 for way in range(8)]
    assert np.allclose(found, np.rot90(strokes[:, ways], -1, axes=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_number_lies_between_0_and_1_and_blank_is_0(px: Pixels, aspect: Aspect) -> None:
    blank = np.zeros((2, 784), np.uint8)
    ink = to_ink(np.concatenate([px, blank]), (aspect,))
    assert (ink.dtype, ink.shape) == (np.dtype(np.float32), (len(px) + 2, width((aspect,))))
    assert ink[: len(px)].any(axis=1).all()
    assert not ink[len(px) :].any()
    assert ink.min() >= 0
    assert ink.max() <= 1
    assert to_ink(px[:0], (aspect,)).shape == (0, width((aspect,)))


def test_aspects_lie_side_by_side(px: Pixels) -> None:
    together = to_ink(px, ASPECTS)
    alone = [to_ink(px, (aspect,)) for aspect in ASPECTS]
    assert together.shape[1] == width(ASPECTS)
    assert (together == np.concatenate(alone, axis=1)).all()


def test_how_many_digits_are_seen_at_once_changes_nothing(px: Pixels) -> None:
    whole = to_ink(px, ASPECTS)
    assert np.allclose(np.concatenate([to_ink(row[None], ASPECTS) for row in px]), whole, atol=1e-6)


@pytest.mark.parametrize("aspects", [(), ["plain"], ("plain", "sideways"), ([],), "plain"])
def test_an_unknown_aspect_is_refused(aspects: object) -> None:
    with pytest.raises(ValueError, match="sees"):
        aspects_of(SimpleNamespace(aspects_=aspects))
