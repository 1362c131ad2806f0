"""The fitting loop around `MLPClassifier`: distort, step, average, validate, keep the best."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.commit import file_digest
from digitline.errors import TrainingError
from digitline.learning.calibration import calibrated_loss
from digitline.learning.checkpoint import Progress, load, save
from digitline.learning.committee import aspect_of, member_seed, merge
from digitline.learning.epoch import Epoch, average
from digitline.learning.feed import Feed
from digitline.learning.network import (
    check_start,
    copy_weights,
    new_model,
    step_through,
    weights_of,
)
from digitline.learning.optimiser import Adam, Schedule, Weights, install, strip
from digitline.learning.recipe import Recipe
from digitline.learning.side_by_side import Stopped, one_at_a_time, side_by_side
from digitline.learning.stream import Part, count_labels
from digitline.pixels.aspect import Aspect, aspects_of, to_ink
from digitline.rows import labels, pixels, read_batches

__all__ = ["Epoch", "Fitted", "Part", "fit", "plan_digest"]

FEWEST_ROWS = 20
# Changes whenever the same plan would give another result than before.
_VERSION = "3"


@dataclass(frozen=True)
class Fitted:
    """What a training gives."""

    model: MLPClassifier
    curve: tuple[Epoch, ...]  # of a committee, its members' mean
    best_epoch: int  # whose averaged weights the model has; of a committee, the best on average
    validation_error: float  # of the model
    seconds: float  # of all epochs, over every resumption
    rows: int
    warm: bool  # started from an earlier model
    resumed: int  # epochs taken from a checkpoint
    stopped_early: bool


def fit(
    recipe: Recipe,
    train: Sequence[Part],
    validation: Path,
    *,
    seed: int,
    checkpoint: Path | None = None,
    start: MLPClassifier | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fitted:
    """Train a network on normalised rows and keep its best averaged weights.

    With a `checkpoint` file, a training that was killed goes on after its last whole epoch and
    ends with the same weights, bit for bit; the file stays, for the caller to remove. `start` is
    a fitted model to go on from, by the shorter plan of `Recipe.warmed`. The members of a
    committee are trained side by side, a core each. The model expects px / 255 in float32.

    Raises `TrainingError` for fewer than 20 rows, a single digit, a missing label, a loss that is
    not a number, a checkpoint of another training; `SettingsError` for a `start` that does not fit.
    """
    counts = _check_rows(train, validation)
    if start is not None:
        check_start(start, recipe)
        recipe = recipe.warmed()
    tell = one_at_a_time(on_epoch)

    def fit_member(member: int, stop: Event) -> _Training:
        own_seed = member_seed(seed, member)
        aspect = aspect_of(recipe, member)
        training = _Training(recipe, train, validation, own_seed, counts, aspect)
        if start is not None:
            training.start_from(start)
        plan = plan_digest(recipe, train, validation, seed=own_seed, start=start)
        place = None if checkpoint is None else member_checkpoint(checkpoint, member)
        training.run(place, plan, tell, stop)
        return training

    trainings = side_by_side(fit_member, recipe.members)
    model = merge([training.finish() for training in trainings], recipe)
    curve = average([training.curve for training in trainings])
    best = min(curve, key=lambda epoch: epoch.validation_loss)
    return Fitted(
        model=model,
        curve=curve,
        best_epoch=best.number,
        validation_error=_validate(model, validation)[1],
        seconds=sum(epoch.seconds for epoch in curve),
        rows=int(counts.sum()),
        warm=start is not None,
        resumed=sum(training.resumed for training in trainings),
        stopped_early=any(len(one.curve) < recipe.epochs for one in trainings),
    )


def member_checkpoint(checkpoint: Path, member: int) -> Path:
    """Name the checkpoint of a member of a committee; the first one's is that of the training."""
    return checkpoint if member == 0 else checkpoint.with_stem(f"{checkpoint.stem}-{member}")


