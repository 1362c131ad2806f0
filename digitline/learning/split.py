"""Which part a row belongs to, decided by its content alone.

The digest of an image is a fair draw that never changes: a row keeps its part as the data
grows, and copies of one image cannot straddle two parts.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

PARTS = ("train", "validation", "calibration", "test")


class Shares(BaseModel):
    """The shares of the training rows that are held out of the fitting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation: float = Field(
        1 / 12, gt=0, lt=0.5, description="held out to watch the training and choose its best epoch"
    )
    # An exact binomial bound needs rows: at 95 % confidence "at most 0.1 % wrong" allows no error
    # among 2,995 accepted, 1 among 4,742, 4 among 9,151. A twelfth of MNIST's 60,000 could certify
    # a read rate of 95 % only with at most one error, a sixth with four, so with twice the error
    # rate. The rows lost to the fitting cost less, for distortion makes new ones.
    calibration: float = Field(
        1 / 6, gt=0, lt=0.5, description="held out to calibrate confidence and certify thresholds"
    )
    test: float = Field(
        1 / 6, gt=0, lt=0.5, description="held out to judge, where a source has no test part"
    )


def draw(ids: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Turn digests, (n, 32) uint8, into fair draws from [0, 1), (n,)."""
    leading = np.ascontiguousarray(ids[:, :8]).view(">u8")[:, 0]
    return leading.astype(np.float64) / 2.0**64


def assign(ids: NDArray[np.uint8], shares: Shares, *, own_test: bool) -> NDArray[np.str_]:
    """Name the part of each row of a source's training rows, (n,) of `PARTS`.

    `ids` are SHA-256 digests, (n, 32) uint8. With `own_test` the source brings test rows of
    its own, and none is taken from its training rows.
    """
    drawn = draw(ids)
    shares_of = (shares.validation, shares.calibration, 0.0 if own_test else shares.test)
    bounds = np.cumsum(shares_of)
    return np.select([drawn < bound for bound in bounds], PARTS[1:], default="train")
