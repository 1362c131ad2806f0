"""Evaluate a challenger on the test rows, beside the champion, and judge it."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from digitline.errors import IncompatibleError, NoModelError, SettingsError
from digitline.judging.certificate import Certificate, certify
from digitline.judging.demands import Gate
from digitline.judging.gate import Build, Promotion, Showing, judge
from digitline.judging.metrics import calibration_error, digit_scores, reliability
from digitline.judging.trial import Trial, write_trial
from digitline.judging.verdict import Verdict
from digitline.models.bundle import Model, predict
from digitline.models.card import Card, Metrics
from digitline.models.draft import read_draft
from digitline.models.reading import Reading, read
from digitline.models.registry import Registry
from digitline.rows import labels, pixels, read_batches, read_labelled
from tasks import stage

_GOLDEN_ROWS = 64
_log = logging.getLogger("digitline")


class Evaluated(BaseModel):
    """What the challenger showed: its answers' file, metrics and the verdict."""

    model_config = ConfigDict(frozen=True)

    trial: Path
    metrics: Metrics
    verdict: Verdict
    champion: str | None
    champion_error: float | None


@stage(tags=("digitline",))
def evaluate_challenger(
    draft: Path,
    sha256: str,
    validation_error: float,
    certificate: Certificate,
    oddness_limit: float,
    test: Path,
    registry: Registry,
    gate: Gate,
    promotion: Promotion,
    out: Path,
) -> Evaluated:
    """Let challenger and champion read the same test rows; write their answers to `out`."""
    estimator = read_draft(draft, sha256)
    champion = _load_champion(registry)
    began = time.perf_counter()
    truth, answers = _read_test(test, lambda px: read(estimator, px))
    speed = len(truth) / (time.perf_counter() - began)
    champion_answers = None if champion is None else _read_test(test, champion.read)[1]
    trial = Trial(
        truth,
        answers.probabilities,
        None if champion_answers is None else champion_answers.probabilities,
        answers.oddness > oddness_limit,
    )
    write_trial(out, trial)
    verdict = judge(
        truth,
        Showing(answers.probabilities, certificate.read_rate),
        _show(champion, trial, certificate),
        Build(draft.stat().st_size, speed, _differ(estimator, test)),
        gate,
        promotion,
    )
    accepted = answers.probabilities.max(axis=1) >= np.float32(certificate.threshold)
    accepted &= ~trial.odd
    metrics = _measure(trial, accepted, validation_error)
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


def _show(champion: Model | None, trial: Trial, certificate: Certificate) -> Showing | None:
    if champion is None or trial.champion is None:
        return None
    return Showing(trial.champion, _certified_read_rate(champion.card, certificate))


def _certified_read_rate(card: Card, like: Certificate) -> float | None:
    """Give the read rate that the card certifies for the same error; 0 where it certifies none."""
    if card.curve is None:
        return None
    try:
        return certify(card.curve, like.max_error, like.level).read_rate
    except SettingsError:
        return 0.0


def _read_test(
    path: Path, reader: Callable[[NDArray[np.uint8]], Reading]
) -> tuple[NDArray[np.int8], Reading]:
    """Give the labels (n,) and what `reader` makes of the pixels."""
    truth, readings = [], []
    for batch in read_batches(path):
        truth.append(labels(batch))
        readings.append(reader(pixels(batch)))
    return np.concatenate(truth), Reading(
        np.concatenate([reading.probabilities for reading in readings]),
        np.concatenate([reading.oddness for reading in readings]),
        np.concatenate([reading.odd for reading in readings]),
    )


def _differ(estimator: Any, test: Path) -> float:  # noqa: ANN401 - scikit-learn has no types
    """Give the largest difference between our one pass and scikit-learn's own, on some rows."""
    digits, _ = read_labelled(test, _GOLDEN_ROWS)
    ours, theirs = read(estimator, digits).probabilities, predict(estimator, digits)
    return float(np.max(np.abs(ours - theirs)))


def _measure(trial: Trial, accepted: NDArray[np.bool_], validation_error: float) -> Metrics:
    accuracy = float(np.mean(trial.right))
    scores = digit_scores(trial.truth, trial.challenger.argmax(axis=1).astype(np.int8))
    confidence = trial.challenger.max(axis=1)
    wrong = int(np.sum(accepted & ~trial.right))
    _log.info(
        "  evaluate   at the certified threshold %.1f %% of test images are read, %d of %s wrong",
        100 * accepted.mean(),
        wrong,
        f"{accepted.sum():,}",
    )
    return Metrics(
        accuracy=accuracy,
        error=1 - accuracy,
        n_test=len(trial.truth),
        validation_error=validation_error,
        recall=tuple(score.recall if score.support else None for score in scores),
        more={
            "calibration_error": calibration_error(reliability(trial.right, confidence)),
            "read_rate": float(accepted.mean()),
            "error_among_accepted": wrong / max(1, int(accepted.sum())),
        },
    )