def plan_digest(
    recipe: Recipe,
    train: Sequence[Part],
    validation: Path,
    *,
    seed: int,
    start: MLPClassifier | None = None,
) -> str:
    """Digest all that determines a training's result, as 64 hex digits; names its checkpoint."""
    parts = [f"{file_digest(part.path)} {part.weight!r}" for part in train]
    origin = "" if start is None else _weights_digest(weights_of(start))
    lines = (_VERSION, recipe.model_dump_json(), str(seed), file_digest(validation), origin)
    return hashlib.sha256("\n".join([*lines, *parts]).encode()).hexdigest()


class _Training:
    """The state of a training between two epochs."""

    def __init__(
        self,
        recipe: Recipe,
        train: Sequence[Part],
        validation: Path,
        seed: int,
        counts: NDArray[np.int64],
        aspect: Aspect,
    ) -> None:
        self._recipe = recipe
        self._validation = validation
        self._feed = Feed(recipe, train, counts, seed, aspect)
        steps = self._feed.steps()
        self._optimiser = Adam(_schedule(recipe, steps), recipe.averaging * steps[-1])
        self._model = new_model(recipe, seed, (aspect,))
        self._optimiser.begin(weights_of(self._model))
        install(self._model, self._optimiser)
        self.curve: list[Epoch] = []
        self.best_epoch = 0
        self.resumed = 0
        self._best = [weight.copy() for weight in self._optimiser.mean]

    @property
    def is_over(self) -> bool:
        """Whether all epochs have run, or the last ones brought nothing."""
        run, patience = len(self.curve), self._recipe.patience
        stale = 0 < patience <= run - self.best_epoch
        return run >= self._recipe.epochs or stale

    def start_from(self, model: MLPClassifier) -> None:
        """Take over the weights of an earlier model."""
        copy_weights(weights_of(model), weights_of(self._model))
        self._optimiser.begin(weights_of(self._model))

    def run(
        self, checkpoint: Path | None, plan: str, on_epoch: Callable[[Epoch], None], stop: Event
    ) -> None:
        """Run all epochs that are left."""
        if checkpoint is not None:
            self.load(checkpoint, plan)
        for epoch in self.curve:
            on_epoch(epoch)
        while not self.is_over:
            epoch = self.run_epoch(stop)
            if checkpoint is not None:
                self.save(checkpoint, plan)
            on_epoch(epoch)

    def run_epoch(self, stop: Event) -> Epoch:
        """Pass over the training rows once, then validate; raise `Stopped` when told to stop."""
        began = time.perf_counter()
        number = len(self.curve) + 1
        if self._feed.hardness.is_due(number):
            self._look(number)
        losses, counts = [], []
        for meal in self._feed.epoch(number):
            if stop.is_set():
                raise Stopped
            losses.append(step_through(self._model, meal, self._recipe.batch))
            counts.append(len(meal.labels))
        with self._averaged() as model:
            loss, error = _validate(model, self._validation)
        epoch = Epoch(
            number=number,
            of=self._recipe.epochs,
            train_loss=float(np.average(losses, weights=counts)),
            validation_loss=loss,
            validation_error=error,
            rate=self._optimiser.schedule.rate(self._optimiser.step - 1),
            seconds=time.perf_counter() - began,
        )
        if not self.curve or loss < self.curve[self.best_epoch - 1].validation_loss:
            self.best_epoch = number
            copy_weights(self._optimiser.mean, self._best)
        self.curve.append(epoch)
        return epoch

    def save(self, path: Path, plan: str) -> None:
        """Write the state to a checkpoint."""
        progress = Progress(
            plan=plan,
            step=self._optimiser.step,
            seen=self._model.t_,
            best_epoch=self.best_epoch,
            curve=tuple(self.curve),
        )
        save(path, progress, self._state())

    def load(self, path: Path, plan: str) -> None:
        """Take up the state of an earlier process, where there is a checkpoint."""
        progress = load(path, plan, self._state())
        if progress is not None:
            self._optimiser.step = progress.step
            self._model.t_ = progress.seen
            self.best_epoch = progress.best_epoch
            self.curve = list(progress.curve)
            self.resumed = len(self.curve)

    def finish(self) -> MLPClassifier:
        """Give the model with its best weights, and without what only training needs."""
        copy_weights(self._best, weights_of(self._model))
        strip(self._model)
        self._model.set_params(batch_size=self._recipe.batch)
        self._model.n_iter_ = len(self.curve)
        self._model.loss_curve_ = [epoch.train_loss for epoch in self.curve]
        return self._model

    def _state(self) -> dict[str, NDArray[np.float32]]:
        kinds = {
            "weight": weights_of(self._model),
            "first": self._optimiser.first,
            "second": self._optimiser.second,
            "mean": self._optimiser.mean,
            "best": self._best,
        }
        arrays = {
            f"{kind}_{place}": array
            for kind, arrays in kinds.items()
            for place, array in enumerate(arrays)
        }
        return {"hardness": self._feed.hardness.losses, **arrays}

    def _look(self, number: int) -> None:
        """Look up how hard each training row is for the averaged weights."""
        first = 0
        with self._averaged() as model:
            for meal in self._feed.look(number):
                chances = model.predict_proba(meal.digits)
                self._feed.hardness.note(first, _losses(chances, meal.labels))
                first += len(meal.labels)

    @contextmanager
    def _averaged(self) -> Iterator[MLPClassifier]:
        """Lend the model with its averaged weights."""
        own = self._model.coefs_, self._model.intercepts_
        layers = len(own[0])
        mean = self._optimiser.mean
        self._model.coefs_, self._model.intercepts_ = mean[:layers], mean[layers:]
        try:
            yield self._model
        finally:
            self._model.coefs_, self._model.intercepts_ = own


