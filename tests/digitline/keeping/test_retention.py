from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.keeping.retention import Item, Retention, Rule, plan

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Retention(runs=Rule(newest=2, days=10), unfinished=5)

items = st.lists(
    st.builds(
        Item,
        kind=st.just("run"),
        path=st.just(Path()),
        group=st.sampled_from(["score", "retrain"]),
        touched=st.integers(0, 30).map(lambda days: NOW - timedelta(days=days)),
        size=st.just(1),
        order=st.integers(1, 10_000),
        needed=st.sampled_from(["", "", "", "a champion"]),
        unfinished=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda item: item.order,
).map(lambda made: [replace(item, path=Path(f"{item.order}")) for item in made])


@given(items)
def test_nothing_needed_young_or_among_the_newest_goes(things: list[Item]) -> None:
    decisions = plan(things, RULES, NOW)
    assert sorted(d.item.order for d in decisions) == sorted(item.order for item in things)
    for decision in decisions:
        item = decision.item
        assert decision.why
        days = RULES.unfinished if item.unfinished else RULES.runs.days
        young = NOW - item.touched <= timedelta(days=days)
        newer = sum(
            other.order > item.order
            for other in things
            if (other.group, other.unfinished) == (item.group, item.unfinished)
        )
        newest = not item.unfinished and newer < RULES.runs.newest
        assert decision.keep == bool(item.needed or young or newest)


@given(items)
def test_what_is_left_stays(things: list[Item]) -> None:
    left = [decision.item for decision in plan(things, RULES, NOW) if decision.keep]
    assert all(decision.keep for decision in plan(left, RULES, NOW))


@given(items, st.integers(0, 40))
def test_the_newest_of_all_always_stays_so_that_its_number_is_not_given_out_again(
    things: list[Item], later: int
) -> None:
    finished = [item for item in things if not item.unfinished]
    decisions = plan(finished, RULES, NOW + timedelta(days=later))
    for group in {item.group for item in finished}:
        newest = max(item.order for item in finished if item.group == group)
        assert next(d.keep for d in decisions if d.item.order == newest)


def test_each_decision_says_why() -> None:
    old = Item("run", Path("a"), "score", NOW - timedelta(days=40), 5, order=1)
    there = [replace(old, path=Path(str(n)), order=n) for n in (2, 3)]
    whys = {d.item.order: d.why for d in plan([old, *there], RULES, NOW)}
    assert whys[1] == "40 days old, and 2 newer ones are there"
    assert whys[3] == "among the 2 newest"


def test_a_rule_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Rule(newest=0, days=0)
