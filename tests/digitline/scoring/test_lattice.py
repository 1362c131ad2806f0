from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.errors import DataError, SettingsError
from digitline.scoring.lattice import Edge, Lattice, Listed, Rule
from digitline.scoring.legal import (
    AtLeast,
    Legal,
    Length,
    Luhn,
    Mod11,
    Mod97,
    read_codes,
    read_previous,
)

SPANS = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (1, 3), (2, 4)]
LEGAL: dict[str, tuple[Rule, Callable[[str], bool]]] = {
    "length": (Length(2, 3), lambda text: 2 <= len(text) <= 3),
    "luhn": (Luhn(), lambda text: len(text) > 1 and luhn(text) % 10 == 0),
    "mod11": (Mod11(), lambda text: len(text) > 1 and weighted(text) % 11 == 0),
    "mod97": (Mod97(), lambda text: len(text) > 2 and int(text) % 97 == 1),
    "list": (Listed(frozenset({"12", "0412", "999"})), lambda text: text in {"12", "0412", "999"}),
    "meter": (AtLeast("0207"), lambda text: int(text) >= 207),
}


def luhn(text: str) -> int:
    backwards = [int(digit) for digit in reversed(text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in backwards[1::2]]
    return sum(backwards[::2]) + sum(doubled)


def weighted(text: str) -> int:
    return sum(place * int(digit) for place, digit in enumerate(reversed(text), 1))


def accepts(rule: Rule, text: str) -> bool:
    state = rule.begin(len(text))
    for digit in text:
        if state is None:
            return False
        state = rule.step(state, int(digit))
    return state is not None and rule.accepts(state)


@given(st.sampled_from(sorted(LEGAL)), st.text("0123456789", min_size=1, max_size=8))
def test_a_rule_accepts_what_is_legal(name: str, text: str) -> None:
    rule, is_legal = LEGAL[name]
    assert accepts(rule, text) == is_legal(text)


def test_rules_accept_what_is_known_to_be_right() -> None:
    assert accepts(Luhn(), "79927398713")
    assert accepts(Mod11(), "0306406152")
    assert accepts(Mod97(), "79444")
    assert not accepts(Luhn(), "79927398710")


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    """Draw edges over four places, of which few digits have weight."""
    edges = []
    for start, stop in SPANS:
        some = draw(st.dictionaries(st.integers(0, 9), st.floats(0.01, 1), max_size=3))
        weights = np.zeros(10)
        for digit, weight in some.items():
            weights[digit] = weight
        edges.append(Edge(start, stop, weights))
    return Lattice(4, edges)


def spellings(lattice: Lattice) -> list[tuple[str, float]]:
    """List every way through a lattice with every string on it."""
    found = []

    def go(place: int, text: str, weight: float) -> None:
        if place == lattice.end:
            found.append((text, weight))
        for edge in lattice.edges:
            if edge.start == place:
                for digit in np.flatnonzero(edge.weights):
                    go(edge.stop, f"{text}{digit}", weight * float(edge.weights[digit]))

    go(0, "", 1.0)
    return found


@given(lattices(), st.sets(st.sampled_from(sorted(LEGAL)), max_size=2))
def test_the_likeliest_legal_string_is_that_of_trying_all(
    lattice: Lattice, names: set[str]
) -> None:
    legal = [
        (text, weight)
        for text, weight in spellings(lattice)
        if all(LEGAL[name][1](text) for name in names)
    ]
    spelling = lattice.spell([LEGAL[name][0] for name in sorted(names)])
    if not legal:
        assert spelling is None
        return
    assert spelling is not None
    best = max(weight for _, weight in legal)
    pairs = zip(spelling.edges, spelling.text, strict=True)
    found = [edge.weights[int(digit)] for edge, digit in pairs]
    assert np.isclose(np.prod(found), best)
    own = sum(weight for text, weight in legal if text == spelling.text)
    assert np.isclose(spelling.confidence, own / sum(weight for _, weight in legal))


def test_the_check_digit_chooses_between_a_1_and_a_7() -> None:
    first = np.zeros(10)
    first[1], first[7] = 0.6, 0.4
    lattice = Lattice(3, [Edge(0, 1, first), Edge(1, 2, np.eye(10)[0]), Edge(2, 3, np.eye(10)[3])])
    likeliest, checked = lattice.spell(), lattice.spell([Luhn()])
    assert likeliest is not None
    assert checked is not None
    assert (likeliest.text, round(likeliest.confidence, 6)) == ("103", 0.6)
    assert (checked.text, checked.confidence) == ("703", 1.0)


def test_nothing_through_is_nothing_spelled() -> None:
    assert Lattice(2, [Edge(0, 1, np.ones(10))]).spell() is None


@pytest.mark.parametrize("text", ["", "0", "6-3", "x", "5-", "-5", "1-2-3"])
def test_a_length_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Length.parse(text)


def test_lists_are_read_with_care(tmp_path: Path) -> None:
    codes, previous = tmp_path / "codes.txt", tmp_path / "last.csv"
    codes.write_text("10115\r\n\n00042\n")
    assert read_codes(codes) == {"10115", "00042"}
    codes.write_text("10115\nBerlin\n")
    with pytest.raises(DataError, match="Berlin"):
        read_codes(codes)
    previous.write_text("file,previous\na.png,0041\nb.png,\n")
    assert read_previous(previous) == {"a.png": "0041"}
    legal = Legal(previous=read_previous(previous))
    assert len(legal.rules("a.png")) == 1
    assert not legal.rules("b.png")
    previous.write_text("name,last\na,1\n")
    with pytest.raises(DataError, match="columns"):
        read_previous(previous)
