import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.errors import DataError
from digitline.sources.checks import (
    CODES,
    DROPPING,
    KEPT,
    REMAINING,
    Checks,
    Survey,
    enforce,
    explain,
    find_faults,
    judge,
)

Row = tuple[int, int]  # a file's content, its label
ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=25)


def survey(train: Sequence[Row], test: Sequence[Row] = (), faults: Sequence[int] = ()) -> Survey:
    rows = [*train, *test]
    digests = b"".join(hashlib.sha256(bytes([content])).digest() for content, _ in rows)
    return Survey(
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
        labels=np.array([label for _, label in rows], np.int8),
        names=np.arange(len(rows), dtype=np.uint64),
        faults=np.array(faults or [KEPT] * len(rows), np.uint8),
        sizes={"train": len(train), "test": len(test)},
    )


def names(found: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> list[str]:
    return ["" if code == KEPT else DROPPING[code - 1].name for code in found.tolist()]


def test_the_later_copy_goes() -> None:
    found = find_faults(survey([(1, 7), (2, 7), (1, 7), (1, 7)]))
    assert names(found) == ["", "", "duplicates", "duplicates"]


def test_all_go_where_the_labels_differ() -> None:
    found = find_faults(survey([(1, 7), (2, 7), (1, 1)], [(1, 7), (3, 3)]))
    assert names(found) == ["conflicts", "", "conflicts", "conflicts", ""]


def test_the_training_copies_of_a_test_image_go() -> None:
    found = find_faults(survey([(1, 7), (1, 7), (2, 2)], [(3, 3), (1, 7), (1, 7)]))
    assert names(found) == ["leakage", "leakage", "", "", "", "duplicates"]


def test_a_row_that_is_out_already_drags_no_other_along() -> None:
    blank = CODES["blank"]
    found = find_faults(survey([(1, 7), (1, 7), (1, 2)], faults=[blank, KEPT, blank]))
    assert names(found) == ["blank", "", "blank"]


@given(ROWS, ROWS)
def test_what_remains_keeps_every_rule(train: list[Row], test: list[Row]) -> None:
    kept = find_faults(survey(train, test)) == KEPT
    rows = [*train, *test]
    remaining = [row for row, keep in zip(rows, kept, strict=True) if keep]
    contents = Counter(content for content, _ in remaining)
    assert set(contents.values()) <= {1}
    # Nothing is lost that had one label: a copy of it remains, in the test part if it was there.
    labels: dict[int, set[int]] = {}
    for content, label in rows:
        labels.setdefault(content, set()).add(label)
    assert set(contents) == {content for content, known in labels.items() if len(known) == 1}
    kept_test = {row for row, keep in zip(test, kept[len(train) :], strict=True) if keep}
    assert kept_test == {row for row in test if len(labels[row[0]]) == 1}


@given(ROWS, ROWS)
def test_looking_again_at_what_remains_finds_nothing(train: list[Row], test: list[Row]) -> None:
    kept = (find_faults(survey(train, test)) == KEPT).tolist()
    rows = [*train, *test]
    cut = len(train)
    again = survey(
        [row for row, keep in zip(train, kept, strict=False) if keep],
        [row for row, keep in zip(rows[cut:], kept[cut:], strict=True) if keep],
    )
    assert (find_faults(again) == KEPT).all()


@given(ROWS, ROWS)
def test_counts_add_up(train: list[Row], test: list[Row]) -> None:
    seen = survey(train, test)
    faults = find_faults(seen)
    outcomes = {outcome.rule: outcome for outcome in judge(seen, faults, Checks())}
    dropped = sum(outcomes[rule.name].count for rule in DROPPING)
    assert dropped + int((faults == KEPT).sum()) == len(train) + len(test)
    assert outcomes["rows"].count == int((faults[: len(train)] == KEPT).sum())


def test_every_rule_has_a_sentence_a_remedy_and_a_setting() -> None:
    checks = Checks()
    for rule in (*DROPPING, *REMAINING):
        assert rule.sentence.endswith(".")
        assert rule.remedy
        assert hasattr(checks, rule.setting)


@pytest.mark.parametrize("rule", [rule for rule in DROPPING if rule.severity == "block"])
def test_a_block_stops_above_its_threshold_and_not_at_it(rule: object) -> None:
    name, setting = rule.name, rule.setting  # type: ignore[attr-defined]  # parametrised
    rows = [(number, number % 10) for number in range(20)]
    faults = [CODES[name]] * 2 + [KEPT] * 18
    seen = survey(rows, faults=faults)
    found = find_faults(seen)
    lenient = Checks(min_rows=1, missing_classes=10, **{setting: 0.1})
    enforce(judge(seen, found, lenient), "here")
    strict = lenient.model_copy(update={setting: 0.099})
    with pytest.raises(
        DataError, match=rf"rule `{name}` failed .*2 rows do not \(10.00%"
    ) as caught:
        enforce(judge(seen, found, strict), "here")
    assert "here" in str(caught.value)


def test_a_warning_is_told_and_stops_nothing() -> None:
    rows = [(number, number % 10) for number in range(20)]
    seen = survey(rows, rows[:10])
    outcomes = judge(seen, find_faults(seen), Checks(min_rows=10))
    (leakage,) = [outcome for outcome in outcomes if outcome.rule == "leakage"]
    assert (leakage.severity, leakage.count, leakage.passed) == ("warn", 10, False)
    assert explain(leakage).endswith("10 rows do not (33.33%, at most 0.00% may)")
    enforce(outcomes, "here")


def test_missing_digits_and_rows_are_named() -> None:
    seen = survey([(number, number % 9) for number in range(50)])
    outcomes = judge(seen, find_faults(seen), Checks(min_rows=50))
    with pytest.raises(DataError, match="1 of 10 are missing"):
        enforce(outcomes, "here")
    assert "test-classes" not in {outcome.rule for outcome in outcomes}  # there is no test part
    with pytest.raises(DataError, match="50 remain, 51 are needed"):
        enforce(judge(seen, find_faults(seen), Checks(min_rows=51)), "here")


def test_a_test_part_without_all_digits_is_a_warning() -> None:
    train = [(number, number % 10) for number in range(100)]
    seen = survey(train, [(200, 1), (201, 2)])
    outcomes = judge(seen, find_faults(seen), Checks())
    assert outcomes[-1].rule == "test-classes"
    assert (outcomes[-1].count, outcomes[-1].share, outcomes[-1].passed) == (8, 0.8, False)
    enforce(outcomes, "here")
