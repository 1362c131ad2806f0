import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.names import is_formula, portable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name é 数字.png", "plain name é 数字.png"),
        ("two\nlines\t\x1b[31m", "two\\nlines\\t\\x1b[31m"),
        ("gnp.\u202etxt", "gnp.\\u202etxt"),
        (os.fsdecode(b"\xff.png"), "\\xff.png"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_shows_what_is_safe_to_show(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_printed_is_one_harmless_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in shown}
    shown.encode()
    assert printable(shown) == shown


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_any_name_becomes_valid_unicode(name: bytes) -> None:
    portable(os.fsdecode(name)).encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_name_that_is_valid_stays(name: str) -> None:
    assert portable(name) == name


def test_bytes_that_are_not_utf_8_are_spelt_out() -> None:
    assert portable(Path(os.fsdecode(b"a\xe4b/\xff"))) == r"a\xe4b/\xff"


@pytest.mark.parametrize("start", ["", " ", "\ufeff", "\u200b\u00a0", "\n", "\t"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff20"])
def test_a_formula_is_one_past_what_is_not_shown(start: str, sign: str) -> None:
    assert is_formula(f"{start}{sign}SUM(1)")
    assert not is_formula(f"a{start}{sign}SUM(1)")
