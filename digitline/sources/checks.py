"""The rules a data set must keep before anything learns from it.

Every rule has a severity: a *block* that fails stops the run, a *warn* is only told. Rows that
break a rule are dropped whatever its severity; the threshold says how large their share may be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from digitline.errors import DataError
from digitline.sources.item import Part

Severity: TypeAlias = Literal["block", "warn"]
CLASSES = 10
KEPT = 0


class Checks(BaseModel):
    """Thresholds of the rules: the largest share of rows that may break each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_share: float = Field(
        0.0, ge=0, le=1, description="Rows that hold no image at all, as a share of all rows"
    )
    unreadable_share: float = Field(
        0.01, ge=0, le=1, description="Files that could not be read, as a share of all rows"
    )
    labels_share: float = Field(
        0.0, ge=0, le=1, description="Rows whose label is missing or not 0-9"
    )
    undecodable_share: float = Field(
        0.01, ge=0, le=1, description="Files that are no image, as a share of all rows"
    )
    blank_share: float = Field(
        0.01, ge=0, le=1, description="Images of one even shade, as a share of all rows"
    )
    conflicts_share: float = Field(
        0.01, ge=0, le=1, description="Identical files with different labels, as a share"
    )
    leakage_share: float = Field(
        0.0, ge=0, le=1, description="Training images that are test images too, as a share"
    )
    duplicates_share: float = Field(
        0.05, ge=0, le=1, description="Repeated files with the same label, as a share of all rows"
    )
    min_rows: int = Field(100, ge=1, description="Training rows that must remain")
    missing_classes: int = Field(
        0, ge=0, le=CLASSES, description="Digits that may be absent from the training rows"
    )
    missing_test_classes: int = Field(
        0, ge=0, le=CLASSES, description="Digits that may be absent from the test rows"
    )
    blank_contrast: int = Field(
        8,
        ge=0,
        le=255,
        description="An image is blank when its lightest and darkest pixel differ by no more",
    )


@dataclass(frozen=True)
class Rule:
    """One line of the rule table: what must hold, how much it matters, what helps."""

    name: str
    severity: Severity
    setting: str
    sentence: str
    remedy: str


# Rules that drop rows, in the order they are asked: a row is dropped for its first fault.
DROPPING: tuple[Rule, ...] = (
    Rule(
        "schema",
        "block",
        "schema_share",
        "Every row holds an image.",
        "Export the data set with the images' bytes in it",
    ),
    Rule(
        "unreadable",
        "block",
        "unreadable_share",
        "Every file can be read.",
        "Look at the files' permissions and the links among them",
    ),
    Rule(
        "labels",
        "block",
        "labels_share",
        "Every label is a digit 0-9.",
        "Label these images or take them out",
    ),
    Rule(
        "undecodable",
        "block",
        "undecodable_share",
        "Every file is an image that can be decoded.",
        "Take the broken files out or replace them",
    ),
    Rule(
        "blank",
        "warn",
        "blank_share",
        "Every image shows something.",
        "Take the empty images out",
    ),
    Rule(
        "conflicts",
        "block",
        "conflicts_share",
        "Identical files have the same label.",
        "Decide which label is right",
    ),
    Rule(
        "leakage",
        "warn",
        "leakage_share",
        "No test image is among the training images.",
        "Take the test images out of the training part",
    ),
    Rule(
        "duplicates",
        "warn",
        "duplicates_share",
        "No file is there twice.",
        "Take the copies out",
    ),
)

# The code a row carries for the rule it breaks; `KEPT` is nobody's.
CODES: Mapping[str, int] = MappingProxyType(
    {rule.name: code for code, rule in enumerate(DROPPING, start=KEPT + 1)}
)

# Rules about the rows that remain.
REMAINING: tuple[Rule, ...] = (
    Rule(
        "rows",
        "block",
        "min_rows",
        "Enough training rows remain.",
        "Add images, or lower checks.min_rows",
    ),
    Rule(
        "classes",
        "block",
        "missing_classes",
        "Every digit is among the training rows.",
        "Add images of the missing digits",
    ),
    Rule(
        "test-classes",
        "warn",
        "missing_test_classes",
        "Every digit is among the test rows.",
        "Add test images of the missing digits",
    ),
)


