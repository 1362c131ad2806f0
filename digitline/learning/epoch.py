"""What one pass over the training rows came to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows; validation is of the averaged weights."""

    number: int  # from 1
    of: int
    train_loss: float
    validation_loss: float
    validation_error: float  # share of the validation rows
    rate: float  # of the last step
    seconds: float
