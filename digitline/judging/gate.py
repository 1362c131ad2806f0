"""Whether a challenger may become champion: a rule table, and the verdict it comes to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from digitline.judging.demands import Gate
from digitline.judging.metrics import DIGITS, calibration_error, reliability
from digitline.judging.verdict import Decided, Rule, Verdict

Promotion = Literal["auto", "never", "force", "ask"]

_RESAMPLES = 2000
_SIMULATIONS = 200
_GOLDEN_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Showing:
    """What a reader showed: on n test rows, and by its card.

    `probabilities` (n, 10); `read_rate` is certified for the error allowed, 0 where none is,
    `None` where its card knows nothing of certificates.
    """

    probabilities: NDArray[np.float32]
    read_rate: float | None


@dataclass(frozen=True)
class Build:
    """What the challenger is like as a file.

    `speed` in images a second; `golden` is the largest difference between its probabilities on
    golden rows as scored here and as scikit-learn gives them.
    """

    bytes: int
    speed: float
    golden: float


def judge(
    truth: NDArray[np.int8],
    challenger: Showing,
    champion: Showing | None,
    build: Build,
    gate: Gate,
    promotion: Promotion = "auto",
) -> Verdict:
    """Judge a challenger on the test rows, whose digits are `truth` (n,).

    `champion` has read the same rows, and is `None` where there is none. `promotion` may
    overrule the verdict, but not the rules.
    """
    rules = [
        _above_floor(truth, challenger, gate),
        *(() if champion is None else _against(truth, challenger, champion, gate)),
        _calibrated(truth, challenger, gate),
        *_fit_for_use(build, gate),
    ]
    first = champion is None
    return overrule(
        Verdict(kind=_kind(rules, first=first), sentence=_sentence(rules), rules=tuple(rules)),
        promotion,
        first=first,
    )


def overrule(verdict: Verdict, promotion: Promotion, *, first: bool) -> Verdict:
    """Let the word given beforehand win over the rules."""
    if promotion == "never" and verdict.promotes:
        sentence = f"{verdict.sentence} It was asked for without promotion."
        return verdict.model_copy(update={"kind": "hold", "sentence": sentence})
    if promotion == "force" and not verdict.promotes:
        sentence = f"{verdict.sentence} It was promoted all the same, by force."
        kind: Decided = "bootstrap" if first else "promote"
        return verdict.model_copy(update={"kind": kind, "sentence": sentence})
    return verdict


def mcnemar(right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> float:
    """Give the one-sided exact p-value that the other reader is better on the same rows.

    Source: McNemar 1947, Psychometrika 12; the exact form is a sign test on the rows where
    the two differ.
    """
    lost = int(np.sum(~right & other_right))
    won = int(np.sum(right & ~other_right))
    if lost + won == 0:
        return 1.0
    return float(scipy.stats.binomtest(lost, lost + won, alternative="greater").pvalue)


def difference_interval(
    right: NDArray[np.bool_], other_right: NDArray[np.bool_]
) -> tuple[float, float]:
    """Give the 95 % interval of this error rate less the other's, by a paired bootstrap.

    Efron & Tibshirani 1993; rows on which both agree weigh nothing, so that resampling the
    counts of the others is resampling the rows.
    """
    n = len(right)
    lost, won = float(np.mean(~right & other_right)), float(np.mean(right & ~other_right))
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [lost, won, max(0.0, 1 - lost - won)], _RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return float(low), float(high)


def _right(truth: NDArray[np.int8], showing: Showing) -> NDArray[np.bool_]:
    return np.asarray(showing.probabilities.argmax(axis=1) == truth)


def _above_floor(truth: NDArray[np.int8], challenger: Showing, gate: Gate) -> Rule:
    accuracy = float(np.mean(_right(truth, challenger)))
    return Rule(
        name="floor",
        passed=accuracy >= gate.min_accuracy,
        observed=f"{accuracy:.2%}",
        needed=f"at least {gate.min_accuracy:.2%}",
        sentence="Enough test images are read rightly, whatever came before.",
    )


def _against(
    truth: NDArray[np.int8], challenger: Showing, champion: Showing, gate: Gate
) -> Iterator[Rule]:
    right, champion_right = _right(truth, challenger), _right(truth, champion)
    yield _not_worse(right, champion_right, gate)
    yield _no_digit_worse(truth, right, champion_right, gate)
    if challenger.read_rate is not None and champion.read_rate is not None:
        yield _reads_as_much(challenger.read_rate, champion.read_rate, gate)


def _not_worse(right: NDArray[np.bool_], champion_right: NDArray[np.bool_], gate: Gate) -> Rule:
    lost = int(np.sum(~right & champion_right))
    won = int(np.sum(right & ~champion_right))
    p = mcnemar(right, champion_right)
    low, high = difference_interval(right, champion_right)
    return Rule(
        name="not-worse",
        passed=p >= gate.max_p,
        observed=f"{won} won, {lost} lost, p = {p:.3g}; error {low:+.2%} to {high:+.2%}",
        needed=f"p of at least {gate.max_p:g}",
        sentence=(
            "On the same test images the champion is not better than chance explains "
            "(exact McNemar test; paired bootstrap for the interval)."
        ),
    )


def _no_digit_worse(
    truth: NDArray[np.int8],
    right: NDArray[np.bool_],
    champion_right: NDArray[np.bool_],
    gate: Gate,
) -> Rule:
    """Look at each digit alone, with the p-value corrected for there being ten (Bonferroni)."""
    drops = {
        digit: float(np.mean(champion_right[rows]) - np.mean(right[rows]))
        for digit in DIGITS
        if (rows := truth == digit).any()
    }
    guilty = [
        digit
        for digit, drop in drops.items()
        if drop > gate.max_recall_drop
        and mcnemar(right[truth == digit], champion_right[truth == digit]) < gate.max_p / len(drops)
    ]
    worst = max(drops, key=lambda digit: drops[digit])
    named = f"; fails for {', '.join(map(str, guilty))}" if guilty else ""
    return Rule(
        name="every-digit",
        passed=not guilty,
        observed=f"worst: {worst}, recall {-drops[worst]:+.2%}{named}",
        needed=f"no drop beyond {gate.max_recall_drop:.2%} that chance does not explain",
        sentence="No digit is read worse so that the others can be read better.",
    )


def _reads_as_much(read_rate: float, champion_read_rate: float, gate: Gate) -> Rule:
    return Rule(
        name="read-rate",
        passed=read_rate >= champion_read_rate - gate.max_read_rate_drop,
        observed=f"{read_rate:.1%}, champion {champion_read_rate:.1%}",
        needed=f"at most {gate.max_read_rate_drop:.1%} less than the champion",
        sentence="As much is read without a person, at the error that is certified.",
    )


def _calibrated(truth: NDArray[np.int8], challenger: Showing, gate: Gate) -> Rule:
    confidence = challenger.probabilities.max(axis=1)
    found = calibration_error(reliability(_right(truth, challenger), confidence))
    allowed = max(gate.max_calibration_error, _chance_calibration_error(confidence))
    return Rule(
        name="calibration",
        passed=found <= allowed,
        observed=f"{found:.2%}",
        needed=f"at most {allowed:.2%}",
        sentence="Confidence means what it says (expected calibration error).",
    )


def _chance_calibration_error(confidence: NDArray[np.float32]) -> float:
    """Give the calibration error that a reader who is calibrated exceeds one time in 20."""
    rng = np.random.default_rng(0)
    errors = [
        calibration_error(reliability(rng.random(len(confidence)) < confidence, confidence))
        for _ in range(_SIMULATIONS)
    ]
    return float(np.quantile(errors, 0.95))


def _fit_for_use(build: Build, gate: Gate) -> Iterator[Rule]:
    yield Rule(
        name="golden",
        passed=build.golden <= _GOLDEN_TOLERANCE,
        observed=f"{build.golden:.1g}",
        needed=f"at most {_GOLDEN_TOLERANCE:g}",
        sentence="As written to disk it gives the probabilities that scikit-learn gives.",
    )
    yield Rule(
        name="size",
        passed=build.bytes <= gate.max_bytes,
        observed=f"{build.bytes / 1e6:.1f} MB",
        needed=f"at most {gate.max_bytes / 1e6:.1f} MB",
        sentence="The model file is not too large.",
    )
    yield Rule(
        name="speed",
        passed=build.speed >= gate.min_speed,
        observed=f"{build.speed:,.0f} images a second",
        needed=f"at least {gate.min_speed:,.0f}",
        sentence="It reads fast enough, normalised images on this machine.",
    )


def _kind(rules: list[Rule], *, first: bool) -> Decided:
    if not all(rule.passed for rule in rules):
        return "hold"
    return "bootstrap" if first else "promote"


def _sentence(rules: list[Rule]) -> str:
    failed = [rule.name for rule in rules if not rule.passed]
    if failed:
        return f"It failed {', '.join(failed)}."
    compared = any(rule.name == "not-worse" for rule in rules)
    return (
        "It passed every rule."
        if compared
        else ("It passed every rule, and there was no champion.")
    )
