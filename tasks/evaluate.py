"""Evaluate a challenger on the test rows, beside the champion, and judge it."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from digitline.errors import IncompatibleError, NoModelError
from digitline.judging.gate import Gate, Verdict, judge
from digitline.judging.metrics import digit_scores
from digitline.judging.trial import Trial, write_trial
from digitline.models.bundle import Model, predict
from digitline.models.card import Metrics
from digitline.models.draft import read_draft
from digitline.models.registry import Registry
from digitline.rows import labels, pixels, read_batches
from tasks import stage

_log = logging.getLogger("digitline")


class Evaluated(BaseModel):
    """What the challenger showed: its answers' file, metrics and the verdict."""

    model_config = ConfigDict(frozen=True)

    trial: Path
    metrics: Metrics
    verdict: Verdict
    champion: str | None
    champion_error: float | None


@stage()
def evaluate_challenger(
    draft: Path,
    sha256: str,
    validation_error: float,
    test: Path,
    registry: Registry,
    gate: Gate,
    out: Path,
) -> Evaluated:
    """Let challenger and champion read the same test rows; write their answers to `out`."""
    estimator = read_draft(draft, sha256)
    champion = _load_champion(registry)
    truth, challenger_answers = _read_test(test, lambda px: predict(estimator, px))
    champion_answers = None if champion is None else _read_test(test, champion.probabilities)[1]
    trial = Trial(truth, challenger_answers, champion_answers)
    write_trial(out, trial)
    verdict = judge(trial.right, trial.champion_right, gate)
    metrics = _measure(trial, validation_error)
    _log.info(
        "  evaluate   %.2f %% of %s test images right (%.2f %% error)",
        100 * metrics.accuracy,
        f"{metrics.n_test:,}",
        100 * metrics.error,
    )
    return Evaluated(
        trial=out,
        metrics=metrics,
        verdict=verdict,
        champion=None if champion is None else champion.version,
        champion_error=None
        if trial.champion_right is None
        else float(1 - np.mean(trial.champion_right)),
    )


def _load_champion(registry: Registry) -> Model | None:
    try:
        return registry.load(registry.champion())
    except NoModelError:
        return None
    except IncompatibleError as error:
        # It cannot score any more either, so any model that passes the floor is better.
        _log.warning("  evaluate   the champion cannot be compared: %s", error)
        return None


def _read_test(
    path: Path, reader: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Give the labels (n,) and what `reader` makes of the pixels, (n, 10)."""
    truth, answers = [], []
    for batch in read_batches(path):
        truth.append(labels(batch))
        answers.append(reader(pixels(batch)))
    return np.concatenate(truth), np.concatenate(answers)


def _measure(trial: Trial, validation_error: float) -> Metrics:
    accuracy = float(np.mean(trial.right))
    scores = digit_scores(trial.truth, trial.challenger.argmax(axis=1).astype(np.int8))
    return Metrics(
        accuracy=accuracy,
        error=1 - accuracy,
        n_test=len(trial.truth),
        validation_error=validation_error,
        recall=tuple(score.recall if score.support else None for score in scores),
    )
