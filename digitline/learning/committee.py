"""Several networks as one `MLPClassifier`: side by side in each layer, their answers averaged.

Averaging the outputs before softmax is the geometric mean of the members' probabilities; see
Ciresan et al., "Better digit recognition with a committee of simple neural nets" (ICDAR 2011).
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.learning.network import new_model
from digitline.learning.recipe import Recipe
from digitline.pixels.aspect import Aspect, aspects_of


def member_seed(seed: int, member: int) -> int:
    """Give each member a seed of its own, the first one that of the training."""
    return seed if member == 0 else int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def aspect_of(recipe: Recipe, member: int) -> Aspect:
    """Tell how a member, counted from 0, sees a digit; those that see it alike are neighbours."""
    return recipe.aspects[member * len(recipe.aspects) // recipe.members]


def merge(members: Sequence[MLPClassifier], recipe: Recipe) -> MLPClassifier:
    """Merge fitted networks of one recipe; a single one is given back as it is."""
    if len(members) == 1:
        return members[0]
    hidden = tuple(units * len(members) for units in recipe.hidden)
    wide = recipe.model_copy(update={"hidden": hidden})
    merged = new_model(wide, members[0].random_state, recipe.aspects)
    merged.coefs_, merged.intercepts_ = join(members)
    return merged


def join(
    members: Sequence[MLPClassifier],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Give the weights and biases of members side by side, their outputs averaged.

    Neighbours that see the same aspects of a digit share its inputs.
    """
    layers = zip(*(member.coefs_ for member in members), strict=True)
    biases = zip(*(member.intercepts_ for member in members), strict=True)
    _, *between, last = layers
    *shifts, outputs = biases
    averaging = np.asarray(np.vstack(last) / np.float32(len(members)), np.float32)
    coefs = [_first(members), *map(_diagonal, between), averaging]
    averaged = np.asarray(np.mean(outputs, axis=0), np.float32)
    intercepts = [*map(np.concatenate, shifts), averaged]
    return coefs, intercepts


def _first(members: Sequence[MLPClassifier]) -> NDArray[np.float32]:
    alike = groupby(members, key=aspects_of)
    return _diagonal([np.hstack([one.coefs_[0] for one in group]) for _, group in alike])


def _diagonal(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Put blocks along the diagonal of a matrix of zeros."""
    rows, columns = np.sum([block.shape for block in blocks], axis=0)
    whole = np.zeros((rows, columns), np.float32)
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
