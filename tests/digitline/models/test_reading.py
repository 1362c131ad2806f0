import io
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.neural_network import MLPClassifier

from digitline.learning.calibration import calibrate
from digitline.learning.committee import merge
from digitline.learning.guard import Examples, fit_guard
from digitline.learning.network import new_model
from digitline.learning.recipe import Recipe
from digitline.models.bundle import predict
from digitline.models.lean import LEAN
from digitline.models.pickling import to_bytes
from digitline.models.reading import (
    BATCH,
    activations,
    attach_guard,
    diagonal_blocks,
    layers,
    pixel_weights,
    read,
    seen_by,
)
from digitline.models.unpickling import PARTS, unpickle
from digitline.pixels.aspect import PLAIN, Aspect, to_ink
from digitline.pixels.junk import draw_junk

Digits = NDArray[np.uint8]


@pytest.fixture(scope="module")
def digits(mnist: tuple[list[bytes], NDArray[np.int64]]) -> Digits:
    pictures = [np.asarray(Image.open(io.BytesIO(png))) for png in mnist[0][:2500]]
    return np.stack(pictures).reshape(-1, 784)


@pytest.fixture(scope="module", params=[PLAIN, ("upright", "strokes")], ids=" and ".join)
def guarded(
    request: pytest.FixtureRequest,
    digits: Digits,
    mnist: tuple[list[bytes], NDArray[np.int64]],
) -> CalibratedClassifierCV:
    truth = mnist[1][:2500]
    network = MLPClassifier((60, 30), early_stopping=True, random_state=0)
    network.aspects_ = request.param
    network.fit(to_ink(digits[:2000], request.param), truth[:2000])
    calibrated = calibrate(network, digits[2000:], truth[2000:].astype(np.int8))
    junk = draw_junk(2000, digits, np.random.default_rng(0))
    rows = activations(network, np.concatenate([digits[:2000], junk]))
    examples = Examples(rows, np.repeat([False, True], 2000))
    guard = fit_guard(lambda _: examples, seed=0)
    attach_guard(calibrated, guard)
    return calibrated


def test_one_pass_gives_what_scikit_learn_gives(
    guarded: CalibratedClassifierCV, digits: Digits
) -> None:
    many = np.tile(digits, (2, 1))[: BATCH + 100]
    reading = read(guarded, many)
    assert reading.probabilities.dtype == reading.oddness.dtype == np.float32
    assert np.allclose(reading.probabilities, predict(guarded, many), atol=1e-6)
    network = guarded.estimator.estimator
    seen = [*layers(network, to_ink(many, network.aspects_)), to_ink(many)]
    outputs = np.concatenate(seen, axis=1)
    assert np.allclose(activations(network, many), outputs, rtol=1e-3, atol=1e-6)
    chances = guarded.guard_.predict_proba(outputs)[:, 1]
    assert np.allclose(1 / (1 + np.exp(-reading.oddness)), chances, atol=1e-5)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4))
def test_blocks_along_a_diagonal_are_found(shapes: list[tuple[int, int]]) -> None:
    heights, widths = zip(*shapes, strict=True)
    whole = np.zeros((sum(heights), sum(widths)), np.float32)
    rows, columns = np.cumsum((0, *heights)).tolist(), np.cumsum((0, *widths)).tolist()
    expected = [
        (slice(*some), slice(*others))
        for some, others in zip(pairwise(rows), pairwise(columns), strict=True)
    ]
    for block in expected:
        whole[block] = 1
    assert diagonal_blocks(whole) == expected


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.just(0) | st.just(1),
    )
)
def test_beyond_the_blocks_of_any_matrix_all_is_zero(matrix: NDArray[np.float32]) -> None:
    rest = matrix.copy()
    for block in diagonal_blocks(matrix):
        rest[block] = 0
    assert not rest.any()


