import hashlib

import numpy as np
import pytest

from digitline.review.audit import estimate
from digitline.review.store import Answer, Kind


def said(number: int, digit: int | None, kind: Kind = "audit", model: str = "m0001") -> Answer:
    image = hashlib.sha256(bytes([number])).digest()
    return Answer(image, "score-0001", f"{number}.png", digit, "", 3, 0.99, model, kind)


def test_no_error_among_thirty_is_not_no_error() -> None:
    found = estimate([said(number, 3) for number in range(30)])["m0001"]
    assert (found.n, found.wrong, found.low) == (30, 0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_only_what_was_drawn_at_random_counts_and_the_last_word_on_it() -> None:
    found = estimate(
        [
            said(1, 8),
            said(1, 3),  # looked at again: it was right
            said(2, None),  # accepted, though no digit
            said(3, 8, "chosen"),
            said(4, 8, "queue"),
            said(5, 8, model="m0002"),
        ]
    )
    assert {model: (each.n, each.wrong) for model, each in found.items()} == {
        "m0001": (2, 1),
        "m0002": (1, 1),
    }


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    share, held = 0.05, 0
    for _ in range(200):
        digits = np.where(rng.random(60) < share, 8, 3).tolist()
        found = estimate([said(number, digit) for number, digit in enumerate(digits)])["m0001"]
        held += found.low <= share <= found.high
    assert held >= 190
