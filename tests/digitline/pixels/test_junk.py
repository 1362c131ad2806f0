import numpy as np

from digitline.pixels.junk import draw_junk, fit_into_frame


def test_junk_lies_in_the_frame_as_a_digit_would() -> None:
    digits = np.zeros((3, 28, 28), np.uint8)
    digits[:, 6:22, 12:16] = 255
    junk = draw_junk(120, digits.reshape(3, -1), np.random.default_rng(0)).reshape(-1, 28, 28)
    inked = junk.any(axis=(1, 2))
    assert inked.mean() > 0.95
    centres = [np.average(np.arange(28), weights=picture.sum(axis=0)) for picture in junk[inked]]
    assert np.all(np.abs(np.array(centres) - 13.5) < 2)
    assert len({picture.tobytes() for picture in junk}) > 100


def test_same_seed_draws_the_same_junk() -> None:
    digits = np.random.default_rng(0).integers(0, 255, (5, 784)).astype(np.uint8)
    first, second = (draw_junk(40, digits, np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()


def test_ink_fills_a_box_of_twenty() -> None:
    canvas = np.zeros((64, 64), np.uint8)
    canvas[10:50, 30:35] = 255
    rows = np.flatnonzero((fit_into_frame(canvas) > 100).any(axis=1))
    assert abs(len(rows) - 20) <= 1


def test_nothing_stays_nothing() -> None:
    assert not fit_into_frame(np.zeros((64, 64), np.uint8)).any()
