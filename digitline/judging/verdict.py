"""What the gate decided about a challenger, rule by rule: cards keep it, reports show it."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from digitline.names import Line

Decided: TypeAlias = Literal["bootstrap", "promote", "hold"]
# What a retraining comes to: where nothing is new, nothing is trained and nothing decided.
Kind: TypeAlias = Decided | Literal["unchanged"]


class Rule(BaseModel):
    """One rule of the gate, with the numbers it was decided on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    passed: bool
    observed: Line
    needed: Line
    sentence: Line


class Verdict(BaseModel):
    """What the gate decided, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Decided
    sentence: Line
    rules: tuple[Rule, ...] = ()

    @property
    def promotes(self) -> bool:
        """Say whether the challenger becomes champion."""
        return self.kind in {"bootstrap", "promote"}
