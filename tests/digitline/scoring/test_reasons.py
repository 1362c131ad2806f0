from pathlib import Path
from typing import get_args

import pytest

from digitline.errors import SettingsError, TooManyErrorsError
from digitline.pixels.decode import Reason
from digitline.scoring.reasons import REASONS, Tolerance
from digitline.scoring.results import Counts


def allows(text: str, errors: int) -> bool:
    counts = Counts(n_in=200, accept=200 - errors, review=0, error=errors)
    try:
        Tolerance.parse(text).check(counts, Path())
    except TooManyErrorsError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "most"), [("-1", 200), ("0", 0), ("7", 7), ("2%", 4), ("0.5%", 1), ("100%", 200)]
)
def test_a_tolerance_allows_so_many_and_no_more(text: str, most: int) -> None:
    assert allows(text, most)
    assert most == 200 or not allows(text, most + 1)


@pytest.mark.parametrize("text", ["", "-2", "many", "1.5", "%", "2 %", "nan%"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Tolerance.parse(text)


def test_every_code_of_the_decoder_is_explained() -> None:
    assert set(get_args(Reason)) <= REASONS.keys()
