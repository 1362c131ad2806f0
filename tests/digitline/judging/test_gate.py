import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitline.judging.gate import Gate, judge, mcnemar

GATE = Gate(min_accuracy=0.9)


def answers(right: int, wrong: int) -> NDArray[np.bool_]:
    return np.array([True] * right + [False] * wrong)


def test_first_model_above_the_floor_becomes_champion() -> None:
    verdict = judge(answers(95, 5), None, GATE)
    assert verdict.kind == "bootstrap"
    assert verdict.promotes
    assert "no champion" in verdict.sentence


def test_first_model_below_the_floor_is_held() -> None:
    verdict = judge(answers(80, 20), None, GATE)
    assert verdict.kind == "hold"
    assert not verdict.promotes
    assert "floor" in verdict.sentence


def test_challenger_as_good_as_the_champion_is_promoted() -> None:
    same = answers(95, 5)
    assert judge(same, same, GATE).kind == "promote"


def test_clearly_worse_challenger_is_held_with_its_numbers() -> None:
    champion = answers(990, 10)
    challenger = answers(960, 40)
    verdict = judge(challenger, champion, GATE)
    assert verdict.kind == "hold"
    rule = next(rule for rule in verdict.rules if not rule.passed)
    assert rule.name == "not-worse"
    assert rule.observed.startswith("0 won, 30 lost")


def test_loss_that_chance_explains_is_no_reason_to_hold() -> None:
    champion = answers(990, 10)
    challenger = np.roll(champion, 9)  # nine won, nine lost
    assert judge(challenger, champion, GATE).kind == "promote"


def test_mcnemar_agrees_with_the_binomial_by_hand() -> None:
    right = np.array([True, False, False, False, True])
    other = np.array([True, True, True, True, True])
    assert mcnemar(right, other) == pytest.approx(0.5**3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_never_blames_a_reader_that_lost_nothing(pairs: list[tuple[bool, bool]]) -> None:
    right, other = (np.array(column) for column in zip(*pairs, strict=True))
    p = mcnemar(right, other)
    assert 0 < p <= 1
    assert mcnemar(right | other, other) == 1
