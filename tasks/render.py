"""Render the report of a run: the page, its `metrics.json`, and the index over all runs."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitline.judging.trial import read_trial
from digitline.report.data import (
    MOST_NAMES,
    Check,
    Data,
    Dropped,
    Part,
    RetrainReport,
    judge,
)
from digitline.report.index import rebuild_index
from digitline.report.pages import write_report
from digitline.report.pictures import look, retrain_pictures
from digitline.rows import labels, pixels, read_batches
from digitline.sources.checks import Outcome
from digitline.sources.dataset import Ingested, opened
from tasks import stage

_log = logging.getLogger("digitline")


@stage()
def render_retrain(
    report: RetrainReport,
    trial: Path,
    threshold: float,
    train: Sequence[Path],
    test: Path,
    reports: Path,
) -> RetrainReport:
    """Add what the trial shows to a report, and write its page into `reports`."""
    answers = read_trial(trial)
    judged = judge(
        answers.truth,
        answers.challenger,
        threshold,
        champion_probabilities=answers.champion,
    )
    complete = report.model_copy(update={"judged": judged})
    test_px = np.concatenate([pixels(batch) for batch in read_batches(test)])
    pictures = retrain_pictures(judged, test_px, look=look(_labelled(train)))
    page = write_report(reports / report.run.id, complete, pictures)
    rebuild_index(reports)
    _log.info("  report     %s", page)
    return complete


def describe_data(data_sets: Mapping[str, Ingested], digits: Mapping[str, Sequence[int]]) -> Data:
    """Say what a model is made from: the data sets by name, and the digits in each part."""
    ingested = data_sets.values()
    return Data(
        name=", ".join(data_sets),
        parts=tuple(Part(name=part, digits=tuple(counts)) for part, counts in digits.items()),
        checks=tuple(_check(outcome) for each in ingested for outcome in each.facts.outcomes),
        dropped=tuple(_dropped([each.directory for each in ingested])),
    )


def _labelled(files: Sequence[Path]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int8]]]:
    for file in files:
        for batch in read_batches(file):
            yield pixels(batch), labels(batch)


def _check(outcome: Outcome) -> Check:
    counted = outcome.rule in {"rows", "classes", "test-classes"}
    return Check(
        name=outcome.rule,
        level=outcome.severity,
        passed=outcome.passed,
        found=f"{outcome.count:,}" if counted else f"{outcome.count:,} ({outcome.share:.2%})",
        allowed=_allowed(outcome),
        sentence=outcome.sentence,
    )


def _allowed(outcome: Outcome) -> str:
    if outcome.rule == "rows":
        return f"at least {outcome.threshold:,.0f}"
    if outcome.rule in {"classes", "test-classes"}:
        return f"at most {outcome.threshold:.0f} missing"
    return f"at most {outcome.threshold:.2%}"


def _dropped(directories: Sequence[Path]) -> Iterator[Dropped]:
    names: dict[str, list[str]] = defaultdict(list)
    messages: dict[str, str] = {}
    for directory in directories:
        with opened(directory) as data:
            for batch in data.dropped():
                for row in batch.to_pylist():
                    names[row["reason"]].append(row["path"])
                    messages.setdefault(row["reason"], row["message"])
    for reason, paths in sorted(names.items()):
        yield Dropped(
            reason=reason,
            count=len(paths),
            names=tuple(paths[:MOST_NAMES]),
            message=messages[reason],
        )
