"""Digits that a row of ink could be, and the likeliest string among those that are legal.

An over-segmented row is a lattice: its nodes are the places where it could be cut, its edges the
pieces between two of them, each with the weights of the ten digits (Casey & Lecolinet 1996, "A
survey of methods and strategies in character segmentation"; Matan, Burges, LeCun & Denker 1992).
A rule is an automaton, so both sums over all legal strings and the best of them are exact, by
dynamic programming over the product of the two.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = Hashable


class Rule(Protocol):
    """Which strings of digits are legal: an automaton that knows the length beforehand.

    A rule is `telling` if few strings keep it, so that most mistakes break it.
    """

    @property
    def telling(self) -> bool:
        """Say whether it tells most mistakes."""

    def begin(self, length: int) -> State | None:
        """Give the state before the first of `length` digits, `None` where none such is legal."""

    def step(self, state: State, digit: int) -> State | None:
        """Give the state after a digit, `None` where no legal string goes on so."""

    def accepts(self, state: State) -> bool:
        """Say whether a string that has ended so is legal."""


@dataclass(frozen=True)
class Edge:
    """A piece of a row from one cut to a later one, and how much speaks for each digit there.

    `weights` (10,) are at least 0: the probabilities, times how much the piece looks like a digit.
    """

    start: int
    stop: int
    weights: NDArray[np.float64]

    @cached_property
    def digits(self) -> Sequence[tuple[int, float]]:
        """Give the digits that it could be, each with its weight."""
        return [(digit, weight) for digit, weight in enumerate(self.weights.tolist()) if weight > 0]


@dataclass(frozen=True)
class Spelling:
    """The likeliest legal string, the edges it is written on, and its share of all legal ones."""

    text: str
    edges: tuple[Edge, ...]
    confidence: float


@dataclass(frozen=True)
class Lattice:
    """The edges between the places 0 to `end`; a string is written on a way from 0 to `end`."""

    end: int
    edges: Sequence[Edge]

    def spell(self, rules: Sequence[Rule] = ()) -> Spelling | None:
        """Find the likeliest way and string that is legal; `None` where there is none.

        The confidence is the weight of all ways to write that string over the weight of all
        legal strings.
        """
        rule = _All(rules)
        ways = [way for length in self.lengths if (way := self._best(length, rule))]
        if not ways:
            return None
        best = max(ways, key=lambda way: way.weight)
        total = sum(self.weigh(length, rule) for length in self.lengths)
        alone = self.weigh(len(best.text), Listed(frozenset({best.text})))
        return Spelling(best.text, best.edges, min(1.0, alone / total))

    @cached_property
    def lengths(self) -> range:
        """Give the numbers of digits that ways from 0 to `end` can have."""
        fewest, most = {0: 0}, {0: 0}
        for edge in sorted(self.edges, key=lambda edge: edge.start):
            if edge.start in fewest:
                fewer, more = fewest[edge.start] + 1, most[edge.start] + 1
                fewest[edge.stop] = min(fewer, fewest.get(edge.stop, fewer))
                most[edge.stop] = max(more, most.get(edge.stop, more))
        return range(fewest[self.end], most[self.end] + 1) if self.end in fewest else range(0)

    def weigh(self, length: int, rule: Rule) -> float:
        """Sum the weights of all ways to write all legal strings of so many digits."""
        begun = rule.begin(length)
        sums: dict[tuple[int, State], float] = {} if begun is None else {(0, begun): 1.0}
        for _ in range(length):
            after: dict[tuple[int, State], float] = defaultdict(float)
            for (place, state), weight in sums.items():
                for edge, _, share, following in self._onward(place, state, rule):
                    after[edge.stop, following] += weight * share
            sums = after
        return sum(
            weight
            for (place, state), weight in sums.items()
            if place == self.end and rule.accepts(state)
        )

    def _best(self, length: int, rule: Rule) -> "_Way | None":
        begun = rule.begin(length)
        ways: dict[tuple[int, State], _Way] = {} if begun is None else {(0, begun): _Way()}
        for _ in range(length):
            after: dict[tuple[int, State], _Way] = {}
            for (place, state), way in ways.items():
                for edge, digit, share, following in self._onward(place, state, rule):
                    longer = way.go(edge, digit, share)
                    known = after.get((edge.stop, following))
                    if known is None or longer.weight > known.weight:
                        after[edge.stop, following] = longer
            ways = after
        there = (
            way for (place, state), way in ways.items() if place == self.end and rule.accepts(state)
        )
        return max(there, key=lambda way: way.weight, default=None)

    def _onward(
        self, place: int, state: State, rule: Rule
    ) -> Iterator[tuple[Edge, int, float, State]]:
        for edge in self._leaving.get(place, ()):
            for digit, share in edge.digits:
                following = rule.step(state, digit)
                if following is not None:
                    yield edge, digit, share, following

    @cached_property
    def _leaving(self) -> Mapping[int, Sequence[Edge]]:
        leaving: dict[int, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            leaving[edge.start].append(edge)
        return leaving


@dataclass(frozen=True)
class Listed:
    """Legal are the strings of a list."""

    texts: frozenset[str]
    telling: ClassVar[bool] = True

    def begin(self, length: int) -> State | None:
        """Begin with nothing, where any of the strings has that length."""
        return (length, "") if length in self._beginnings else None

    def step(self, state: State, digit: int) -> State | None:
        """Go on where some string of the length begins so."""
        assert isinstance(state, tuple)
        length, text = state
        longer = f"{text}{digit}"
        return (length, longer) if longer in self._beginnings[length] else None

    def accepts(self, state: State) -> bool:
        """Accept: what has the length and was begun like a string is one."""
        return bool(state)

    @cached_property
    def _beginnings(self) -> Mapping[int, frozenset[str]]:
        beginnings: dict[int, set[str]] = defaultdict(set)
        for text in self.texts:
            beginnings[len(text)].update(text[:end] for end in range(len(text) + 1))
        return {length: frozenset(some) for length, some in beginnings.items()}


@dataclass(frozen=True)
class _Way:
    """A way through a lattice, and what is written on it."""

    text: str = ""
    edges: tuple[Edge, ...] = ()
    weight: float = 1.0

    def go(self, edge: Edge, digit: int, share: float) -> "_Way":
        return _Way(f"{self.text}{digit}", (*self.edges, edge), self.weight * share)


@dataclass(frozen=True)
class _All:
    """Legal is what is legal by all of some rules."""

    rules: Sequence[Rule]
    telling: ClassVar[bool] = False

    def begin(self, length: int) -> State | None:
        states = tuple(rule.begin(length) for rule in self.rules)
        return None if None in states else states

    def step(self, state: State, digit: int) -> State | None:
        assert isinstance(state, tuple)
        pairs = zip(self.rules, state, strict=True)
        states = []
        for rule, own in pairs:
            following = rule.step(own, digit)
            if following is None:
                return None
            states.append(following)
        return tuple(states)

    def accepts(self, state: State) -> bool:
        assert isinstance(state, tuple)
        pairs = zip(self.rules, state, strict=True)
        return all(rule.accepts(own) for rule, own in pairs)
