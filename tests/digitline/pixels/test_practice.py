"""Practice rows are renderings that the normaliser found, under the right names."""

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.hands import draw_line
from digitline.pixels.normalise import Diagnosis, resembles_mnist
from digitline.pixels.practice import Practice, _shows, practise, sketch

LABELS: NDArray[np.int8] = np.tile(np.arange(10, dtype=np.int8), 6)


def draw_digits() -> NDArray[np.uint8]:
    """Draw digits in MNIST's format from the pen's path."""
    lines = [draw_line(int(label), Dice(np.random.default_rng(label))) for label in LABELS]
    inked = [np.where(line[10:150, 10:150] < 8, 255, 0).astype(np.uint8) for line in lines]
    return np.stack([ink.reshape(28, 5, 28, 5).mean(axis=(1, 3)).astype(np.uint8) for ink in inked])


def make(seed: int) -> Practice:
    return practise(draw_digits(), LABELS, np.random.default_rng(seed))


def test_most_digits_become_practice_built_like_mnist() -> None:
    practice = make(1)
    assert 1.7 * len(LABELS) < len(practice.labels) <= 2 * len(LABELS)
    assert practice.digits.shape == (len(practice.labels), 28, 28)
    assert practice.labels.dtype == np.int8
    assert set(practice.labels.tolist()) == set(range(10))
    assert resembles_mnist(practice.digits).mean() > 0.8


def test_a_sketch_is_a_digit_written_afresh_and_built_like_mnist() -> None:
    sketches = np.stack(
        [sketch(place % 10, Dice(np.random.default_rng(place))) for place in range(200)]
    )
    assert resembles_mnist(sketches).mean() > 0.8
    inked = (sketches > 127).mean(axis=(1, 2))
    assert inked.min() > 0.02
    assert inked.max() < 0.4
    assert len(np.unique(sketches, axis=0)) == len(sketches)


def test_the_same_generator_makes_the_same_practice_and_another_does_not() -> None:
    first, again, other = make(1), make(1), make(2)
    np.testing.assert_array_equal(first.digits, again.digits)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.digits.shape != other.digits.shape or (first.digits != other.digits).any()


@pytest.mark.parametrize(
    ("box", "doubt", "shown"),
    [
        ((10, 10, 20, 30), "", True),
        ((12, 11, 19, 31), "", True),
        ((10, 10, 20, 30), "several", False),
        ((10, 30, 20, 10), "", False),
        ((60, 60, 20, 30), "", False),
    ],
)
def test_what_the_normaliser_lost_or_doubts_is_left_out(
    box: tuple[int, int, int, int], doubt: str, *, shown: bool
) -> None:
    ink = np.zeros((100, 100), np.uint8)
    ink[10:40, 10:30] = 255
    assert _shows(Diagnosis("dark", 0.1, 0.1, 200, box, (), doubt), ink) is shown
