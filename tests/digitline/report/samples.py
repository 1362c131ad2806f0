"""Reports over scikit-learn's small digits, read by a real if modest model."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from digitline import rows
from digitline.judging.census import Census
from digitline.judging.drift import Drift, Evidence, Reference, assess
from digitline.judging.verdict import Rule
from digitline.report import data
from digitline.report.drift import evidence_names
from digitline.report.pictures import (
    RetrainPictures,
    ScorePictures,
    Shot,
    look,
    retrain_pictures,
)
from digitline.report.tally import MOST_REVIEW, Desk, ScoreTally
from digitline.review.questions import Questions

HOSTILE = "<img src=x onerror=alert(1)>'\"&amp;\u202egnp.\x1b[31m\n.png"
_SHOWN = slice(500, 900)
MODEL = data.Version(version="20260102-0a1b2c", error=0.04)


@dataclass(frozen=True)
class Sample:
    """Digits (n, 784), what they are (n,), and what a model makes of them (n, 10)."""

    px: NDArray[np.uint8]
    truth: NDArray[np.int8]
    probabilities: NDArray[np.float32]
    before: NDArray[np.float32]


@cache
def sample() -> Sample:
    digits = load_digits()
    small = np.kron(digits.images * 15.9, np.ones((1, 3, 3)))
    px = np.pad(small, ((0, 0), (2, 2), (2, 2))).astype(np.uint8).reshape(-1, 784)
    truth = digits.target.astype(np.int8)
    read = [
        KNeighborsClassifier(10, weights="distance")
        .fit(px[:known], truth[:known])
        .predict_proba(px[_SHOWN])
        for known in (500, 300)
    ]
    now, before = (probabilities.astype(np.float32) for probabilities in read)
    return Sample(px[_SHOWN], truth[_SHOWN], now, before)


def retrain(
    run: str = "retrain-0003", name: str = HOSTILE
) -> tuple[data.RetrainReport, RetrainPictures]:
    """Report a retraining with every section there is."""
    digits = sample()
    judged = data.judge(
        digits.truth,
        digits.probabilities,
        0.9,
        names=[name] * len(digits.truth),
        champion_probabilities=digits.before,
    )
    rule = Rule(
        name="floor",
        passed=True,
        observed="96.0 %",
        needed="at least 90.0 %",
        sentence="It reads well enough at all.",
    )
    counts = tuple(np.bincount(digits.truth, minlength=10).tolist())
    report = data.RetrainReport(
        run=data.Run(id=run, when="2026-01-02T03:04:05+00:00", seconds=83.4),
        decision=data.Decision(verdict="promote", sentence="It reads better.", rules=(rule,)),
        model=MODEL,
        champion=data.Version(version="20260101-ffffff", error=0.05),
        recipe=data.Recipe(name="quick", values={"layers": [64], "note": name}),
        data=data.Data(
            name=name,
            parts=tuple(data.Part(name=part, digits=counts) for part in ("train", "test")),
            checks=(data.Check(name="blank", level="warn", passed=False, found="3", allowed="0"),),
            dropped=(data.Dropped(reason="blank", count=3, names=(name,), message=name),),
            corrections=data.Corrections(rows=12, others=1, weight=5),
            suspects=data.Suspects(
                count=1, shown=(data.Suspect(name=name, label=4, digit=9, score=-0.9),)
            ),
        ),
        lineage=data.Lineage(
            normaliser="1",
            seed=0,
            digests={"training rows": "0f" * 32},
            libraries={"scikit-learn": "1.9"},
            stages=(data.Stage(name="train", seconds=71.0),),
        ),
        training=data.Training(
            curve=tuple(
                data.Epoch(
                    number=number,
                    train_loss=1 / number,
                    validation_loss=1.2 / number,
                    validation_error=0.1 / number,
                    rate=0.001,
                    seconds=2.0,
                )
                for number in range(1, 5)
            ),
            best_epoch=4,
        ),
        judged=judged,
        audit=data.Audit(model="20260101-ffffff", n=40, wrong=1, low=0.0006, high=0.1316),
    )
    pictures = retrain_pictures(
        judged,
        digits.px,
        look=look([(digits.px, digits.truth)]),
        suspects=digits.px[:1],
        weights=np.random.default_rng(0).normal(size=(784, 8)).astype(np.float32),
    )
    return report, pictures


def predictions(name: str = HOSTILE, threshold: float = 0.9) -> pa.RecordBatch:
    """Give the sample's predictions as the scorer writes them; two files have a hostile name."""
    probabilities = sample().probabilities
    confidence = probabilities.max(axis=1)
    n = len(probabilities)
    ids = [hashlib.sha256(bytes([index % 256, index // 256])).digest() for index in range(n)]
    names = [f"{('a', 'b/c')[index % 2]}/scan {index}.png" for index in range(n)]
    names[int(confidence.argmin())] = names[int(confidence.argmax())] = name
    columns = [
        pa.array(names),
        pa.array(ids, pa.binary(32)),
        pa.array(probabilities.argmax(axis=1).astype(np.int8)),
        pa.array(confidence),
        pa.array(confidence),
        *(pa.array(probabilities[:, digit]) for digit in range(10)),
        pa.array(np.where(confidence >= threshold, "accept", "review").tolist()),
        pa.array([MODEL.version] * n),
    ]
    return pa.record_batch(columns, schema=rows.PREDICTIONS)


def errors(name: str = HOSTILE) -> pa.RecordBatch:
    columns = [[name, "b/c/cut.png", "b/c/film.gif"], ["truncated", "truncated", "animated"]]
    messages = [["the file ends early"] * 2 + [name]]
    return pa.record_batch([*map(pa.array, columns + messages)], schema=rows.ERRORS)


def _earlier(number: int) -> data.Earlier:
    run = data.Run(id=f"score-{number:04d}", when="2026-01-01T04:05:06+00:00", seconds=2.0)
    return data.Earlier(
        run=run, model=MODEL, n_in=100, accept=90 + number, review=5, error=5 - number
    )


def drifted(names: list[str]) -> Drift:
    """Tell of dark pictures with as many of each digit as ever."""
    digits = (20,) * 10
    usual = Census(images=200, counts={"polarity": (0, 200), "digits": digits})
    now = Census(images=200, counts={"polarity": (150, 50), "digits": digits})
    told = assess(now, [Reference("the training data of m0001", usual)], "m0001")
    shown = Evidence(title="Dark or light ink", unusual=tuple(names[:3]), typical=tuple(names[3:]))
    return told.model_copy(update={"evidence": (shown,)})


def score(run: str = "score-0004", name: str = HOSTILE) -> tuple[data.ScoreReport, ScorePictures]:
    """Report a scoring with every section there is."""
    tally, questions = ScoreTally(), Questions(run, 0.9, 5)
    batch = predictions(name)
    tally.add_predictions(batch)
    questions.add(batch)
    asked = pa.array([question.row for question in questions.ask(MOST_REVIEW)])
    tally.add_errors(errors(name))
    report = tally.report(
        run=data.Run(id=run, when="2026-01-02T04:05:06+00:00", seconds=2.5),
        model=MODEL,
        source=name,
        threshold=0.9,
        desk=Desk.of(pa.Table.from_batches([batch]).take(asked)),
        lineage=data.Lineage(normaliser="1"),
        drift=drifted(batch.column("path").to_pylist()[:6]),
    )
    report = report.model_copy(
        update={
            "earlier": tuple(_earlier(number) for number in (2, 3)),
            "audit": data.Audit(model=MODEL.version, n=40, wrong=1, low=0.0006, high=0.1316),
        }
    )
    row = {path: index for index, path in enumerate(batch.column("path").to_pylist())}

    def shot(tile: data.Tile) -> Shot:
        digit = sample().px[row[tile.path]].reshape(28, 28)
        paper = np.stack([255 - np.kron(digit, np.ones((8, 8), np.uint8))] * 3, axis=-1)
        return Shot.of(paper, digit)

    shots = {tile.path: shot(tile) for tile in (*report.accepted_tiles, *report.review_tiles)}
    return report, ScorePictures(
        tuple(shots[tile.path] for tile in report.accepted_tiles),
        tuple(shots[tile.path] for tile in report.review_tiles),
        {name: shots[name] for name in evidence_names(report.drift) & shots.keys()},
    )
