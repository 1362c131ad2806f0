"""Render the report of a run: the page, its `metrics.json`, and the index over all runs."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.judging.drift import Drift
from digitline.judging.trial import read_trial
from digitline.learning.suspects import read_issues
from digitline.models import card
from digitline.models.draft import read_draft
from digitline.models.reading import network_of, pixel_weights
from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import normalise
from digitline.report import data as report_data
from digitline.report.data import (
    MOST_EARLIER,
    MOST_NAMES,
    MOST_SUSPECTS,
    Check,
    Corrections,
    Data,
    Dropped,
    Lineage,
    Part,
    RetrainReport,
    Run,
    ScoreReport,
    Suspect,
    Suspects,
    Version,
    judge,
)
from digitline.report.drift import evidence_names
from digitline.report.index import earlier_scorings, rebuild_index
from digitline.report.pages import write_report
from digitline.report.pictures import ScorePictures, Shot, look, retrain_pictures
from digitline.report.tally import MOST_REVIEW, Desk, ScoreTally
from digitline.review.answered import take_rows
from digitline.review.audit import estimate
from digitline.review.questions import Questions
from digitline.review.store import Store
from digitline.rows import PIXELS, labels, pixels, read_batches
from digitline.scoring.results import shard_files
from digitline.sources.checks import Outcome
from digitline.sources.dataset import Ingested, opened
from digitline.sources.files import UnreadableError
from digitline.sources.listing import Entry, read_digits, read_entry
from tasks import stage

_log = logging.getLogger("digitline")


@stage(tags=("digitline",))
def render_retrain(
    report: RetrainReport,
    trial: Path,
    threshold: float,
    train: Sequence[Path],
    test: Path,
    draft: Path,
    sha256: str,
    issues: Path | None,
    reports: Path,
) -> RetrainReport:
    """Add what the trial shows to a report, and write its page into `reports`.

    `issues` are the labels that may be wrong, `draft` the calibrated network of that `sha256`.
    """
    answers = read_trial(trial)
    judged = judge(
        answers.truth,
        answers.challenger,
        threshold,
        odd=answers.odd,
        champion_probabilities=answers.champion,
    )
    suspects, suspect_px = (None, None) if issues is None else _suspects(issues)
    data = report.data.model_copy(update={"suspects": suspects})
    complete = report.model_copy(update={"judged": judged, "data": data})
    pictures = retrain_pictures(
        judged,
        np.concatenate([pixels(batch) for batch in read_batches(test)]),
        look=look(_labelled(train)),
        suspects=suspect_px,
        weights=pixel_weights(network_of(read_draft(draft, sha256))),
    )
    page = write_report(reports / report.run.id, complete, pictures)
    rebuild_index(reports)
    _log.info("  report     %s", page)
    return complete


def describe_data(
    data_sets: Mapping[str, Ingested],
    digits: Mapping[str, Sequence[int]],
    learned: card.Data,
) -> Data:
    """Say what a model is made from: the data sets by name, and the digits in each part."""
    ingested, corrections = data_sets.values(), learned.corrections
    return Data(
        name=", ".join(data_sets),
        parts=tuple(Part(name=part, digits=tuple(counts)) for part, counts in digits.items()),
        checks=tuple(_check(outcome) for each in ingested for outcome in each.facts.outcomes),
        dropped=tuple(_dropped([each.directory for each in ingested])),
        corrections=None if corrections is None else Corrections.model_validate(corrections),
        relabelled=learned.relabelled,
    )


def _suspects(issues: Path) -> tuple[Suspects, NDArray[np.uint8]]:
    """Give the labels that may be wrong, and the pixels of those shown, (k, 784)."""
    table = read_issues([issues])
    first = table.slice(0, MOST_SUSPECTS)
    shown = tuple(
        Suspect(name=row["path"], label=row["label"], digit=row["suggested"], score=row["score"])
        for row in first.select(["path", "label", "suggested", "score"]).to_pylist()
    )
    px = np.frombuffer(b"".join(first.column("px").to_pylist()), np.uint8).reshape(-1, PIXELS)
    return Suspects(count=table.num_rows, shown=shown), px


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


@stage("report {run.id}")
def render_score(
    run: Run,
    model: Version,
    source: str,
    job: str,
    threshold: float,
    lineage: Lineage,
    results: Path,
    listing: Path,
    limits: Limits,
    drawn: int,
    corrections: Path,
    reports: Path,
    drift: Drift | None = None,
) -> ScoreReport:
    """Tally the shards in `results`, look at some images again, write the page.

    So many accepted answers are `drawn` for the review desk; of what people have said before, in
    `corrections`, nothing is asked again.
    """
    said = Store(corrections).answers()
    known = frozenset(answer.id for answer in said)
    tally, questions = ScoreTally(), Questions(run.id, threshold, drawn, known)
    shards = [
        shard_files(results, number)
        for number in range(len(list(results.glob("predictions-*.parquet"))))
    ]
    for predictions, errors in shards:
        for batch in read_batches(predictions):
            tally.add_predictions(batch)
            questions.add(batch)
        for batch in read_batches(errors):
            tally.add_errors(batch)
    report = tally.report(
        run=run,
        model=model,
        source=source,
        threshold=threshold,
        desk=_desk(questions, [predictions for predictions, _ in shards]),
        lineage=lineage,
        drift=drift,
    )
    audit = estimate(said).get(model.version)
    report = report.model_copy(
        update={
            "known": report.review - questions.waiting,
            "job": job,
            "earlier": tuple(earlier_scorings(reports, source, job, MOST_EARLIER)),
            "audit": None if audit is None else report_data.Audit.model_validate(audit),
        }
    )
    shots = _shoot(
        {tile.path for tile in (*report.accepted_tiles, *report.review_tiles)}
        | evidence_names(drift),
        listing,
        limits,
    )
    pictures = ScorePictures(
        accepted=[shots.get(tile.path) for tile in report.accepted_tiles],
        review=[shots.get(tile.path) for tile in report.review_tiles],
        evidence={name: shots[name] for name in evidence_names(drift) & shots.keys()},
    )
    page = write_report(reports / run.id, report, pictures)
    rebuild_index(reports)
    _log.info("  report     %s", page)
    return report


def _desk(questions: Questions, files: Sequence[Path]) -> Desk | None:
    asked = questions.ask(MOST_REVIEW)
    return Desk.of(take_rows(files, [question.row for question in asked])) if asked else None


def _shoot(names: set[str], listing: Path, limits: Limits) -> dict[str, Shot]:
    """Read some images once more, for the page; one that has gone meanwhile has no picture."""
    shots: dict[str, Shot] = {}
    digits: list[Entry] = []
    wanted = pa.array(sorted(names), pa.string())
    for batch in read_batches(listing):
        for row in batch.filter(pc.is_in(batch.column("name"), wanted)).to_pylist():
            entry = Entry(**row)
            if entry.opener == "normalised":
                digits.append(entry)
            elif (shot := _shot(entry, limits)) is not None:
                shots[entry.name] = shot
    if digits:
        seen = read_digits(digits)[1]
        shots |= {entry.name: Shot.of(None, px) for entry, px in zip(digits, seen, strict=True)}
    return shots


def _shot(entry: Entry, limits: Limits) -> Shot | None:
    try:
        original = decode(read_entry(entry, limits.max_bytes), limits)
    except (UnreadableError, UndecodableError):
        return None
    return Shot.of(original, normalise([original]).digits[0])
