import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from digitline.report import data, words
from tests.digitline.report import samples


def judged() -> data.Judged:
    digits = samples.sample()
    return data.judge(digits.truth, digits.probabilities, 0.9)


def test_what_is_judged_is_what_numpy_counts() -> None:
    digits = samples.sample()
    wrong = digits.probabilities.argmax(axis=1) != digits.truth
    report = judged()
    assert report.errors == wrong.sum() > 0
    assert report.error == pytest.approx(wrong.mean())
    assert report.accuracy == pytest.approx(1 - wrong.mean())
    assert report.error_low < report.error < report.error_high
    assert sum(map(sum, report.confusion)) == report.n == len(wrong)


def test_readings_are_the_mistakes_then_the_least_sure_right_ones() -> None:
    digits = samples.sample()
    report = judged()
    mistakes = [item for item in report.readings if item.digit != item.truth]
    right = report.readings[len(mistakes) :]
    assert len(mistakes) == report.errors
    assert report.mistakes_left_out == 0
    confidences = [item.confidence for item in mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert all(item.digit == item.truth for item in right)
    assert len(right) == 10 * data.RIGHT_PER_DIGIT
    for item in report.readings:
        assert digits.truth[item.row] == item.truth
        assert digits.probabilities[item.row].argmax() == item.digit


def test_what_looks_like_no_digit_is_accepted_at_no_threshold() -> None:
    digits = samples.sample()
    odd = np.arange(len(digits.truth)) % 4 == 0
    report = data.judge(digits.truth, digits.probabilities, 0.9, odd=odd)
    accepted = (digits.probabilities.max(axis=1) >= np.float32(0.9)) & ~odd
    assert report.odd == odd.sum()
    assert report.chosen.read_rate == pytest.approx(accepted.mean())
    assert max(point.read_rate for point in report.read_curve) == pytest.approx(0.75)
    assert min(point.threshold for point in report.read_curve) >= 0
    assert report.error == judged().error


def test_many_mistakes_are_cut_cell_by_cell_and_counted() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), 20_000).astype(np.float32)
    report = data.judge(rng.integers(0, 10, 20_000).astype(np.int8), probabilities, 0.9)
    mistakes = [item for item in report.readings if item.digit != item.truth]
    assert len(mistakes) == data.MOST_READINGS
    assert report.mistakes_left_out == report.errors - data.MOST_READINGS
    assert len(report.model_dump_json(indent=1)) < 200_000


def test_flips_are_the_changes_from_right_to_wrong_and_back() -> None:
    digits = samples.sample()
    before = digits.before.argmax(axis=1) == digits.truth
    now = digits.probabilities.argmax(axis=1) == digits.truth
    report = data.judge(
        digits.truth, digits.probabilities, 0.9, champion_probabilities=digits.before
    )
    assert report.flips is not None
    assert report.flips.fixed == (now & ~before).sum() > 0
    assert report.flips.broken == (before & ~now).sum()


@pytest.mark.parametrize("truth", [[], [3, -1]])
def test_nothing_can_be_judged_without_digits(truth: list[int]) -> None:
    probabilities = np.full((len(truth), 10), 0.1, np.float32)
    with pytest.raises(ValueError, match="each with its digit"):
        data.judge(np.array(truth, np.int8), probabilities, 0.9)


def test_reports_come_back_from_json_as_they_were() -> None:
    for report in (samples.retrain()[0], samples.score()[0]):
        assert data.REPORT.validate_json(report.model_dump_json()) == report


def test_a_loss_that_is_not_a_number_comes_back_as_none() -> None:
    epoch = data.Epoch(
        number=1, train_loss=float("nan"), validation_loss=None, validation_error=None
    )
    assert data.Epoch.model_validate_json(epoch.model_dump_json()).train_loss is None


def test_counts_that_do_not_add_up_are_no_report() -> None:
    report = samples.score()[0]
    with pytest.raises(ValidationError, match="accept \\+ review \\+ error"):
        data.ScoreReport.model_validate(report.model_dump() | {"n_in": report.n_in + 1})


def test_a_name_that_is_not_utf_8_is_written_out() -> None:
    tile = data.Tile(
        path="caf\udce9.png", id="00", digit=1, confidence=1, second=2, second_confidence=0
    )
    assert tile.path == r"caf\xe9.png"
    assert data.Tile.model_validate_json(tile.model_dump_json()) == tile


@given(st.floats(0, 1), st.integers(0, 4))
@example(0.995, 0)
@example(0.005, 0)
def test_a_share_is_never_rounded_to_none_or_all(share: float, decimals: int) -> None:
    said = words.percent(share, decimals)
    if share not in {0, 1}:
        assert said not in {words.percent(0, decimals), words.percent(1, decimals)}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.6, "1 min 0 s"), (83.4, "1 min 23 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_headlines() -> None:
    retrained, scored = samples.retrain()[0], samples.score()[0]
    assert retrained.judged is not None
    now = words.percent(retrained.judged.error)
    assert words.headline(retrained).startswith(f"Promoted: {now} error, was 5.00 %; ")
    assert words.headline(retrained).endswith(" read at threshold 0.9")
    assert f"of {scored.n_in:,} images read" in words.headline(scored)


def test_a_headline_names_the_error_that_is_certified() -> None:
    report = samples.retrain()[0]
    assert report.judged is not None
    certificate = data.Certificate(
        sentence="At most 0.1% are wrong.",
        threshold=report.judged.chosen.threshold,
        max_error=0.001,
        level=0.95,
        accepted=90,
        wrong=0,
        rows=100,
        read_rate=0.9,
        realised_error=0.0,
    )
    certified = report.model_copy(update={"certificate": certificate})
    assert words.headline(certified).endswith(" read at 0.1 %")
    other = certificate.model_copy(update={"threshold": 0.123})
    uncertified = report.model_copy(update={"certificate": other})
    assert words.headline(uncertified).endswith(" read at threshold 0.9")


def test_per_cent_signs_stand_apart_as_on_the_page() -> None:
    assert words.said("With 95% confidence, 50.5 % of 9%") == (
        "With 95\N{NO-BREAK SPACE}% confidence, 50.5 % of 9\N{NO-BREAK SPACE}%"
    )
