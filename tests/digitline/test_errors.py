import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline import errors
from digitline.errors import DataError, DigitlineError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DigitlineError)
]


def test_says_what_where_and_what_to_do() -> None:
    error = DataError("no column `label`", where=Path("a.parquet"), todo="Add it")
    assert str(error) == "no column `label`: a.parquet. Add it"
    assert str(DataError("no column")) == "no column"


@given(st.text(), st.one_of(st.none(), st.text()), st.text())
def test_is_one_line_whatever_the_names(what: str, where: str | None, todo: str) -> None:
    assert len(str(DataError(what, where=where, todo=todo)).splitlines()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_travels_between_processes(kind: type[DigitlineError]) -> None:
    error = kind("what", where="where", todo="todo")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.todo, str(copy)) == (
        error.what,
        error.where,
        error.todo,
        str(error),
    )


def test_every_kind_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    # 0 is success, 2 is what command lines end with on a wrong option, signals begin at 126.
    assert all(0 < code < 126 and code != 2 for code in codes)


def test_every_kind_says_when_it_is_raised() -> None:
    assert all(kind.__doc__ for kind in KINDS)
