"""How hard each training row is, so that epochs can pass over most of the easy ones.

Most rows are read rightly and surely after a few epochs, and teach little from then on. Jiang et
al., "Accelerating deep learning by focusing on the biggest losers" (2019), and Katharopoulos and
Fleuret, "Not all samples are created equal" (ICML 2018), spend the steps on the others; here the
losses are looked up every few epochs, which costs a forward pass, and not in every step.
"""

import numpy as np
from numpy.typing import NDArray

# Epochs from one look at the losses to the next; the first ones visit every row.
EVERY = 3
# A look counts this much beside those before it: distortions make single losses noisy.
_SHARE = np.float32(0.3)


class Hardness:
    """The smoothed loss of each of n rows, and which of them an epoch visits."""

    def __init__(self, rows: int, focus: float, hard: float) -> None:
        """Leave the share `focus` of the rows out that are not among the hardest `hard`."""
        self.losses = np.zeros(rows, np.float32)
        self._hard = round(hard * rows)
        self._easy = round((1 - focus) * (rows - self._hard))

    def is_due(self, epoch: int) -> bool:
        """Whether the losses are to be looked up before this epoch, counted from 1."""
        return self.visits < len(self.losses) and epoch % EVERY == 0

    @property
    def visits(self) -> int:
        """Rows that an epoch visits once the losses are known."""
        return self._hard + self._easy

    def note(self, first: int, losses: NDArray[np.float32]) -> None:
        """Take down the losses of the rows from `first` on."""
        part = self.losses[first : first + len(losses)]
        part += _SHARE * (losses - part)

    def choose(self, epoch: int, rng: np.random.Generator) -> NDArray[np.bool_] | None:
        """Choose the rows of an epoch, (n,); `None` for all of them."""
        if epoch < EVERY or self.visits == len(self.losses):
            return None
        order = np.argsort(self.losses, kind="stable")
        easy, hard = np.split(order, [len(order) - self._hard])
        chosen = np.zeros(len(order), np.bool_)
        chosen[hard] = True
        chosen[rng.choice(easy, self._easy, replace=False)] = True
        return chosen
