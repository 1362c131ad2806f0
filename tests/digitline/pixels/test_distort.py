from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from digitline.pixels.distort import Distortion, distort

EVERYTHING = Distortion(
    rotation=15,
    scale=0.15,
    shear=0.2,
    shift=2,
    elastic=1.2,
    thickness=0.5,
    contrast=0.3,
    occlusion=0.3,
    ruling=0.3,
)


def strokes(count: int) -> NDArray[np.uint8]:
    """Draw `count` upright strokes four pixels wide, (count, 784)."""
    digits = np.zeros((count, 28, 28), np.uint8)
    digits[:, 6:22, 12:16] = 255
    return digits.reshape(count, 784)


def centres(digits: NDArray[np.uint8]) -> NDArray[np.float64]:
    ink = digits.reshape(-1, 28, 28).astype(float)
    place = np.arange(28)
    return np.stack([(ink.sum(axis) @ place) / ink.sum(axis=(1, 2)) for axis in (1, 2)], axis=1)


def draw(distortion: Distortion, count: int = 500, seed: int = 0) -> NDArray[np.uint8]:
    return distort(strokes(count), distortion, np.random.default_rng(seed))


def test_no_distortion_leaves_digits_as_they_are() -> None:
    assert np.array_equal(draw(Distortion()), strokes(500))


def test_the_given_digits_are_not_changed() -> None:
    digits = strokes(100)
    distort(digits, EVERYTHING, np.random.default_rng(0))
    assert np.array_equal(digits, strokes(100))


def test_a_seed_gives_the_same_digits_whatever_the_threads() -> None:
    def make(seed: int) -> NDArray[np.uint8]:
        return draw(EVERYTHING, 1500, seed)

    with threadpool_limits(1):
        alone = [make(seed) for seed in range(4)]
    with threadpool_limits(2), ThreadPoolExecutor(4) as pool:
        together = list(pool.map(make, range(4)))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(alone[0], alone[1])


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_any_number_of_digits_keeps_its_shape(count: int, seed: int) -> None:
    out = draw(EVERYTHING, count, seed)
    assert out.shape == (count, 784)
    assert out.dtype == np.uint8


def test_no_ink_comes_from_a_neighbour() -> None:
    digits = np.full((40, 784), 255, np.uint8)
    digits[::2] = 0
    warps = Distortion(rotation=90, scale=0.5, shear=1, shift=14, elastic=8, thickness=1)
    out = distort(digits, warps, np.random.default_rng(0))
    assert not out[::2].any()
    assert out[1::2].any(axis=1).all()


def test_shift_moves_evenly_up_to_its_limit() -> None:
    moved = centres(draw(Distortion(shift=3))) - centres(strokes(1))
    assert np.abs(moved).max() <= 3.1
    assert np.abs(moved).max() > 2.8
    assert np.abs(moved.mean(axis=0)).max() < 0.3


def test_rotation_turns_up_to_its_limit() -> None:
    ink = draw(Distortion(rotation=30)).reshape(-1, 28, 28).astype(float)
    down, across = np.mgrid[:28, :28] - 13.5
    moment = np.array(
        [
            (ink * a * b).sum(axis=(1, 2))
            for a, b in ((across, across), (across, down), (down, down))
        ]
    )
    angle = np.rad2deg(np.arctan2(2 * moment[1], moment[2] - moment[0])) / 2
    assert 27 < np.abs(angle).max() < 32
    assert abs(angle.mean()) < 3


def test_scale_changes_the_ink_both_ways() -> None:
    ink = draw(Distortion(scale=0.2)).sum(axis=1) / strokes(1).sum()
    assert ink.min() < 0.8
    assert ink.max() > 1.2


def test_elastic_fields_have_the_asked_strength() -> None:
    weak, strong = (
        np.abs(draw(Distortion(elastic=strength)).astype(float) - strokes(500)).mean()
        for strength in (0.5, 1.5)
    )
    assert 0 < weak < strong
    moved = centres(draw(Distortion(elastic=1, smoothness=28), 2000)) - centres(strokes(1))
    # A field smoother than the digit is wide shifts it as a whole.
    assert moved.std(axis=0) == pytest.approx([1, 1], abs=0.1)


def test_thickness_thickens_and_thins() -> None:
    ink = draw(Distortion(thickness=1)).sum(axis=1) / strokes(1).sum()
    assert ink.min() < 0.6
    assert ink.max() > 1.4


def test_contrast_fades_ink_and_leaves_paper() -> None:
    out = draw(Distortion(contrast=0.5))
    assert 160 < out.max(axis=1).min() < 180
    assert out.max() == 255
    assert not out[:, strokes(1)[0] == 0].any()


def test_occlusion_wipes_a_share_of_the_digits() -> None:
    out = distort(
        np.full((2000, 784), 255, np.uint8), Distortion(occlusion=0.25), np.random.default_rng(0)
    )
    wiped = (out == 0).sum(axis=1)
    assert np.mean(wiped > 0) == pytest.approx(0.25, abs=0.03)
    assert wiped.max() <= 36


def test_rulings_are_drawn_on_a_share_of_the_digits_near_the_rim() -> None:
    out = distort(
        np.zeros((2000, 784), np.uint8), Distortion(ruling=0.25), np.random.default_rng(0)
    ).reshape(-1, 28, 28)
    assert np.mean(out.any(axis=(1, 2))) == pytest.approx(0.25, abs=0.03)
    assert not out[:, 5:23, 5:23].any()


@pytest.mark.parametrize("wrong", [{"rotation": -1}, {"elastic": float("nan")}, {"twist": 1}])
def test_senseless_strengths_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Distortion(**wrong)
