"""The optimiser that an `MLPClassifier` steps with, and the only place that reaches inside one.

scikit-learn's own Adam has no schedule and no averaging, and makes a dozen passes over freshly
allocated arrays. This one works in place, block by block within the cache, and averages the
weights while they are there. `MLPClassifier` offers no public way to give it an optimiser, so this
module sets its private `_optimizer`; nothing else in Digitline touches a private attribute of it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

Weights = list[NDArray[np.float32]]

# 64 Ki floats of five arrays fit into the second-level cache of most machines.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Schedule:
    """A rate that rises linearly, then falls along a cosine.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (ICLR 2017).
    """

    highest: float
    warm_up: int  # steps
    total: int  # steps
    final: float = 0.0  # share of the highest

    def rate(self, step: int) -> float:
        """Give the rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.highest * (step + 1) / self.warm_up
        done = min(1.0, (step - self.warm_up) / max(1, self.total - self.warm_up))
        cosine = (1 + math.cos(math.pi * done)) / 2
        return self.highest * (self.final + (1 - self.final) * cosine)


class Adam:
    """Adam in place, in float32, with a schedule and averaged weights.

    Kingma and Ba, "Adam: a method for stochastic optimization" (ICLR 2015). The average is the
    exponential one of Polyak and Ruppert's idea, with a short memory while there is little to
    remember. `averaging` is the number of steps it looks back over; 0 averages nothing.
    """

    beta_1 = 0.9
    beta_2 = 0.999
    epsilon = 1e-8

    def __init__(self, schedule: Schedule, averaging: float) -> None:
        self.schedule = schedule
        self.averaging = averaging
        self.step = 0
        self.first: Weights = []
        self.second: Weights = []
        self.mean: Weights = []
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="adam")

    def begin(self, weights: Weights) -> None:
        """Start anew from `weights`."""
        self.step = 0
        self.first = [np.zeros_like(weight) for weight in weights]
        self.second = [np.zeros_like(weight) for weight in weights]
        self.mean = [weight.copy() for weight in weights]

    def update_params(
        self, params: Sequence[NDArray[np.float32]], grads: Sequence[NDArray[np.float32]]
    ) -> None:
        """Step down the gradients: scikit-learn calls this once a mini-batch."""
        self.step += 1
        bias_1, bias_2 = 1 - self.beta_1**self.step, 1 - self.beta_2**self.step
        pace = self.schedule.rate(self.step - 1) * math.sqrt(bias_2) / bias_1
        # Looks back over a tenth of the steps until that is more than `averaging`.
        share = 1 / max(1.0, min(self.averaging, 1 + self.step / 10))
        floor = self.epsilon * math.sqrt(bias_2)
        blocks = list(_blocks(params, grads, self.first, self.second, self.mean))
        # Blocks are independent, and numpy lets two threads compute: the result is the same.
        other = self._helper.submit(self._update_blocks, blocks[1::2], pace, floor, share)
        self._update_blocks(blocks[::2], pace, floor, share)
        other.result()

    def _update_blocks(
        self, blocks: Iterable[Weights], pace: float, floor: float, share: float
    ) -> None:
        for block in blocks:
            self._update_block(block, pace, floor, share)

    def _update_block(self, block: Weights, pace: float, floor: float, share: float) -> None:
        weight, slope, first, second, mean = block
        change = slope * (1 - self.beta_1)
        first *= self.beta_1
        first += change
        np.multiply(slope, slope, out=change)
        change *= 1 - self.beta_2
        second *= self.beta_2
        second += change
        np.sqrt(second, out=change)
        change += floor
        np.divide(first, change, out=change)
        change *= pace
        weight -= change
        np.subtract(weight, mean, out=change)
        change *= share
        mean += change

    def iteration_ends(self, time_step: int) -> None:
        """Nothing: the schedule counts steps. scikit-learn calls this after `partial_fit`."""

    def trigger_stopping(self, msg: str, verbose: bool) -> bool:  # noqa: FBT001 - scikit-learn's
        """Let `partial_fit` end as it does anyway. scikit-learn calls this on a plateau."""
        del msg, verbose
        return True


def _blocks(*arrays: Sequence[NDArray[np.float32]]) -> Iterator[Weights]:
    """Cut arrays that belong together into blocks that fit the cache together."""
    for together in zip(*arrays, strict=True):
        flat = [array.reshape(-1) for array in together]
        for start in range(0, flat[0].size, _BLOCK):
            yield [array[start : start + _BLOCK] for array in flat]


def install(model: MLPClassifier, optimiser: Adam) -> None:
    """Make `model` step with `optimiser` in its next `partial_fit`."""
    model._optimizer = optimiser  # noqa: SLF001 - no public way


def strip(model: MLPClassifier) -> None:
    """Remove what only training needs: the optimiser and scikit-learn's spare copy of the weights.

    The model predicts as before; a later `partial_fit` makes itself a new optimiser.
    """
    attributes: dict[str, Any] = vars(model)
    for name in ("_optimizer", "_best_coefs", "_best_intercepts"):
        attributes.pop(name, None)
