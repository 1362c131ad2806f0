"""File names as text that is safe to print: one line, no control or direction characters."""

import os
import unicodedata
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

# Cc control, Cf format (bidi overrides among them), Cs lone surrogates (bytes that are not
# UTF-8, as `os.fsdecode` gives them), Zl and Zp line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


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


def _escape(char: str) -> str:
    if unicodedata.category(char) not in _UNPRINTABLE:
        return char
    if "\udc80" <= char <= "\udcff":  # a raw byte, smuggled by surrogateescape
        return f"\\x{os.fsencode(char)[0]:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
