"""Renderings repeat to the byte, cover what is promised, and can be read back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.hands import draw_line, outline, trace
from digitline.pixels.looks import draw_look
from digitline.pixels.render import Rendering, render, render_many, write


def draw_digits(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw digits in MNIST's format from the pen's path."""
    labels = np.arange(count) % 10
    lines = [draw_line(int(label), Dice(np.random.default_rng(label))) for label in labels]
    inked = [np.where(line[10:150, 10:150] < 8, 255, 0).astype(np.uint8) for line in lines]
    small = [ink.reshape(28, 5, 28, 5).mean(axis=(1, 3)).astype(np.uint8) for ink in inked]
    return np.stack(small), labels


def make(count: int, seed: int) -> list[Rendering]:
    return list(render_many(*draw_digits(count), seed))


def test_the_same_seed_makes_the_same_bytes() -> None:
    for one, other in zip(make(12, 5), make(12, 5), strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)
        assert one.look == other.look


def test_a_rendering_does_not_depend_on_those_before_it() -> None:
    digits, labels = draw_digits(6)
    few = list(render_many(digits[:3], labels[:3], 9))
    many = list(render_many(digits, labels, 9))
    for one, other in zip(few, many[:3], strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)


def test_another_seed_makes_other_pictures() -> None:
    same = [
        one.picture.shape == other.picture.shape and np.array_equal(one.picture, other.picture)
        for one, other in zip(make(6, 1), make(6, 2), strict=True)
    ]
    assert not any(same)


def test_looks_cover_what_life_brings() -> None:
    looks = [draw_look(Dice(np.random.default_rng(seed))) for seed in range(600)]
    assert {look.kind for look in looks} == {"photo", "scan", "form", "drawing", "tiny", "board"}
    rulings = {look.scene.ruling for look in looks}
    assert rulings == {"none", "box", "corner", "line", "table", "grid", "axis", "bar"}
    light = [sum(look.scene.ink) > sum(look.scene.paper) for look in looks]
    assert 0.1 < np.mean(light) < 0.5
    heights = [look.camera.height for look in looks]
    assert min(heights) < 12
    assert max(heights) > 500
    framings = [look.camera.framing for look in looks]
    assert 0.39 <= min(framings) < 0.45
    assert 0.95 < max(framings) <= 1.0
    widths = [look.pen.width for look in looks]
    assert min(widths) < 0.02
    assert max(widths) > 0.18


def test_pictures_have_the_size_of_their_camera_and_show_ink() -> None:
    for rendering in make(20, 3):
        camera, picture = rendering.look.camera, rendering.picture
        assert picture.shape[0] == camera.height
        assert camera.tight or picture.shape[1] == camera.width
        assert picture.dtype == np.uint8
        assert rendering.ink.shape == picture.shape[:2]
        assert rendering.ink.max() > 100
        assert np.ptp(picture) > 15


def test_a_traced_line_runs_inside_the_digit() -> None:
    digit = draw_digits(4)[0][3]
    on_line, inside = trace(digit) < 1, outline(digit) < 0
    assert on_line.any()
    assert (on_line & ~inside).sum() < 0.02 * on_line.sum()
    assert on_line.sum() < 0.5 * inside.sum()


@pytest.mark.parametrize("own", [True, False])
def test_one_digit_can_be_rendered_in_one_look(*, own: bool) -> None:
    dice = Dice(np.random.default_rng(4))
    look = draw_look(dice)
    picture = render(write(draw_digits(1)[0][0], own=own), look, dice)
    assert picture.shape[0] == look.camera.height
