"""How many answers are expected to be right, by how sure the model was: no labels needed."""

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binom

LEVEL = 0.95
ASSUMPTION = (
    "This holds as far as confidence means for these images what it meant for the calibration "
    "data: it does not where they have drifted."
)


class Expected(BaseModel):
    """The share of `images` answers expected to be right, and between which shares it will lie.

    The expected share is the mean calibrated confidence. `low` to `high` is where the share that
    is really right lies in 95 of 100 such sets: quantiles of the binomial distribution with that
    mean, which is never narrower than the sum of unequal chances (Hoeffding 1956).
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    images: int = Field(ge=0)
    share: float
    low: float
    high: float


def expect(confidence: float, images: int) -> Expected | None:
    """Say what to expect of `images` answers whose confidences add up to `confidence`."""
    if not images:
        return None
    wrong = min(max(1 - confidence / images, 0.0), 1.0)
    most = float(binom.ppf((1 + LEVEL) / 2, images, wrong))
    least = float(binom.ppf((1 - LEVEL) / 2, images, wrong))
    return Expected(
        images=images,
        share=1 - wrong,
        low=1 - most / images,
        high=1 - least / images,
    )
