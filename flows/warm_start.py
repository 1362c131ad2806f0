"""Where a training starts: from fresh weights, or from a model that has seen most of the rows."""

import logging
from collections.abc import Iterable
from pathlib import Path

from digitline.commit import read_manifest
from digitline.errors import IncompatibleError, NoModelError
from digitline.home import Home
from digitline.learning.network import check_start
from digitline.learning.parts import count_new_rows
from digitline.learning.recipe import Recipe
from digitline.models.card import Card
from digitline.models.draft import write_draft
from digitline.models.reading import network_of
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.provenance import digest_of
from tasks.train import Start

AUTO, FRESH = "auto", "fresh"
_log = logging.getLogger("digitline")


def find_start(
    wish: str, recipe: Recipe, train: Iterable[Path], home: Home, registry: Registry
) -> Start | None:
    """Find the network that training on the files `train` goes on from; `None` for fresh weights.

    `auto` is the champion where its recipe is the same and all its training rows are still
    there, beside new ones. Raises `SettingsError` where a version that was named does not fit.
    """
    files = tuple(train)
    if wish == FRESH:
        return None
    if wish != AUTO:
        card = registry.card(wish)
        return _start(card, recipe, _new_rows(card, files, home), home, registry)
    try:
        card = registry.card(registry.champion())
    except (NoModelError, IncompatibleError):
        return None
    same_recipe = card.recipe_digest == digest_of(recipe.model_dump(mode="json"))
    if not same_recipe or recipe.members > 1 or card.normaliser != NORMALISER:
        return None
    new = _new_rows(card, files, home)
    if not new:
        return None
    return _start(card, recipe, new, home, registry)


def _new_rows(card: Card, train: tuple[Path, ...], home: Home) -> int | None:
    """Count the rows the model has not seen; `None` where some have gone, or its are not kept."""
    for directory in home.splits.glob("*/"):
        manifest = read_manifest(directory)
        if manifest is not None and manifest.digest == card.data.manifest:
            return count_new_rows(sorted(directory.glob("train-*.parquet")), train)
    return None


def _start(
    card: Card, recipe: Recipe, new_rows: int | None, home: Home, registry: Registry
) -> Start:
    network = network_of(registry.load(card.version).estimator)
    check_start(network, recipe)
    path = home.checkpoints / f"{card.version}.start.joblib"
    return Start(
        version=card.version, network=path, sha256=write_draft(path, network), new_rows=new_rows
    )
