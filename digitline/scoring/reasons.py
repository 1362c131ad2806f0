"""Why an image has no answer: the codes in the results, and how many of them a run allows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from digitline.errors import SettingsError, TooManyErrorsError
from digitline.scoring.results import Counts

REASONS: Final[Mapping[str, str]] = {
    "empty": "the file, member or row has no bytes",
    "truncated": "the image or its archive breaks off",
    "unsupported": "not an image of a known format, or a link, pipe, device or encrypted member",
    "too-large": "more bytes or pixels than `decoding` allows, or an archive that is a bomb",
    "animated": "a moving picture or several pages",
    "unreadable": "the file or folder cannot be read, or the image is damaged",
    "vanished": "it was listed and has gone since",
    "crashed": "reading it ended its process twice: too much memory, too long, or a broken decoder",
}

_THRESHOLD = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<percent>%?)")


@dataclass(frozen=True)
class Tolerance:
    """How many images may fail: a number, a share of all, or (both `None`) any."""

    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `25`, `2%` or `-1`, which allows any; `SettingsError` for anything else."""
        if text == "-1":
            return cls()
        match = _THRESHOLD.fullmatch(text)
        if match is None or ("." in match["number"] and not match["percent"]):
            raise SettingsError(
                f"error threshold `{text}`", todo="Give a number, a percentage such as 2%, or -1"
            )
        number = float(match["number"])
        return cls(share=number / 100) if match["percent"] else cls(count=int(number))

    def check(self, counts: Counts, where: Path) -> None:
        """Raise `TooManyErrorsError` where more images failed than allowed."""
        over_count = self.count is not None and counts.error > self.count
        over_share = self.share is not None and counts.error > self.share * counts.n_in
        if over_count or over_share:
            raise TooManyErrorsError(
                f"{counts.error:,} of {counts.n_in:,} images have no answer",
                where=where,
                todo="The results are complete; errors-*.parquet says why",
            )
