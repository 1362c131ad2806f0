"""Traits of pictures: each follows the change it is named after."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.pixels.normalise import normalise
from digitline.pixels.traits import TRAITS, measure_traits

Picture = NDArray[np.uint8]


def draw(size: int = 160, *, pen: int = 12, ink: int = 20, paper: int = 230) -> Picture:
    """Draw a 3, half as high as its square sheet."""
    sheet: Picture = np.full((size, size), paper, np.uint8)
    for middle in (-20, 14):
        centre = (size // 2 - 4, size // 2 + middle)
        cv2.ellipse(sheet, centre, (20, 17), 0, -120, 100, float(ink), pen, cv2.LINE_AA)
    return sheet


def traits_of(picture: Picture) -> dict[str, float]:
    (row,) = measure_traits([picture], normalise([picture]))
    return dict(zip(TRAITS, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "changed", "higher"),
    [
        ("polarity", draw(ink=230, paper=20), True),
        ("contrast", draw(ink=150), False),
        ("framing", draw(320), False),
        ("stroke", draw(pen=6), False),
        ("focus", cv2.GaussianBlur(draw(), (0, 0), 3), True),
    ],
)
def test_a_trait_follows_its_change(name: str, changed: Picture, *, higher: bool) -> None:
    usual, now = traits_of(draw()), traits_of(np.asarray(changed, np.uint8))
    assert (now[name] > usual[name]) == higher
    assert abs(now[name] - usual[name]) > 0.2 * max(now[name], usual[name])


def test_a_finished_digit_and_its_negative_differ_in_polarity_alone() -> None:
    digit = normalise([draw()]).digits[0]
    one, other = traits_of(digit), traits_of(~digit)
    assert (one.pop("polarity"), other.pop("polarity")) == (1, 0)
    assert one == other
    assert one["contrast"] == 255
    assert 0.05 < one["stroke"] < 0.35


def test_a_blank_picture_has_none() -> None:
    assert np.isnan(list(traits_of(np.full((50, 50), 255, np.uint8)).values())).all()
    assert np.isnan(list(traits_of(np.zeros((28, 28), np.uint8)).values())).all()
