"""Train a challenger on the split rows; a killed training goes on from its last epoch."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.learning.fit import Epoch, Part, fit
from digitline.learning.recipe import Recipe
from digitline.models.draft import read_draft, write_draft
from digitline.progress import showing
from tasks import stage

_log = logging.getLogger("digitline")


class Start(BaseModel):
    """A network to go on from: the version it is from, and the file it lies in."""

    model_config = ConfigDict(frozen=True)

    version: str
    network: Path
    sha256: str
    new_rows: int | None
    """Training rows it had not seen; `None` where that is not known."""


class Trained(BaseModel):
    """A fitted network: the file it lies in, and how the fit went."""

    model_config = ConfigDict(frozen=True)

    draft: Path
    sha256: str
    curve: tuple[Epoch, ...]
    best_epoch: int
    validation_error: float
    seconds: float


@stage("train {name}", tags=("digitline", "training"))
def train_network(
    name: str,
    recipe: Recipe,
    parts: Sequence[Part],
    validation: Path,
    seed: int,
    draft: Path,
    start: Start | None = None,
) -> Trained:
    """Fit the recipe called `name` and write the network to `draft`.

    The checkpoint beside the draft lets a training that was killed go on, to the same result.
    """
    layers = f"{recipe.members} x {'-'.join(map(str, (*recipe.hidden, 10)))}"
    layers += f", aspects {' and '.join(recipe.aspects)}"
    epochs = recipe.members * (recipe if start is None else recipe.warmed()).epochs
    origin = "" if start is None else f", from {start.version}"
    _log.info("  train      recipe %s: %s, %s epochs%s", name, layers, epochs, origin)
    with showing("train", epochs) as advance:
        fitted = fit(
            recipe,
            parts,
            validation,
            seed=seed,
            checkpoint=draft.with_suffix(".npz"),
            start=None if start is None else read_draft(start.network, start.sha256),
            on_epoch=lambda epoch: advance(1, _describe(epoch)),
        )
    best = fitted.curve[fitted.best_epoch - 1]
    _log.info("  train      %.0f s; best %s", fitted.seconds, _describe(best))
    return Trained(
        draft=draft,
        sha256=write_draft(draft, fitted.model),
        curve=fitted.curve,
        best_epoch=fitted.best_epoch,
        validation_error=fitted.validation_error,
        seconds=fitted.seconds,
    )


def _describe(epoch: Epoch) -> str:
    return (
        f"epoch {epoch.number}: loss {epoch.train_loss:.4f}, "
        f"validation error {epoch.validation_error:.2%}"
    )
