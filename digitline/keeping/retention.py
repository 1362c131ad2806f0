"""What to keep and for how long: a plan over what there is, made without touching it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Kind: TypeAlias = Literal["run", "report", "model", "cache", "split", "checkpoint"]


class Rule(BaseModel):
    """Something goes once it is older than `days` and not among the `newest` of its group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    newest: int = Field(ge=1, description="the newest that are kept, however old")
    days: float = Field(ge=0, description="days that all are kept")


class Retention(BaseModel):
    """How long what runs leave behind is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Rule = Field(Rule(newest=20, days=30), description="runs and their predictions, a job")
    reports: Rule = Field(Rule(newest=100, days=365), description="reports, by kind of run")
    models: Rule = Field(Rule(newest=10, days=30), description="models that never were champion")
    caches: Rule = Field(
        Rule(newest=2, days=30),
        description="normalised rows by data set, and copies of labelled sources in buckets",
    )
    splits: Rule = Field(Rule(newest=3, days=30), description="rows split into parts")
    unfinished: float = Field(
        14.0, ge=1, description="days after which what was cut off is given up"
    )
    database: float = Field(30.0, ge=1, description="days that Prefect's server remembers runs")

    def rule(self, kind: Kind) -> Rule:
        """Give the rule for things of a kind."""
        rules: dict[Kind, Rule] = {
            "run": self.runs,
            "report": self.reports,
            "model": self.models,
            "cache": self.caches,
            "split": self.splits,
        }
        return rules.get(kind, Rule(newest=1, days=self.unfinished))


@dataclass(frozen=True)
class Item:
    """Something that could go: `group` is what it is counted in, `needed` by what, if by any.

    `unfinished` things are not counted; they go when nobody has touched them for long.
    """

    kind: Kind
    path: Path
    group: str
    touched: datetime
    size: int
    order: int = 0
    needed: str = ""
    unfinished: bool = False


@dataclass(frozen=True)
class Decision:
    """What becomes of an item, and why."""

    item: Item
    keep: bool
    why: str


def plan(items: Iterable[Item], retention: Retention, now: datetime) -> tuple[Decision, ...]:
    """Decide on every item; the same items, rules and time give the same decisions."""
    groups: dict[tuple[Kind, str, bool], list[Item]] = defaultdict(list)
    for item in items:
        groups[item.kind, item.group, item.unfinished].append(item)
    return tuple(
        decision
        for (kind, _, unfinished), group in sorted(groups.items())
        for decision in (
            _decide_unfinished(group, retention.unfinished, now)
            if unfinished
            else _decide(group, retention.rule(kind), now)
        )
    )


def _decide(group: list[Item], rule: Rule, now: datetime) -> Iterator[Decision]:
    newest_first = sorted(group, key=lambda item: (item.order, item.touched), reverse=True)
    for place, item in enumerate(newest_first):
        if item.needed:
            yield Decision(item, keep=True, why=item.needed)
        elif place < rule.newest:
            yield Decision(item, keep=True, why=f"among the {rule.newest} newest")
        elif now - item.touched <= timedelta(days=rule.days):
            yield Decision(item, keep=True, why=f"not older than {rule.days:g} days")
        else:
            age = (now - item.touched).days
            yield Decision(
                item, keep=False, why=f"{age} days old, and {place} newer ones are there"
            )


def _decide_unfinished(group: list[Item], days: float, now: datetime) -> Iterator[Decision]:
    for item in group:
        if item.needed:
            yield Decision(item, keep=True, why=item.needed)
        elif now - item.touched <= timedelta(days=days):
            yield Decision(item, keep=True, why="unfinished, and may be taken up again")
        else:
            yield Decision(item, keep=False, why=f"unfinished, not touched for {days:g} days")
