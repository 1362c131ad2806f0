from itertools import pairwise
from pathlib import Path

import pytest

from digitline.errors import SettingsError
from digitline.judging.demands import Gate
from digitline.learning.recipe import Recipe, load_recipe, recipe_knobs, recipe_names
from digitline.pixels.aspect import width
from digitline.pixels.distort import Distortion


def test_the_shipped_recipes_grow() -> None:
    assert set(recipe_names()) >= {"quick", "default", "best"}
    quick, default, best = map(load_recipe, ("quick", "default", "best"))
    assert sum(quick.hidden) < sum(default.hidden) < sum(best.hidden)
    assert quick.epochs < default.epochs < best.epochs


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_distorts(name: str) -> None:
    assert load_recipe(name).distortion.warps


@pytest.mark.parametrize("name", recipe_names())
def test_no_shipped_recipe_is_too_large_to_be_promoted(name: str) -> None:
    recipe = load_recipe(name)
    layers = (width(recipe.aspects), *(recipe.members * units for units in recipe.hidden), 10)
    weights = sum(before * after for before, after in pairwise(layers))
    assert 4 * weights < Gate().max_bytes


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("hidden = [7, 5]\nepochs = 3\n[distortion]\nrotation = 4.5\n")
    recipe = load_recipe(str(path))
    assert recipe == Recipe(hidden=(7, 5), epochs=3, distortion=Distortion(rotation=4.5))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("hidden = [", "not TOML"),
        ("epochs = 3", "`hidden`: Field required"),
        ("hidden = []\nepochs = 3", "`hidden`"),
        ("hidden = [0]\nepochs = 3", "`hidden.0`"),
        ("hidden = [9]\nepochs = 0", "`epochs`"),
        ("hidden = [9]\nepochs = 3\nrate = inf", "`rate`"),
        ("hidden = [9]\nepochs = 3\nspeed = 1", "`speed`"),
        ('hidden = [9]\nepochs = 3\naspects = ["sideways"]', "`aspects.0`"),
        ('hidden = [9]\nepochs = 3\naspects = ["plain", "strokes"]', "2 aspects for 1 members"),
        ('hidden = [9]\nepochs = 3\nmembers = 2\naspects = ["plain", "plain"]', "named twice"),
        ("hidden = [9]\nepochs = 3\n[distortion]\nrotation = -1", "`distortion.rotation`"),
    ],
)
def test_a_senseless_recipe_is_refused_in_one_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(path))
    assert part in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fastest", "", "../recipes/quick", "missing.toml", "/"])
def test_an_unknown_recipe_names_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError, match="no such recipe") as caught:
        load_recipe(name)
    assert "best, default, quick" in str(caught.value)


def test_a_recipe_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_recipe(str(path))


def test_every_knob_is_explained() -> None:
    knobs = {knob.name: knob for knob in recipe_knobs()}
    assert knobs["hidden"].default == "required"
    assert knobs["batch"].default == "500"
    assert "distortion.elastic" in knobs
    assert len(knobs) == len(Recipe.model_fields) - 1 + len(Distortion.model_fields)
    assert all(knob.description for knob in knobs.values())


def test_a_warm_start_takes_a_share_of_the_epochs_and_the_rate() -> None:
    recipe = Recipe(hidden=(5,), epochs=30, rate=0.01, warm_share=0.2)
    warmed = recipe.warmed()
    assert warmed == recipe.model_copy(update={"epochs": 6, "rate": 0.002})
    assert warmed.model_copy(update={"epochs": 1}).warmed().epochs == 1
