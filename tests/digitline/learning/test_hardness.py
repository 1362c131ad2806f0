import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.learning.hardness import EVERY, Hardness

share = st.floats(0, 1)


def known(rows: int, focus: float, hard: float) -> Hardness:
    """Hardness whose later rows are the harder ones."""
    hardness = Hardness(rows, focus, hard)
    hardness.note(0, np.arange(rows, dtype=np.float32))
    return hardness


@given(rows=st.integers(1, 300), focus=st.floats(0, 0.99), hard=share, seed=st.integers(0, 9))
def test_hard_rows_are_always_visited_and_as_many_as_promised(
    rows: int, focus: float, hard: float, seed: int
) -> None:
    hardness = known(rows, focus, hard)
    chosen = hardness.choose(EVERY, np.random.default_rng(seed))
    if chosen is None:
        assert hardness.visits == rows
    else:
        assert chosen.sum() == hardness.visits < rows
        assert chosen[rows - round(hard * rows) :].all()


def test_every_easy_row_has_its_turn() -> None:
    hardness = known(100, focus=0.9, hard=0.2)
    rng = np.random.default_rng(0)
    chosen = [hardness.choose(epoch, rng) for epoch in range(EVERY, EVERY + 200)]
    visits = np.sum([part for part in chosen if part is not None], axis=0)
    assert (visits[80:] == 200).all()
    assert visits[:80].min() > 0
    assert visits[:80].mean() == pytest.approx(20)


def test_first_epochs_visit_every_row() -> None:
    hardness = known(100, focus=0.9, hard=0.2)
    rng = np.random.default_rng(0)
    assert [hardness.choose(epoch, rng) is None for epoch in range(1, EVERY + 1)] == [
        *[True] * (EVERY - 1),
        False,
    ]


def test_a_row_that_was_hard_may_become_easy() -> None:
    hardness = Hardness(10, focus=0.9, hard=0.1)
    hardness.note(0, np.full(3, 5, np.float32))
    for _ in range(20):
        hardness.note(0, np.zeros(3, np.float32))
        hardness.note(3, np.ones(7, np.float32))
    assert hardness.losses[:3].max() < hardness.losses[3:].min()
    assert hardness.losses[3:] == pytest.approx(1, rel=0.01)
