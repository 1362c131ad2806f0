import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitline.judging.demands import Gate
from digitline.judging.gate import (
    Build,
    Promotion,
    Showing,
    difference_interval,
    judge,
    mcnemar,
)
from digitline.judging.verdict import Rule, Verdict

GATE = Gate(min_accuracy=0.9)
BUILD = Build(bytes=5_000_000, speed=50_000, golden=1e-7)


def answers(right: int, wrong: int) -> NDArray[np.bool_]:
    return np.array([True] * right + [False] * wrong)


def truth(n: int) -> NDArray[np.int8]:
    return (np.arange(n) % 10).astype(np.int8)


def show(right: NDArray[np.bool_], read_rate: float | None = 0.9) -> Showing:
    """A reader as sure as it is often right."""
    n = len(right)
    digits = np.where(right, truth(n), (truth(n) + 1) % 10)
    sure = np.float32(right.mean())
    probabilities = np.full((n, 10), (1 - sure) / 9, np.float32)
    probabilities[np.arange(n), digits] = sure
    return Showing(probabilities, read_rate)


def verdict_on(
    right: NDArray[np.bool_],
    champion: NDArray[np.bool_] | None = None,
    *,
    build: Build = BUILD,
    promotion: Promotion = "auto",
    read_rates: tuple[float | None, float | None] = (0.9, 0.9),
) -> Verdict:
    against = None if champion is None else show(champion, read_rates[1])
    return judge(truth(len(right)), show(right, read_rates[0]), against, build, GATE, promotion)


def failed(verdict: Verdict) -> list[Rule]:
    return [rule for rule in verdict.rules if not rule.passed]


def test_first_model_above_the_floor_becomes_champion() -> None:
    verdict = verdict_on(answers(95, 5))
    assert verdict.kind == "bootstrap"
    assert verdict.promotes
    assert "no champion" in verdict.sentence


def test_first_model_below_the_floor_is_held() -> None:
    verdict = verdict_on(answers(80, 20))
    assert verdict.kind == "hold"
    assert not verdict.promotes
    assert "floor" in verdict.sentence


def test_challenger_as_good_as_the_champion_is_promoted() -> None:
    same = answers(95, 5)
    assert verdict_on(same, same).kind == "promote"


def test_clearly_worse_challenger_is_held_with_its_numbers() -> None:
    verdict = verdict_on(answers(960, 40), answers(990, 10))
    assert verdict.kind == "hold"
    rule = failed(verdict)[0]
    assert rule.name == "not-worse"
    assert rule.observed.startswith("0 won, 30 lost")
    assert "error +" in rule.observed


def test_loss_that_chance_explains_is_no_reason_to_hold() -> None:
    champion = answers(990, 10)
    challenger = np.roll(champion, 9)  # nine won, nine lost
    assert verdict_on(challenger, champion).kind == "promote"


def test_digit_that_pays_for_the_others_is_named() -> None:
    n = 2000
    champion, challenger = np.ones(n, np.bool_), np.ones(n, np.bool_)
    challenger[3:200:10] = False  # twenty threes
    champion[5:200:10] = False  # twenty fives, won back
    verdict = verdict_on(challenger, champion)
    assert [rule.name for rule in failed(verdict)] == ["every-digit"]
    assert failed(verdict)[0].observed.endswith("fails for 3")


def test_read_rate_may_not_fall_far() -> None:
    same = answers(95, 5)
    assert verdict_on(same, same, read_rates=(0.89, 0.9)).promotes
    assert [rule.name for rule in failed(verdict_on(same, same, read_rates=(0.85, 0.9)))] == [
        "read-rate"
    ]
    assert verdict_on(same, same, read_rates=(0.85, None)).promotes


def test_boastful_reader_is_held() -> None:
    right = answers(950, 50)
    shown = show(right)
    boastful = Showing(np.where(shown.probabilities > 0.5, np.float32(1), np.float32(0)), 0.9)
    verdict = judge(truth(1000), boastful, None, BUILD, GATE)
    assert [rule.name for rule in failed(verdict)] == ["calibration"]


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (Build(bytes=1 << 30, speed=50_000, golden=0), "size"),
        (Build(bytes=1000, speed=10, golden=0), "speed"),
        (Build(bytes=1000, speed=50_000, golden=0.1), "golden"),
    ],
)
def test_unwieldy_build_is_held(build: Build, name: str) -> None:
    assert [rule.name for rule in failed(verdict_on(answers(95, 5), build=build))] == [name]


@pytest.mark.parametrize(
    ("right", "promotion", "kind"),
    [(95, "never", "hold"), (80, "force", "promote"), (80, "ask", "hold"), (95, "ask", "promote")],
)
def test_word_given_beforehand_wins(right: int, promotion: Promotion, kind: str) -> None:
    challenger = answers(right, 100 - right)
    verdict = verdict_on(challenger, answers(95, 5), promotion=promotion)
    assert verdict.kind == kind


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


def test_interval_covers_the_difference_seen_and_shrinks_with_rows() -> None:
    small, large = (
        difference_interval(np.tile(answers(90, 10), times), np.tile(answers(93, 7), times))
        for times in (1, 20)
    )
    for low, high in (small, large):
        assert low <= 0.03 <= high
    assert large[1] - large[0] < small[1] - small[0]
