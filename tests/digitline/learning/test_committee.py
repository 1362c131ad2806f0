from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from digitline.errors import SettingsError
from digitline.learning.committee import aspect_of, member_seed, merge
from digitline.learning.fit import Epoch, Part, fit, member_checkpoint
from digitline.learning.network import new_model
from digitline.learning.recipe import Recipe
from digitline.pixels.aspect import Aspect, aspects_of, to_ink

Digits = tuple[NDArray[np.uint8], NDArray[np.int8]]
Write = Callable[[str, NDArray[np.uint8], NDArray[np.int8]], Path]

ASPECTS: tuple[Aspect, ...] = ("plain", "upright", "strokes")


@pytest.mark.parametrize("aspects", [("plain",), ("strokes", "upright"), ASPECTS])
@pytest.mark.parametrize("hidden", [(9,), (12, 7), (8, 6, 5)])
def test_a_committee_answers_with_the_geometric_mean(
    hidden: tuple[int, ...], aspects: tuple[Aspect, ...]
) -> None:
    recipe = Recipe(hidden=hidden, epochs=1, members=3, aspects=aspects)
    seen = [aspect_of(recipe, member) for member in range(3)]
    assert tuple(dict.fromkeys(seen)) == aspects
    members = [new_model(recipe, seed, (aspect,)) for seed, aspect in enumerate(seen)]
    for shift, member in enumerate(members):
        member.intercepts_ = [biases + np.float32(0.1 * shift) for biases in member.intercepts_]
    px = np.random.default_rng(0).integers(0, 256, (20, 784), np.uint8)
    logs = [np.log(member.predict_proba(to_ink(px, member.aspects_))) for member in members]
    merged = merge(members, recipe)
    found = merged.predict_proba(to_ink(px, aspects))
    assert aspects_of(merged) == aspects
    assert found == pytest.approx(softmax(np.mean(logs, axis=0), axis=1), abs=1e-5)
    assert merged.hidden_layer_sizes == tuple(3 * units for units in hidden)
    assert {array.dtype for array in merged.coefs_ + merged.intercepts_} == {np.dtype("float32")}


def test_each_member_has_a_seed_of_its_own() -> None:
    seeds = [member_seed(seed, member) for seed in (0, 1) for member in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert (member_seed(0, 0), member_seed(1, 0)) == (0, 1)


def test_a_committee_is_fitted_member_by_member_and_resumed(
    recipe: Recipe, write: Write, digits: Digits, tmp_path: Path
) -> None:
    px, labels = digits
    train, validation = write("train", px[:800], labels[:800]), write("v", px[800:], labels[800:])
    recipe = recipe.model_copy(update={"members": 2, "aspects": ("upright", "strokes")})
    checkpoint = tmp_path / "fit.npz"
    told: list[Epoch] = []

    def stop_half_way(epoch: Epoch) -> None:
        told.append(epoch)
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            recipe,
            [Part(train)],
            validation,
            seed=1,
            checkpoint=checkpoint,
            on_epoch=stop_half_way,
        )
    assert told[-1].number == 2
    assert len(told) <= 4
    assert checkpoint.exists() or member_checkpoint(checkpoint, 1).exists()
    resumed = fit(recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint)
    whole = fit(recipe, [Part(train)], validation, seed=1)
    assert 2 <= resumed.resumed < 8
    assert whole.resumed == 0
    assert [epoch.number for epoch in whole.curve] == [1, 2, 3, 4]
    assert all(map(np.array_equal, resumed.model.coefs_, whole.model.coefs_))
    with threadpool_limits(1):  # sums come out a little differently over two
        first = recipe.model_copy(update={"members": 1, "aspects": ("upright",)})
        alone = fit(first, [Part(train)], validation, seed=1)
    assert np.array_equal(whole.model.coefs_[0][:784, :32], alone.model.coefs_[0])
    ink = to_ink(px[800:], recipe.aspects)
    wrong = whole.model.predict(ink) != labels[800:]
    assert whole.validation_error == pytest.approx(wrong.mean())


def test_a_committee_begins_with_fresh_weights(
    recipe: Recipe, write: Write, digits: Digits
) -> None:
    train = write("train", *digits)
    committee = recipe.model_copy(update={"members": 2})
    with pytest.raises(SettingsError, match="committee"):
        fit(committee, [Part(train)], train, seed=1, start=new_model(recipe, 0))
