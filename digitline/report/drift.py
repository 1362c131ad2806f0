"""How drift is shown: the shape of what was measured, and images of what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from digitline.judging.drift import Drift, Finding

_WIDTH = 120.0
_HEIGHT = 32.0
_VERDICTS = {
    "same": "As usual",
    "rescan": "The pictures changed",
    "retrain": "The writing changed",
    "too-few": "Too few images to tell",
    "unknown": "Nothing to compare with",
}

# An image's name, its original and the digit the network saw, as data URIs.
Seen = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class ShownEvidence:
    """Pictures that show a change, beside pictures that are as usual."""

    title: str
    unusual: Sequence[Seen]
    typical: Sequence[Seen]


class Told(Protocol):
    """Whatever has a verdict."""

    @property
    def verdict(self) -> str:
        """The verdict's code."""
        ...


def name_verdict(told: Told) -> str:
    """Name the verdict in a few words."""
    return _VERDICTS.get(told.verdict, told.verdict)


def evidence_names(drift: Drift | None) -> set[str]:
    """Name the images that are to be shown."""
    evidence = () if drift is None else drift.evidence
    return {name for shown in evidence for name in (*shown.unusual, *shown.typical)}


def show_evidence(
    drift: Drift | None, pictures: Mapping[str, tuple[str | None, str | None]]
) -> list[ShownEvidence]:
    """Put the evidence beside its pictures; an image that has gone meanwhile is left out."""

    def seen(names: Sequence[str]) -> list[Seen]:
        return [(name, *pictures[name]) for name in names if name in pictures]

    return [
        ShownEvidence(shown.title, seen(shown.unusual), seen(shown.typical))
        for shown in (() if drift is None else drift.evidence)
    ]


def shape_of(shares: Sequence[float], finding: Finding) -> str:
    """Draw shares as steps in an SVG path of 120 x 32, where both of a finding's fit."""
    first, after = _reach(finding)
    highest = max(*finding.before, *finding.now)
    step = _WIDTH / (after - first)
    path = [f"M0 {_HEIGHT:g}"]
    for place, share in enumerate(shares[first:after]):
        path.append(f"V{_HEIGHT - (_HEIGHT - 2) * share / highest:.1f}H{(place + 1) * step:.1f}")
    return "".join(path)


def _reach(finding: Finding) -> tuple[int, int]:
    """Give the first bin that is worth drawing, and the one after the last."""
    if finding.names:
        return 0, len(finding.names)
    both = [max(pair) for pair in zip(finding.before, finding.now, strict=True)]
    worth = [place for place, share in enumerate(both) if share >= 0.001]  # noqa: PLR2004 - no pixel high
    return max(0, worth[0] - 1), min(len(both), worth[-1] + 2)
