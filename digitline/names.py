"""File names as text that is safe to print: one line, no control or direction characters."""

import os
import unicodedata
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

# Cc control, Cf format (bidi overrides among them), Cs lone surrogates (bytes that are not
# UTF-8, as `os.fsdecode` gives them), Zl and Zp line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV injection").
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")


def printable(text: str) -> str:
    """Escape every character of `text` that could move the cursor or hide another."""
    return "".join(map(_escape, text))


# Text that ends up on terminals and pages.
Line: TypeAlias = Annotated[str, AfterValidator(printable), Field(max_length=2000)]


def portable(path: str | os.PathLike[str]) -> str:
    r"""Turn a path into valid Unicode: a byte that is not UTF-8 becomes `\xNN`.

    Parquet and JSON hold only valid Unicode, while Linux allows any bytes in a name.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_formula(text: str) -> bool:
    """Say whether a spreadsheet may take a cell for a formula, past what it does not show."""
    if text.startswith(("\t", "\r", "\n")):
        return True
    shown = (char for char in text if not char.isspace() and unicodedata.category(char) != "Cf")
    return next(shown, "") in _FORMULA


def _escape(char: str) -> str:
    if unicodedata.category(char) not in _UNPRINTABLE:
        return char
    if "\udc80" <= char <= "\udcff":  # a raw byte, smuggled by surrogateescape
        return f"\\x{os.fsencode(char)[0]:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
