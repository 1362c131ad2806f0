"""An `MLPClassifier` ready to be fitted: its weights drawn, copied or averaged by us."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted

from digitline.errors import SettingsError, TrainingError
from digitline.learning.feed import Meal
from digitline.learning.optimiser import Weights
from digitline.learning.recipe import Recipe
from digitline.pixels.aspect import PLAIN, Aspect, aspects_of, width
from digitline.rows import PIXELS, SIDE

CLASSES = np.arange(10)
# How far a fresh unit of the first layer sees, and how fine, as standard deviations in pixels.
_REACH, _GRAIN = 3.0, 0.7
# No unit is to look at the edges, where there is hardly ever ink.
_EDGE = 3
# The length of a fresh unit's weights: more than the sqrt(2) of a unit that sees all of the
# picture, for under its field of view there is little ink, or much.
_LENGTH = 2.26


def new_model(recipe: Recipe, seed: int, aspects: tuple[Aspect, ...] = PLAIN) -> MLPClassifier:
    """Make a classifier of all ten digits with fresh weights, in float32.

    A first layer that looks at pixels begins with receptive fields, the others are drawn as in He
    et al., "Delving deep into rectifiers" (ICCV 2015).
    """
    model = MLPClassifier(
        hidden_layer_sizes=recipe.hidden,
        alpha=recipe.alpha,
        batch_size=len(CLASSES),
        learning_rate_init=recipe.rate,
        shuffle=False,
        random_state=seed,
    )
    # The first call sizes the layers for the classes; what it learns is overwritten.
    model.partial_fit(
        np.zeros((len(CLASSES), width(aspects)), np.float32), CLASSES, classes=CLASSES
    )
    rng = np.random.default_rng([seed, 0])
    for layer, biases in zip(model.coefs_, model.intercepts_, strict=True):
        bound = np.sqrt(6 / layer.shape[0])
        layer[...] = rng.uniform(-bound, bound, layer.shape)
        biases[...] = 0
    if len(model.coefs_[0]) == PIXELS:
        model.coefs_[0][...] = _receptive_fields(recipe.hidden[0], rng)
    model.coefs_[-1] *= np.sqrt(1 / 2)  # no rectifier follows the last layer
    model.aspects_ = aspects
    return model


def _receptive_fields(units: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw weights that each see one place of the picture, (784, units).

    A perceptron that begins with the eyes of a convolutional network ends better than one that
    must find out which pixels are neighbours: d'Ascoli et al., "Finding the needle in the
    haystack with convolutions" (NeurIPS 2019). Here it is smooth noise under a window; training
    is free to leave it.
    """
    place = np.arange(SIDE, dtype=np.float32)
    rows, columns = rng.uniform(_EDGE, SIDE - _EDGE, (2, units))
    across, down = (
        np.exp(-((place[:, None] - centres) ** 2) / (2 * _REACH**2)) for centres in (columns, rows)
    )
    noise = rng.standard_normal((SIDE, SIDE, units), dtype=np.float32)
    fields = gaussian_filter(noise, (_GRAIN, _GRAIN, 0)) * down[:, None] * across[None]
    fields = fields.reshape(PIXELS, units)
    return np.asarray(fields * (_LENGTH / np.linalg.norm(fields, axis=0)), np.float32)


def weights_of(model: MLPClassifier) -> Weights:
    """List the arrays a model learns, in the order its optimiser sees them; not copies."""
    return [*model.coefs_, *model.intercepts_]


def copy_weights(source: Iterable[NDArray[np.float32]], target: Weights) -> None:
    """Copy weights into the arrays of `target`; the shapes must agree."""
    for array, place in zip(source, target, strict=True):
        if array.shape != place.shape:
            raise ValueError(f"weights of shape {array.shape} do not fit {place.shape}")
        place[...] = array


def check_start(start: MLPClassifier, recipe: Recipe) -> None:
    """Raise `SettingsError` unless training may start from `start`."""
    check_is_fitted(start)
    layers = tuple(len(biases) for biases in start.intercepts_[:-1])
    inputs = start.coefs_[0].shape[0]
    wanted = width(recipe.aspects)
    if (inputs, layers) != (wanted, recipe.hidden) or start.activation != "relu":
        raise SettingsError(
            f"the model to start from has {inputs} inputs and layers of {_listed(layers)} "
            f"({start.activation}) where the recipe wants {wanted} and {_listed(recipe.hidden)}",
            todo="Train from the start, or with the model's own recipe",
        )
    if recipe.members > 1:
        raise SettingsError(
            "a committee begins with fresh weights", todo="Leave `start` at `fresh`"
        )
    if aspects_of(start) != recipe.aspects:
        raise SettingsError(
            f"the model to start from sees digits {_named(aspects_of(start))}, "
            f"the recipe wants them {_named(recipe.aspects)}",
            todo="Train from the start, or with the model's own recipe",
        )
    if not np.array_equal(start.classes_, CLASSES):
        raise SettingsError(
            "the model to start from does not know all ten digits", todo="Train from the start"
        )


def step_through(model: MLPClassifier, meal: Meal, batch: int) -> float:
    """Take one step for each mini-batch of `batch` rows; give the mean loss.

    Raises `TrainingError` where the loss is not a number.
    """
    # The last rows of an epoch may be fewer than a mini-batch.
    model.set_params(batch_size=min(batch, len(meal.labels)))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            model.partial_fit(meal.digits, meal.labels, sample_weight=meal.weights)
    except ValueError as error:
        if "non-finite" not in str(error):
            raise
        raise _diverged() from error
    if not np.isfinite(model.loss_):
        raise _diverged()
    return float(model.loss_)


def _diverged() -> TrainingError:
    return TrainingError(
        "the loss is no longer a number", todo="Lower the recipe's rate or raise its warm_up"
    )


def _named(aspects: Iterable[Aspect]) -> str:
    return " and ".join(aspects)


def _listed(layers: Iterable[int]) -> str:
    return "-".join(map(str, layers))
