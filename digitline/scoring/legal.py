"""Which strings of digits a field may hold: by length, check digit, a list, or the last reading."""

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal, Self, TypeAlias

from pydantic import JsonValue

from digitline.errors import DataError, SettingsError
from digitline.scoring.lattice import Listed, Rule, State
from digitline.sources.files import reading

Check: TypeAlias = Literal["luhn", "mod11", "mod97"]

_LENGTHS: Final = re.compile(r"(?P<least>\d{1,2})(-(?P<most>\d{1,2}))?")
_NUMBER: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Length:
    """Legal are strings of `least` to `most` digits."""

    least: int
    most: int
    telling: ClassVar[bool] = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5` or `3-6`; `SettingsError` for anything else."""
        match = _LENGTHS.fullmatch(text)
        if match is not None:
            least = int(match["least"])
            most = int(match["most"] or least)
            if 1 <= least <= most:
                return cls(least, most)
        raise SettingsError(f"length `{text}`", todo="Give a number such as 5, or two such as 3-6")

    def begin(self, length: int) -> State | None:
        """Begin where the length is legal."""
        return True if self.least <= length <= self.most else None

    def step(self, state: State, digit: int) -> State | None:  # noqa: ARG002 - any digit will do
        """Go on with any digit."""
        return state

    def accepts(self, state: State) -> bool:
        """Accept."""
        return bool(state)


@dataclass(frozen=True)
class Luhn:
    """Legal are strings of two digits or more whose last is the check digit of Luhn (1960)."""

    telling: ClassVar[bool] = True

    def begin(self, length: int) -> State | None:
        """Begin with how many digits are to come, and a sum of 0."""
        return (length, 0) if length > 1 else None

    def step(self, state: State, digit: int) -> State | None:
        """Add a digit, every second from the right doubled and its own digits added."""
        assert isinstance(state, tuple)
        left, total = state
        doubled = left % 2 == 0
        return left - 1, (total + (sum(divmod(2 * digit, 10)) if doubled else digit)) % 10

    def accepts(self, state: State) -> bool:
        """Accept where the sum is a multiple of 10."""
        return state == (0, 0)


@dataclass(frozen=True)
class Mod11:
    """Legal are strings whose digits, weighted 1, 2, 3 .. from the right, add up to 0 modulo 11.

    This is the rule of ISBN-10, whose check digit 10 is written as an X and cannot be read here.
    """

    telling: ClassVar[bool] = True

    def begin(self, length: int) -> State | None:
        """Begin with how many digits are to come, and a sum of 0."""
        return (length, 0) if length > 1 else None

    def step(self, state: State, digit: int) -> State | None:
        """Add a digit with its weight."""
        assert isinstance(state, tuple)
        left, total = state
        return left - 1, (total + left * digit) % 11

    def accepts(self, state: State) -> bool:
        """Accept where the sum is a multiple of 11."""
        return state == (0, 0)


@dataclass(frozen=True)
class Mod97:
    """Legal are strings that are 1 modulo 97 as a number (ISO 7064, MOD 97-10)."""

    telling: ClassVar[bool] = True

    def begin(self, length: int) -> State | None:
        """Begin with 0; the two check digits need one more before them."""
        return 0 if length > 2 else None  # noqa: PLR2004 - said above

    def step(self, state: State, digit: int) -> State | None:
        """Append a digit."""
        assert isinstance(state, int)
        return (10 * state + digit) % 97

    def accepts(self, state: State) -> bool:
        """Accept what is 1."""
        return state == 1


@dataclass(frozen=True)
class AtLeast:
    """Legal are strings that as numbers are not below the last reading of a meter."""

    last: str
    telling: ClassVar[bool] = False

    def begin(self, length: int) -> State | None:
        """Begin even with the last reading, brought to the length, where it has no more digits."""
        digits = self.last.lstrip("0")
        return digits.zfill(length) if len(digits) <= length else None

    def step(self, state: State, digit: int) -> State | None:
        """Compare with what is left of the last reading; nothing is left of it once above."""
        assert isinstance(state, str)
        if not state:
            return state
        if digit < int(state[0]):
            return None
        # What is even at the end must not look as if it were above: both are legal then.
        return state[1:] if digit == int(state[0]) else ""

    def accepts(self, state: State) -> bool:
        """Accept what has not fallen below."""
        return state is not None


CHECKS: Final[Mapping[str, Rule]] = {"luhn": Luhn(), "mod11": Mod11(), "mod97": Mod97()}


@dataclass(frozen=True)
class Legal:
    """What the strings of all fields must be like; `previous` are last readings by file name."""

    length: Length | None = None
    check: Check | None = None
    codes: frozenset[str] | None = None
    previous: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        length: str | None = None,
        check: Check | None = None,
        codes: Path | None = None,
        previous: Path | None = None,
    ) -> Self:
        """Read what the command line gives; raises as `Length.parse` and the readers do."""
        return cls(
            length=None if length is None else Length.parse(length),
            check=check,
            codes=None if codes is None else read_codes(codes),
            previous={} if previous is None else read_previous(previous),
        )

    def rules(self, name: str) -> list[Rule]:
        """Give the rules for the field of that name."""
        rules: list[Rule] = [] if self.length is None else [self.length]
        if self.check is not None:
            rules.append(CHECKS[self.check])
        if self.codes is not None:
            rules.append(Listed(self.codes))
        if name in self.previous:
            rules.append(AtLeast(self.previous[name]))
        return rules

    def facts(self) -> dict[str, JsonValue]:
        """Say it in plain values; lists by their digests."""
        return {
            "length": None if self.length is None else [self.length.least, self.length.most],
            "check": self.check,
            "codes": None if self.codes is None else _digest(sorted(self.codes)),
            "previous": _digest(sorted(f"{text} {name}" for name, text in self.previous.items())),
        }


def _digest(lines: Sequence[str]) -> str:
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(content).hexdigest()


def read_codes(path: Path) -> frozenset[str]:
    """Read a list of codes, one a line; raises `SourceError`, or `DataError` for a bad line."""
    with reading(path):
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    codes = frozenset(filter(None, map(str.strip, lines)))
    for code in codes:
        _check_number(code, path)
    if not codes:
        raise DataError("the list has no code", where=path, todo="Give one code a line")
    return codes


def read_previous(path: Path) -> dict[str, str]:
    """Read last readings from a CSV file with the columns `file` and `previous`.

    Names without a reading are left out. Raises `SourceError`, `DataError` for a bad line.
    """
    with (
        reading(path),
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        lines = csv.DictReader(file)
        if not {"file", "previous"} <= {*(lines.fieldnames or ())}:
            raise DataError(
                "there are no columns file and previous", where=path, todo="Add a heading"
            )
        last = {line["file"]: (line["previous"] or "").strip() for line in lines}
    for text in filter(None, last.values()):
        _check_number(text, path)
    return {name: text for name, text in last.items() if text}


def _check_number(text: str, path: Path) -> None:
    if _NUMBER.fullmatch(text) is None:
        raise DataError(
            f"`{text[:40]}` is no string of digits", where=path, todo="Correct the line"
        )
