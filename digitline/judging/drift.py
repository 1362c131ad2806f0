"""Whether images look like those of a reference: fixed tests, effect sizes, a verdict for people.

A measure has changed where chance hardly explains the difference *and* the difference is large
enough to matter. Chance is judged by fixed two-sample tests, their p-values corrected for their
number (Holm 1979).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import chi2_contingency, fisher_exact, kstwo

from digitline.judging.census import EXAMPLES, Census
from digitline.judging.measures import MEASURES, Group, Measure

FEWEST: Final = 50
LEVEL: Final = 0.01
# Between what is called small and what is called medium (Cohen 1988).
LIMITS: Final = {"mix": 0.15, "spread": 0.15, "rate": 0.3}
_EFFECTS: Final = {
    "mix": "Cramér's V",
    "spread": "distance",
    "rate": "Cohen's h",
}
_MOST_EVIDENCE: Final = 3

Verdict: TypeAlias = Literal["same", "rescan", "retrain", "too-few", "unknown"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Finding(_Record):
    """What a test came to: `images` compared with `reference` images of a reference.

    `p` is corrected for the number of tests. `changed` says that it lies below `LEVEL` while
    `effect` has reached `limit`. `now` and `before` are the shares of each bin; a bin has a name
    in `names`, or lies between two `edges`. `typical` and `seen` say the same in a few words.
    """

    measure: str
    title: str
    group: Group
    images: int
    reference: int
    test: str
    p: float
    effect: float
    effect_name: str
    limit: float
    changed: bool
    typical: str
    seen: str
    before: tuple[float, ...]
    now: tuple[float, ...]
    names: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def strength(self) -> float:
        """How many times the limit the effect is."""
        return self.effect / self.limit

    @property
    def sentence(self) -> str:
        """Say it in a few words."""
        return f"{self.title.lower()}, {self.seen} (usually {self.typical})"


class Comparison(_Record):
    """What a comparison with one reference came to; `untested` are titles with too few images."""

    reference: str
    verdict: Verdict
    sentence: str
    findings: tuple[Finding, ...] = ()
    untested: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Finding, ...]:
        """What changed, the strongest first."""
        changed = [finding for finding in self.findings if finding.changed]
        return tuple(sorted(changed, key=lambda finding: -finding.strength))


class Evidence(_Record):
    """Names of images that show a change, and of some that are as usual."""

    title: str
    unusual: tuple[str, ...]
    typical: tuple[str, ...]


class Drift(_Record):
    """The verdict, that of the last comparison, and all it rests on."""

    verdict: Verdict
    sentence: str
    census: Census
    comparisons: tuple[Comparison, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def ruling(self) -> Comparison | None:
        """The comparison that the verdict is from."""
        return self.comparisons[-1] if self.comparisons else None


@dataclass(frozen=True)
class Reference:
    """What images are compared with: a name, as it stands in a sentence, and its census."""

    name: str
    census: Census


def assess(now: Census, references: Sequence[Reference], model: str) -> Drift:
    """Compare images with each reference; the last one's verdict counts.

    Without any, the verdict is `unknown`; `model` is the version that is said to have none.
    """
    if not references:
        sentence = (
            f"There is no reference to compare with: {model} was made before models kept one. "
            "The next retraining gives one."
        )
        return Drift(verdict="unknown", sentence=sentence, census=now)
    comparisons = tuple(compare(now, reference) for reference in references)
    last = comparisons[-1]
    return Drift(
        verdict=last.verdict,
        sentence=last.sentence,
        census=now,
        comparisons=comparisons,
    )


def compare(now: Census, reference: Reference) -> Comparison:
    """Test every measure of which both have images enough, and say what it comes to."""
    tests, untested = [], []
    for name in MEASURES:
        known, measure = reference.census.counts.get(name, ()), reference.census.measure(name)
        seen = now.counts.get(name, ())
        if min(sum(known), sum(seen)) < FEWEST or len(known) != len(seen):
            untested.append(measure.title)
        else:
            tests.append((measure, np.array(known), np.array(seen)))
    chances = _corrected([_chance(*test) for test in tests])
    findings = tuple(_find(*test, p=p) for test, p in zip(tests, chances, strict=True))
    verdict = _judge(now.images, findings)
    return Comparison(
        reference=reference.name,
        verdict=verdict,
        sentence=_tell(verdict, now.images, findings, reference.name),
        findings=findings,
        untested=tuple(untested),
    )


def pick_evidence(
    finding: Finding, examples: Mapping[int, Sequence[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pick images that show a change, and some that are as usual, by the bins they are in."""
    excess = np.array(finding.now) - np.array(finding.before)
    unusual = [int(place) for place in np.argsort(-excess, kind="stable") if excess[place] > 0]
    usual = [
        int(place)
        for place in np.argsort(-np.array(finding.before), kind="stable")
        if excess[place] <= 0 < finding.before[place]
    ]
    first, second = (
        [place for number in bins for place in examples.get(number, ())]
        for bins in (unusual, usual)
    )
    return tuple(first[:EXAMPLES]), tuple(second[:EXAMPLES])


