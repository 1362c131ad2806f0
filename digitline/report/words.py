"""Numbers, times and verdicts as a person would say them."""

import re
from datetime import datetime

from digitline.names import printable
from digitline.report.data import RetrainReport, ScoreReport

_VERDICTS = {
    "bootstrap": "First model",
    "promote": "Promoted",
    "hold": "Held back",
    "unchanged": "Unchanged",
}
_MINUTE = 60
_HOUR = 60 * _MINUTE
_PER_CENT = re.compile(r"(?<=\d)%")


def percent(share: float, decimals: int = 2) -> str:
    """Say a share in per cent; a tiny one is not rounded to nothing."""
    said = f"{share * 100:.{decimals}f} %"
    least = 10**-decimals
    if share > 0 and said == f"{0:.{decimals}f} %":
        return f"under {least:.{decimals}f} %"
    if share < 1 and said == f"{100:.{decimals}f} %":
        return f"over {100 - least:.{decimals}f} %"
    return said


def limit(share: float) -> str:
    """Say a share that somebody chose, in as many digits as it takes."""
    return f"{share * 100:g} %"


def said(sentence: str) -> str:
    """Set a sentence of ours as the pages are set: a space before the per cent sign."""
    return _PER_CENT.sub("\N{NO-BREAK SPACE}%", sentence)


def count(number: float) -> str:
    """Write a whole number with its thousands apart."""
    return f"{number:,.0f}"


def number(value: float | None, digits: int = 4) -> str:
    """Write a number to so many significant digits; a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:.{digits}g}"


def images(number: int) -> str:
    """Say how many images."""
    return "1 image" if number == 1 else f"{count(number)} images"


def duration(seconds: float) -> str:
    """Say how long something took."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds a tenth is worth saying
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def moment(when: str) -> str:
    """Say when, from ISO 8601; what is not ISO 8601 stays as it is."""
    try:
        time = datetime.fromisoformat(when)
    except ValueError:
        return printable(when)
    zone = time.tzname()
    return f"{time.day} {time:%B %Y, %H:%M}" + (f" {zone}" if zone else "")


def minute(when: str) -> str:
    """Say when in few letters, as the run's own clock had it."""
    try:
        time = datetime.fromisoformat(when)
    except ValueError:
        return printable(when)
    return f"{time.day} {time:%b %Y, %H:%M}"


def verdict(report: RetrainReport) -> str:
    """Name the verdict in a word or two."""
    return _VERDICTS[report.decision.verdict]


def retrain_headline(report: RetrainReport) -> str:
    """Say in one sentence how a retraining ended."""
    if report.judged is None:
        return report.decision.sentence
    was = "" if report.champion is None or report.champion.error is None else (
        f", was {percent(report.champion.error)}"
    )  # fmt: skip
    read = percent(report.judged.chosen.read_rate, 1)
    return f"{percent(report.judged.error)} error{was}; {read} read at {_terms(report)}"


def _terms(report: RetrainReport) -> str:
    """Say on which terms it reads: the error that is certified, or else the threshold."""
    promised = report.promised
    if promised is not None:
        return limit(promised.max_error)
    assert report.judged is not None
    return f"threshold {number(report.judged.chosen.threshold)}"


def score_headline(report: ScoreReport) -> str:
    """Say in one sentence what became of the images."""
    return (
        f"{percent(report.read_rate, 1)} of {images(report.n_in)} read; {count(report.review)} "
        f"to review, {count(report.error)} failed"
    )


def headline(report: RetrainReport | ScoreReport) -> str:
    """Say in one sentence how a run ended: for a page's top, a terminal, an index."""
    if isinstance(report, ScoreReport):
        return score_headline(report)
    return f"{verdict(report)}: {retrain_headline(report)}"