def test_where_a_digit_begins_and_ends_changes_nothing(
    guarded: CalibratedClassifierCV, digits: Digits
) -> None:
    shifted = np.concatenate([np.roll(digits[:60], 28 * lines, axis=1) for lines in range(-8, 9)])
    blank = np.zeros((3, 784), np.uint8)
    many = np.concatenate([blank, shifted, blank])
    reading = read(guarded, many)
    assert np.allclose(reading.probabilities, predict(guarded, many), atol=1e-6)
    alone = np.concatenate([read(guarded, row[None]).oddness for row in many[:200]])
    assert np.allclose(reading.oddness[:200], alone, atol=1e-4)


def test_a_guard_of_an_earlier_version_does_without_pixels(
    guarded: CalibratedClassifierCV, digits: Digits
) -> None:
    earlier = deepcopy(guarded)
    into, out = earlier.guard_.coefs_
    earlier.guard_.coefs_ = [into[:-784], out]
    blind = deepcopy(guarded)
    blind.guard_.coefs_[0][-784:] = 0
    assert np.allclose(read(earlier, digits).oddness, read(blind, digits).oddness, atol=1e-5)


def test_junk_it_never_saw_is_odder_than_digits(
    guarded: CalibratedClassifierCV, digits: Digits
) -> None:
    limit = np.quantile(read(guarded, digits[2000:]).oddness, 0.95)
    junk = draw_junk(500, digits, np.random.default_rng(1))
    assert np.mean(read(guarded, junk).oddness > limit) > 0.5


def test_guard_travels_with_the_model(
    guarded: CalibratedClassifierCV, digits: Digits, tmp_path: Path
) -> None:
    again = unpickle(to_bytes(guarded), tmp_path)
    before, after = read(guarded, digits[:50]), read(again, digits[:50])
    assert (before.oddness == after.oddness).all()
    assert (before.probabilities == after.probabilities).all()


@pytest.mark.parametrize("part", ["network", "calibrated"])
def test_a_lean_model_reads_what_scikit_learn_reads(
    guarded: CalibratedClassifierCV, digits: Digits, tmp_path: Path, part: str
) -> None:
    fitted = guarded.estimator.estimator if part == "network" else guarded
    lean = unpickle(to_bytes(fitted), tmp_path, LEAN)
    assert type(lean).__module__ == "digitline.models.lean"
    assert np.allclose(predict(lean, digits), predict(fitted, digits), atol=1e-6)
    ours, theirs = read(lean, digits), read(fitted, digits)
    assert np.allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    assert np.allclose(ours.oddness, theirs.oddness, atol=1e-4)


def test_what_a_network_sees_travels_with_it(
    guarded: CalibratedClassifierCV, tmp_path: Path
) -> None:
    network = guarded.estimator.estimator
    for fitted in (guarded, network):
        for stand_ins in (None, LEAN):
            again = unpickle(to_bytes(fitted), tmp_path, stand_ins)
            assert seen_by(again) == seen_by(fitted) == network.aspects_


@pytest.mark.parametrize(
    ("aspects", "rows"),
    [
        (("plain",), slice(0, 784)),
        (("strokes", "upright"), slice(648, 1432)),
        (("strokes",), None),
    ],
)
def test_weights_are_shown_of_units_that_see_pixels(
    aspects: tuple[Aspect, ...], rows: slice | None
) -> None:
    recipe = Recipe(hidden=(5, 3), epochs=1, members=len(aspects), aspects=aspects)
    network = merge([new_model(recipe, 0, (aspect,)) for aspect in aspects], recipe)
    weights = pixel_weights(network)
    if rows is None:
        assert weights is None
    else:
        assert weights is not None
        assert weights.shape == (784, 5)
        assert np.isin(weights, network.coefs_[0][rows]).all()


def test_every_part_has_a_stand_in() -> None:
    assert set(LEAN) == PARTS


def test_model_without_a_guard_finds_nothing_odd(
    guarded: CalibratedClassifierCV, digits: Digits
) -> None:
    network = guarded.estimator.estimator
    reading = read(network, digits[:20])
    assert not reading.odd.any()
    assert not reading.oddness.any()
    assert (reading.probabilities == predict(network, digits[:20])).all()


def test_nothing_to_read_gives_nothing(guarded: CalibratedClassifierCV) -> None:
    assert read(guarded, np.empty((0, 784), np.uint8)).probabilities.shape == (0, 10)