def strongest(comparison: Comparison) -> tuple[Finding, ...]:
    """Give the changes that are worth pictures: those the verdict rests on."""
    group = "pictures" if comparison.verdict == "rescan" else "writing"
    told = [finding for finding in comparison.changes if finding.group == group]
    return tuple(told[:_MOST_EVIDENCE])


def _find(
    measure: Measure, before: NDArray[np.int64], now: NDArray[np.int64], *, p: float
) -> Finding:
    shares = before / before.sum(), now / now.sum()
    effect, limit = _effect(measure, *shares), LIMITS[measure.kind]
    typical, seen = _values(measure, *shares)
    return Finding(
        measure=measure.name,
        title=measure.title,
        group=measure.group,
        images=int(now.sum()),
        reference=int(before.sum()),
        test=_test_name(measure),
        p=p,
        effect=effect,
        effect_name=_EFFECTS[measure.kind],
        limit=limit,
        changed=p < LEVEL and effect >= limit,
        typical=typical,
        seen=seen,
        before=tuple(np.round(shares[0], 6).tolist()),
        now=tuple(np.round(shares[1], 6).tolist()),
        names=measure.names,
        edges=measure.edges,
    )


def _chance(measure: Measure, before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """Give the probability of so large a difference between two samples of the same images."""
    if measure.kind == "spread":
        gap = float(np.abs(np.cumsum(before / before.sum()) - np.cumsum(now / now.sum())).max())
        # Of binned values the gap is no larger than of the values: never too many alarms.
        size = before.sum() * now.sum() / (before.sum() + now.sum())
        return float(kstwo.sf(gap, round(size)))
    table = np.stack([before, now])[:, before + now > 0]
    if table.shape[1] == 1:
        return 1.0
    if len(measure.names) == 2:  # noqa: PLR2004 - a table of two by two has an exact test
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table, correction=False).pvalue)


def _test_name(measure: Measure) -> str:
    if measure.kind == "spread":
        return "Kolmogorov-Smirnov"
    return "Fisher's exact" if len(measure.names) == 2 else "chi-square"  # noqa: PLR2004 - as above


def _effect(measure: Measure, before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Say how large a difference between shares is, whatever the number of images."""
    if measure.kind == "spread":
        return float(np.abs(np.cumsum(before) - np.cumsum(now)).max())
    if measure.kind == "rate":
        angles = 2 * np.arcsin(np.sqrt([before[1], now[1]]))
        return float(abs(angles[0] - angles[1]))
    # Cramér's V of two samples of the same size: else few images would never show a change.
    either = before + now
    known = either > 0
    return float(np.sqrt(np.sum((before - now)[known] ** 2 / either[known]) / 2))


def _corrected(chances: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979)."""
    order = np.argsort(chances, kind="stable")
    factors = np.arange(len(chances), 0, -1)
    stepped = np.maximum.accumulate(np.array(chances)[order] * factors)
    corrected = np.empty(len(chances))
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()


def _judge(images: int, findings: Sequence[Finding]) -> Verdict:
    if images < FEWEST or not findings:
        return "too-few"
    groups = {finding.group for finding in findings if finding.changed}
    if "pictures" in groups:
        return "rescan"
    return "retrain" if groups else "same"


def _tell(verdict: Verdict, images: int, findings: Sequence[Finding], name: str) -> str:
    if verdict == "too-few":
        return (
            f"{images:,} new images are too few to tell; from {FEWEST} on they are compared "
            f"with {name}."
        )
    if verdict == "same":
        return f"These {images:,} images are like {name}."
    group: Group = "pictures" if verdict == "rescan" else "writing"
    changed = [finding for finding in findings if finding.changed and finding.group == group]
    top = max(changed, key=lambda finding: finding.strength)
    if verdict == "rescan":
        return (
            f"The pictures are not like {name}; most of all {top.sentence}. Look first at how "
            "they are made: light, focus, scanner, pen."
        )
    return (
        f"The writing is not like {name}, though the pictures are; most of all {top.sentence}. "
        "Label some of these images and train again."
    )


def _values(
    measure: Measure, before: NDArray[np.float64], now: NDArray[np.float64]
) -> tuple[str, str]:
    """Say in a few words what is usual and what was seen."""
    gap = now - before if measure.kind == "mix" else np.cumsum(now - before)
    most = int(np.abs(gap).argmax())
    typical, seen = (_value(measure, shares, most) for shares in (before, now))
    return typical, seen


def _value(measure: Measure, shares: NDArray[np.float64], most: int) -> str:
    """Say what is typical of shares; `most` is the bin that changed most, or ends where it did."""
    if measure.kind == "mix":
        return f"{_percent(shares[most])} {measure.unit}{measure.names[most]}"
    if measure.kind == "rate":
        return _percent(shares[1])
    if measure.name == "confidence":
        edge = min(most, len(measure.edges) - 1)
        return f"{_percent(shares[edge + 1 :].sum())} surer than {100 * measure.edges[edge]:g} %"
    if measure.name == "oddness":
        return f"{_percent(shares[-1])} {measure.unit}"
    median = float(measure.middles[np.searchsorted(np.cumsum(shares), 0.5)])
    return f"{median:.0f} {measure.unit}" if median > 1 else f"{_percent(median)} {measure.unit}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