class Outcome(BaseModel):
    """What one rule found. `share` is of all rows, or of the ten digits for the classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    severity: Severity
    count: int
    share: float
    threshold: float
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Survey:
    """What a first look at every row of a source keeps of it, training rows before test rows.

    `digests` (n, 32) uint8 SHA-256 of the bytes, `labels` (n,) int8 with -1 where there is none
    in 0-9, `names` (n,) uint64 a hash of each path, `faults` (n,) uint8 the code of the rule a row
    breaks by itself or `KEPT`, `sizes` the number of rows a part.
    """

    digests: NDArray[np.uint8]
    labels: NDArray[np.int8]
    names: NDArray[np.uint64]
    faults: NDArray[np.uint8]
    sizes: Mapping[Part, int]

    @property
    def training(self) -> NDArray[np.bool_]:
        """Which rows are training rows, (n,)."""
        return np.arange(len(self.labels)) < self.sizes.get("train", 0)


def find_faults(survey: Survey) -> NDArray[np.uint8]:
    """Find the code of the rule each row is dropped for, (n,), `KEPT` for those that remain.

    Identical files with different labels all go. Of a file that is in both parts the training
    copies go, of one that is twice in a part the later.
    """
    faults = survey.faults.copy()
    rows = np.flatnonzero(faults == KEPT)
    groups = _group(survey.digests[rows])
    labels = survey.labels[rows]
    test = ~survey.training[rows]
    conflicting = _spread(groups, labels)
    leaking = ~test & _any(groups, test)
    repeated = np.ones(len(rows), bool)
    # Groups are told apart by part: a test row repeats only an earlier test row.
    repeated[np.unique(2 * groups + test, return_index=True)[1]] = False
    faults[rows[repeated]] = CODES["duplicates"]
    faults[rows[leaking]] = CODES["leakage"]
    faults[rows[conflicting]] = CODES["conflicts"]
    return faults


def judge(survey: Survey, faults: NDArray[np.uint8], checks: Checks) -> tuple[Outcome, ...]:
    """Hold every rule against the rows: `faults` as `find_faults` gave them."""
    total = len(faults)
    outcomes = [
        _outcome(rule, int((faults == CODES[rule.name]).sum()), total, checks) for rule in DROPPING
    ]
    kept = faults == KEPT
    training, test = kept & survey.training, kept & ~survey.training
    rows, classes, test_classes = REMAINING
    remaining = int(training.sum())
    outcomes.append(
        Outcome(
            rule=rows.name,
            severity=rows.severity,
            count=remaining,
            share=_share(remaining, total),
            threshold=checks.min_rows,
            passed=remaining >= checks.min_rows,
            sentence=rows.sentence,
        )
    )
    outcomes.append(_classes(classes, survey.labels[training], checks))
    if survey.sizes.get("test", 0):
        outcomes.append(_classes(test_classes, survey.labels[test], checks))
    return tuple(outcomes)


def enforce(outcomes: tuple[Outcome, ...], where: str) -> None:
    """Raise `DataError` for the first blocking rule that failed: which, how many, what to do."""
    remedies = {rule.name: rule.remedy for rule in (*DROPPING, *REMAINING)}
    for outcome in outcomes:
        if outcome.severity == "block" and not outcome.passed:
            raise DataError(explain(outcome), where=where, todo=remedies[outcome.rule])


def explain(outcome: Outcome) -> str:
    """Say in one line, without a full stop, how a rule failed."""
    sentence = outcome.sentence.rstrip(".")
    if outcome.rule == "rows":
        found = f"{outcome.count} remain, {outcome.threshold:.0f} are needed"
    elif outcome.rule in {"classes", "test-classes"}:
        found = f"{outcome.count} of {CLASSES} are missing"
    else:
        found = (
            f"{outcome.count} rows do not ({outcome.share:.2%}, "
            f"at most {outcome.threshold:.2%} may)"
        )
    return f"rule `{outcome.rule}` failed ({sentence}): {found}"


def _outcome(rule: Rule, count: int, total: int, checks: Checks) -> Outcome:
    share, threshold = _share(count, total), float(getattr(checks, rule.setting))
    return Outcome(
        rule=rule.name,
        severity=rule.severity,
        count=count,
        share=share,
        threshold=threshold,
        passed=share <= threshold,
        sentence=rule.sentence,
    )


def _classes(rule: Rule, labels: NDArray[np.int8], checks: Checks) -> Outcome:
    missing = CLASSES - len(np.unique(labels))
    threshold = float(getattr(checks, rule.setting))
    return Outcome(
        rule=rule.name,
        severity=rule.severity,
        count=missing,
        share=missing / CLASSES,
        threshold=threshold,
        passed=missing <= threshold,
        sentence=rule.sentence,
    )


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def _group(digests: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Give equal digests the same number: (n, 32) to (n,)."""
    keys = np.ascontiguousarray(digests).view("V32").reshape(-1)
    return np.unique(keys, return_inverse=True)[1]


def _any(groups: NDArray[np.intp], flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell for each row whether any row of its group has the flag."""
    flagged = np.zeros(groups.max(initial=-1) + 1, bool)
    flagged[groups[flags]] = True
    return flagged[groups]


def _spread(groups: NDArray[np.intp], labels: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Tell for each row whether its group has more than one label."""
    size = groups.max(initial=-1) + 1
    lowest, highest = np.full(size, CLASSES), np.full(size, -1)
    np.minimum.at(lowest, groups, labels)
    np.maximum.at(highest, groups, labels)
    spread: NDArray[np.bool_] = (lowest != highest)[groups]
    return spread
