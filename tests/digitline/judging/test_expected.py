"""What confidence promises: the truth lies where it was expected."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitline.judging.expected import expect


def test_the_interval_holds_where_confidence_means_what_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        confidence = 1 - rng.beta(0.2, 6, 300)
        expected = expect(float(confidence.sum()), 300)
        assert expected is not None
        right = float(np.mean(rng.random(300) < confidence))
        held += expected.low - 1e-9 <= right <= expected.high + 1e-9
    assert held >= 0.95 * 400


@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=50))
def test_the_share_lies_in_its_interval_and_that_between_none_and_all(sure: list[float]) -> None:
    expected = expect(sum(sure), len(sure))
    assert expected is not None
    assert abs(expected.share - np.mean(sure)) < 1e-9
    assert 0 <= expected.low <= expected.high <= 1
    assert expected.low - 1 / len(sure) <= expected.share <= expected.high + 1 / len(sure)


def test_nothing_is_expected_of_no_images() -> None:
    assert expect(0.0, 0) is None
