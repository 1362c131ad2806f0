"""How many accepted answers are wrong, as people found on those drawn at random."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from digitline.review.store import Answer

LEVEL = 0.95


class Audit(BaseModel):
    """Of the accepted answers of `model` drawn at random, people looked at `n`: `wrong` were wrong.

    With confidence `LEVEL` the error among all its accepted answers lies from `low` to `high`
    (the exact interval of Clopper & Pearson 1934).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    n: int
    wrong: int
    low: float
    high: float


def estimate(answers: Iterable[Answer]) -> dict[str, Audit]:
    """Estimate by model, from the last word on each image that was drawn."""
    last = {(each.model, each.id): each for each in answers if each.kind == "audit"}
    models = sorted({model for model, _ in last})
    return {
        model: _estimate(model, [each for each in last.values() if each.model == model])
        for model in models
    }


def _estimate(model: str, drawn: list[Answer]) -> Audit:
    n, wrong = len(drawn), sum(answer.wrong for answer in drawn)
    interval = binomtest(wrong, n).proportion_ci(confidence_level=LEVEL, method="exact")
    return Audit(model=model, n=n, wrong=wrong, low=interval.low, high=interval.high)
