"""Whether a challenger may become champion: a rule table, and the verdict it comes to."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binomtest

Kind = Literal["bootstrap", "promote", "hold", "unchanged"]


class Gate(BaseModel):
    """What a challenger must show to become champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_accuracy: float = Field(0.9, ge=0, le=1, description="accuracy on the test rows")
    max_p: float = Field(
        0.05, gt=0, lt=1, description="below this p-value the champion counts as better"
    )


class Rule(BaseModel):
    """One rule of the gate, with the numbers it was decided on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    observed: str
    needed: str
    sentence: str


class Verdict(BaseModel):
    """What the gate decided, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    sentence: str
    rules: tuple[Rule, ...] = ()

    @property
    def promotes(self) -> bool:
        """Say whether the challenger becomes champion."""
        return self.kind in {"bootstrap", "promote"}


def judge(
    right: NDArray[np.bool_], champion_right: NDArray[np.bool_] | None, gate: Gate
) -> Verdict:
    """Judge a challenger on the test rows.

    `right` says for each of the n test rows whether the challenger read it rightly,
    `champion_right` the same for the champion on the same rows, `None` where there is none.
    """
    rules = [_above_floor(right, gate)]
    if champion_right is not None:
        rules.append(_not_worse(right, champion_right, gate))
    return Verdict(
        kind=_kind(rules, first=champion_right is None),
        sentence=_sentence(rules, first=champion_right is None),
        rules=tuple(rules),
    )


def mcnemar(right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> float:
    """Give the one-sided exact p-value that the other reader is better on the same rows.

    Source: McNemar 1947, Psychometrika 12; the exact form is a sign test on the rows where
    the two differ.
    """
    lost = int(np.sum(~right & other_right))
    won = int(np.sum(right & ~other_right))
    if lost + won == 0:
        return 1.0
    return float(binomtest(lost, lost + won, alternative="greater").pvalue)


def _above_floor(right: NDArray[np.bool_], gate: Gate) -> Rule:
    accuracy = float(np.mean(right))
    return Rule(
        name="floor",
        passed=accuracy >= gate.min_accuracy,
        observed=f"{accuracy:.2%}",
        needed=f"at least {gate.min_accuracy:.2%}",
        sentence="Enough test images are read rightly, whatever came before.",
    )


def _not_worse(right: NDArray[np.bool_], champion_right: NDArray[np.bool_], gate: Gate) -> Rule:
    lost = int(np.sum(~right & champion_right))
    won = int(np.sum(right & ~champion_right))
    p = mcnemar(right, champion_right)
    return Rule(
        name="not-worse",
        passed=p >= gate.max_p,
        observed=f"{won} won, {lost} lost, p = {p:.3g}",
        needed=f"p of at least {gate.max_p:g}",
        sentence=(
            "On the same test images the champion is not better than chance explains "
            "(exact McNemar test)."
        ),
    )


def _kind(rules: list[Rule], *, first: bool) -> Kind:
    if not all(rule.passed for rule in rules):
        return "hold"
    return "bootstrap" if first else "promote"


def _sentence(rules: list[Rule], *, first: bool) -> str:
    failed = [rule.name for rule in rules if not rule.passed]
    if failed:
        return f"It failed {', '.join(failed)}."
    return "It passed every rule, and there was no champion." if first else "It passed every rule."
