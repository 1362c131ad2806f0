import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitline.learning.split import Shares, assign, draw

SHARES = Shares(validation=0.1, calibration=0.15, test=0.2)


def digests(contents: list[bytes]) -> NDArray[np.uint8]:
    joined = b"".join(hashlib.sha256(content).digest() for content in contents)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def many(n: int) -> NDArray[np.uint8]:
    return digests([str(number).encode() for number in range(n)])


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=30), st.data())
def test_a_row_keeps_its_part_whatever_comes_with_it(
    contents: list[bytes], data: st.DataObject
) -> None:
    subset = data.draw(st.lists(st.sampled_from(contents), min_size=1))
    part_of = dict(
        zip(contents, assign(digests(contents), SHARES, own_test=False).tolist(), strict=True)
    )
    again = assign(digests(subset), SHARES, own_test=False).tolist()
    assert again == [part_of[content] for content in subset]


def test_shares_are_kept() -> None:
    parts = assign(many(20_000), SHARES, own_test=False)
    assert abs(np.mean(parts == "validation") - 0.1) < 0.01
    assert abs(np.mean(parts == "calibration") - 0.15) < 0.01
    assert abs(np.mean(parts == "test") - 0.2) < 0.01


def test_a_source_with_its_own_test_part_gives_no_training_row_to_the_test() -> None:
    parts = assign(many(5_000), SHARES, own_test=True)
    assert set(parts.tolist()) == {"train", "validation", "calibration"}


@pytest.mark.parametrize("part", ["validation", "calibration"])
def test_rows_held_out_are_the_same_with_and_without_a_test_part(part: str) -> None:
    ids = many(5_000)
    with_test = assign(ids, SHARES, own_test=False) == part
    without = assign(ids, SHARES, own_test=True) == part
    assert (with_test == without).all()


def test_draws_use_the_leading_bytes_in_order() -> None:
    ids = np.zeros((2, 32), np.uint8)
    ids[1, 0] = 0x80
    assert draw(ids).tolist() == [0.0, 0.5]
