"""Fresh weights: the seed alone decides, and units of the first layer have a place to look at."""

import numpy as np

from digitline.learning.network import new_model, weights_of
from digitline.learning.recipe import Recipe
from digitline.rows import SIDE

RECIPE = Recipe(hidden=(200, 20), epochs=1)


def test_the_seed_alone_decides() -> None:
    first, again, other = (weights_of(new_model(RECIPE, seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert all(weight.dtype == np.float32 for weight in first)


def test_a_unit_of_the_first_layer_begins_with_one_place_to_look_at() -> None:
    fields = new_model(RECIPE, 0).coefs_[0].reshape(SIDE, SIDE, -1)
    power = fields**2 / (fields**2).sum(axis=(0, 1))  # of each unit, 1 in sum
    place = np.arange(SIDE)
    for axis in (0, 1):
        along = power.sum(axis=axis)  # (28, units)
        centre = place @ along
        spread = np.sqrt(((place[:, None] - centre) ** 2 * along).sum(axis=0))
        assert spread.max() < SIDE / 6
        assert np.histogram(centre, bins=4, range=(2, 26))[0].min() > 20, "places cover the picture"


def test_all_units_begin_with_the_same_say() -> None:
    lengths = np.linalg.norm(new_model(RECIPE, 0).coefs_[0], axis=0)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
