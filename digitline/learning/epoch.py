"""What one pass over the training rows came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows; validation is of the averaged weights."""

    number: int  # from 1
    of: int
    train_loss: float
    validation_loss: float  # at the temperature that suits it best
    validation_error: float  # share of the validation rows
    rate: float  # of the last step
    seconds: float


def average(curves: Sequence[Sequence[Epoch]]) -> tuple[Epoch, ...]:
    """Give the mean of several trainings, epoch by epoch, as long as the longest of them."""
    longest = max(map(len, curves))
    together = [[curve[n] for curve in curves if n < len(curve)] for n in range(longest)]
    return tuple(_mean(epochs) for epochs in together)


def _mean(epochs: Sequence[Epoch]) -> Epoch:
    return Epoch(
        number=epochs[0].number,
        of=epochs[0].of,
        train_loss=fmean(epoch.train_loss for epoch in epochs),
        validation_loss=fmean(epoch.validation_loss for epoch in epochs),
        validation_error=fmean(epoch.validation_error for epoch in epochs),
        rate=fmean(epoch.rate for epoch in epochs),
        seconds=max(epoch.seconds for epoch in epochs),
    )
