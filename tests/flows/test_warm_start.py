"""A training may go on from the champion where only new rows came, and says so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.errors import NoModelError, SettingsError
from digitline.home import Home
from digitline.learning.recipe import load_recipe
from digitline.models.card import Card
from digitline.models.registry import Registry
from flows.retrain import retrain
from flows.warm_start import find_start

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
RECIPE = "hidden = [32]\nepochs = 8\nbatch = 50\nrate = 0.01\n"
# Of few rows, a first network reads little and certifies less.
PATIENT = {"DIGITLINE_GATE__MIN_ACCURACY": "0.5", "DIGITLINE_MAX_ERROR": "40%"}


def export(mnist: Mnist, folder: Path, rows: range) -> str:
    contents, labels = mnist
    for number in rows:
        place = folder / str(labels[number]) / f"{number:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents[number])
    return str(folder)


def card_of(root: Path, version: str) -> Card:
    home = Home(root)
    return Registry(home.models, home.keys).card(version)


@pytest.fixture(scope="module")
def grown(
    prefect_server: None, mnist: Mnist, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, Path]:
    """Retrain, add images to the folder, weigh them, and retrain: the home, and the recipe."""
    place = tmp_path_factory.mktemp("warm")
    recipe = place / "tiny.toml"
    recipe.write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITLINE_HOME", str(place / "home"))
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        retrain([export(mnist, place / "digits", range(800))], recipe=str(recipe))
        name = card_of(place / "home", "m0001").data.name
        patch.setenv("DIGITLINE_WEIGHTS", json.dumps({name: 2, "another": 3}))
        retrain([export(mnist, place / "digits", range(800, 1100))], recipe=str(recipe))
    return Home(place / "home"), recipe


@pytest.fixture
def copied(grown: tuple[Home, Path], home: Home) -> Home:
    shutil.copytree(grown[0].root, home.root, dirs_exist_ok=True)
    return home


def test_only_new_rows_start_from_the_champion(grown: tuple[Home, Path]) -> None:
    home, recipe = grown
    registry = Registry(home.models, home.keys)
    first, second = (registry.card(version) for version in ("m0001", "m0002"))
    assert (first.start, second.start) == (None, "m0001")
    metrics = json.loads((home.reports / second.run / "metrics.json").read_text())
    assert metrics["training"]["start"] == "m0001"
    assert metrics["training"]["new_rows"] == second.data.train.rows - first.data.train.rows > 0
    assert len(metrics["training"]["curve"]) == load_recipe(str(recipe)).warmed().epochs
    assert "went on from m0001" in (home.reports / second.run / "report.html").read_text()
    assert "began with fresh weights" in (home.reports / first.run / "report.html").read_text()
    assert not list(home.checkpoints.glob("*"))


def test_weight_of_a_data_set_is_on_the_card(grown: tuple[Home, Path]) -> None:
    first, second = (card_of(grown[0].root, version) for version in ("m0001", "m0002"))
    assert first.weights == {}
    assert second.weights == {first.data.name: 2}


def files(home: Home, version: str) -> list[Path]:
    registry = Registry(home.models, home.keys)
    rows = registry.card(version).data.train.rows
    found = [path for path in home.splits.glob("*/train-*.parquet") if _rows(path) == rows]
    assert len(found) == 1
    return found


def _rows(path: Path) -> int:
    manifest = json.loads((path.parent / "_MANIFEST.json").read_text())
    return next(int(shard["rows"]) for shard in manifest["shards"] if shard["name"] == path.name)


def test_fresh_weights_where_rows_have_gone(copied: Home, grown: tuple[Home, Path]) -> None:
    recipe = load_recipe(str(grown[1]))
    registry = Registry(copied.models, copied.keys)
    registry.promote("m0002", reason="try", run="test", created="2026-01-02T12:00:00Z")
    assert find_start("auto", recipe, files(copied, "m0001"), copied, registry) is None


def test_fresh_weights_for_another_recipe_or_when_asked(
    copied: Home, grown: tuple[Home, Path]
) -> None:
    recipe = load_recipe(str(grown[1]))
    registry = Registry(copied.models, copied.keys)
    registry.promote("m0001", reason="try", run="test", created="2026-01-02T12:00:00Z")
    now = files(copied, "m0002")
    other = recipe.model_copy(update={"rate": 0.5})
    assert find_start("auto", recipe, now, copied, registry) is not None
    assert find_start("auto", other, now, copied, registry) is None
    assert find_start("fresh", recipe, now, copied, registry) is None


def test_version_that_was_named_must_fit(copied: Home, grown: tuple[Home, Path]) -> None:
    recipe = load_recipe(str(grown[1]))
    registry = Registry(copied.models, copied.keys)
    wider = recipe.model_copy(update={"hidden": (33,)})
    now = files(copied, "m0002")
    start = find_start("m0001", recipe, now, copied, registry)
    assert start is not None
    assert start.version == "m0001"
    with pytest.raises(SettingsError, match="layers of 32"):
        find_start("m0001", wider, now, copied, registry)
    with pytest.raises(NoModelError):
        find_start("m0009", recipe, now, copied, registry)
