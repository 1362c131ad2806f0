"""MNIST passes unchanged; everything else comes out built like MNIST, one picture at a time."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitline.pixels.normalise import normalise, resembles_mnist

Picture = NDArray[np.uint8]


def draw_digit(size: int = 120, *, pen: int = 10, ink: int = 30, paper: int = 220) -> Picture:
    """Draw a 3 with `pen` wide strokes in the middle of a square sheet."""
    sheet: Picture = np.full((size, size), paper, np.uint8)
    unit = size / 120
    for middle in (42, 76):
        centre = (round(56 * unit), round(middle * unit))
        axes = (round(20 * unit), round(17 * unit))
        cv2.ellipse(sheet, centre, axes, 0, -120, 100, float(ink), pen, cv2.LINE_AA)
    return sheet


def draw_mnist() -> Picture:
    """Build a digit the MNIST way."""
    digit: Picture = normalise([draw_digit()]).digits[0]
    assert resembles_mnist(digit[None])[0]
    return digit


def likeness(one: Picture, other: Picture) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def test_a_digit_comes_out_built_like_mnist() -> None:
    normalised = normalise([draw_digit()])
    assert normalised.digits.shape == (1, 28, 28)
    assert normalised.digits.dtype == np.uint8
    assert resembles_mnist(normalised.digits)[0]
    diagnosis = normalised.diagnoses[0]
    assert diagnosis.polarity == "dark"
    assert diagnosis.doubt == ""
    assert diagnosis.contrast == pytest.approx(190, abs=25)
    left, top, width, height = diagnosis.box
    assert abs(left - 34) < 8
    assert abs(top - 20) < 4
    assert abs(height - 78) < 6
    assert abs(width - 47) < 10


def test_mnist_passes_bit_for_bit_in_either_polarity() -> None:
    digit = draw_mnist()
    normalised = normalise([digit, 255 - digit, np.dstack([digit] * 3)])
    for row in normalised.digits:
        np.testing.assert_array_equal(row, digit)
    assert [seen.polarity for seen in normalised.diagnoses] == ["light", "dark", "light"]


def test_a_stack_of_mnist_passes_whole() -> None:
    stack = np.stack([draw_mnist()] * 5)
    np.testing.assert_array_equal(normalise(stack).digits, stack)


@pytest.mark.parametrize("size", [8, 16, 32, 120, 700])
def test_any_size_and_polarity_gives_nearly_the_same_digit(size: int) -> None:
    whole = draw_digit(480, pen=44)[60:400, 90:400]
    picture = np.asarray(cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    expected = normalise([whole]).digits[0]
    for image in (picture, 255 - picture, np.dstack([picture] * 3)):
        assert likeness(normalise([image]).digits[0], expected) > (0.8 if size < 16 else 0.9)


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (3, 200), (50, 40, 3)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_is_a_zero_digit_in_doubt(shape: tuple[int, ...], value: int) -> None:
    normalised = normalise([np.full(shape, value, np.uint8)])
    assert not normalised.digits.any()
    assert normalised.diagnoses[0].doubt == "blank"


def test_no_pictures_give_no_digits() -> None:
    normalised = normalise([])
    assert normalised.digits.shape == (0, 28, 28)
    assert normalised.diagnoses == ()


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    colour=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 5, 256]),
)
def test_any_picture_gives_a_digit(
    height: int, width: int, *, colour: bool, seed: int, levels: int
) -> None:
    shape = (height, width, 3) if colour else (height, width)
    noise = np.random.default_rng(seed).integers(0, levels, shape) * (255 // (levels - 1))
    normalised = normalise([noise.astype(np.uint8)])
    assert normalised.digits.shape == (1, 28, 28)
    diagnosis = normalised.diagnoses[0]
    assert normalised.digits.any() or diagnosis.doubt
    assert 0 <= diagnosis.ink_share <= 1


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_a_digit_never_depends_on_its_neighbours(order: list[int], cut: int) -> None:
    mnist = draw_mnist()
    pictures = [
        mnist,
        255 - mnist,
        draw_digit(28, pen=3),
        draw_digit(28, pen=2),
        draw_digit(60, pen=5),
        draw_digit(300, pen=6),
    ]
    alone = [normalise([picture]) for picture in pictures]
    chosen = order[:cut]
    together = normalise([pictures[place] for place in chosen])
    for row, diagnosis, place in zip(together.digits, together.diagnoses, chosen, strict=True):
        np.testing.assert_array_equal(row, alone[place].digits[0])
        assert diagnosis == alone[place].diagnoses[0]