def _validate(model: MLPClassifier, rows: Path) -> tuple[float, float]:
    """Give the mean loss and the share of errors on the rows of a file.

    The loss is that at the temperature that suits it best, which calibration will set: a network
    that is only too sure of itself is none the worse for it.
    """
    aspects = aspects_of(model)
    answers = [
        (model.predict_proba(to_ink(pixels(batch), aspects)), labels(batch))
        for batch in read_batches(rows, ["label", "px"])
    ]
    chances = np.concatenate([found for found, _ in answers])
    truth = np.concatenate([known for _, known in answers])
    return calibrated_loss(chances, truth), float(np.mean(chances.argmax(axis=1) != truth))


def _losses(chances: NDArray[np.float32], truth: NDArray[np.int8]) -> NDArray[np.float32]:
    """Give the cross-entropy of each of n rows, (n,)."""
    right = chances[np.arange(len(truth)), truth]
    losses: NDArray[np.float32] = -np.log(np.maximum(right, 1e-30))
    return losses


def _check_rows(train: Sequence[Part], validation: Path) -> NDArray[np.int64]:
    """Count the digits, (10,), and raise `TrainingError` where they are not worth training on."""
    counts = sum((count_labels(part.path) for part in train), np.zeros(10, np.int64))
    if counts.sum() < FEWEST_ROWS:
        raise TrainingError(
            f"{counts.sum()} training rows, but at least {FEWEST_ROWS} are needed",
            todo="Add labelled images",
        )
    if np.count_nonzero(counts) == 1:
        raise TrainingError(
            f"every training row is a {counts.argmax()}", todo="Add images of other digits"
        )
    if not count_labels(validation).sum():
        raise TrainingError("no rows to validate with", where=validation, todo="Add images")
    return counts


def _schedule(recipe: Recipe, steps: Sequence[int]) -> Schedule:
    """Turn the recipe's epochs into steps, of which `steps` tells how many each takes."""
    return Schedule(
        highest=recipe.rate,
        warm_up=round(recipe.warm_up * steps[0]),
        total=sum(steps),
        final=recipe.final_rate,
    )


def _weights_digest(weights: Weights) -> str:
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.tobytes())
    return digest.hexdigest()
