"""Calibrate a trained network, and trace which error can be certified at which read rate."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.neural_network import MLPClassifier

from digitline.errors import SettingsError
from digitline.judging.census import Census, count, observe, odd_edges
from digitline.judging.certificate import Certificate, Curve, attainable, certify, trace
from digitline.learning.calibration import calibrate, temperature
from digitline.learning.guard import MEMBERS, Examples, fit_guard
from digitline.models.draft import read_draft, write_draft
from digitline.models.reading import activations, attach_guard, read
from digitline.pixels.distort import Distortion, distort
from digitline.pixels.junk import draw_junk
from digitline.rows import labels, pixels, read_batches, read_labelled
from tasks import stage

# One number is fitted: more rows would cost memory and change nothing.
_MOST_ROWS = 50_000
# Digits that each member of the guard learns from, and as many pictures of junk, each as it is and
# distorted.
_MOST_FAMILIAR = 12_000
_GUARD = 0x6A
_log = logging.getLogger("digitline")


class Calibrated(BaseModel):
    """A calibrated network: the file it lies in, and what it is certified for."""

    model_config = ConfigDict(frozen=True)

    draft: Path
    sha256: str
    curve: Curve
    certificate: Certificate
    oddness_limit: float
    reference: Census


@stage("calibrate", tags=("digitline",))
def calibrate_network(
    trained: Path,
    sha256: str,
    train: Path,
    validation: Path,
    calibration: Path,
    max_error: float,
    certainty: float,
    odd: float,
    distortion: Distortion,
    seed: int,
    draft: Path,
) -> Calibrated:
    """Fit temperature and guard, and certify on calibration rows; write the whole to `draft`.

    The share `odd` of the validation rows may be taken for something else than a digit; the guard
    learns that digits may look as the network's `distortion` makes them. Where `max_error` cannot
    be certified, the certificate is for the smallest error that can.
    """
    network = read_draft(trained, sha256)
    calibrated = calibrate(network, *read_labelled(validation, _MOST_ROWS))
    attach_guard(calibrated, _fit_guard(network, train, distortion, seed))
    drafted = _answer(calibrated, validation)
    limit = float(np.quantile(drafted.oddness, 1 - odd))
    answers = _answer(calibrated, calibration)
    curve = _trace(drafted, answers, limit)
    certificate = _certify(curve, max_error, certainty)
    accepted = answers.accepted_at_most(limit) >= np.float32(certificate.threshold)
    reference = _survey(calibrated, calibration, accepted, odd_edges(answers.oddness))
    _log.info("  calibrate  temperature %.2f", temperature(calibrated))
    _log.info("  certify    %s", certificate.sentence)
    return Calibrated(
        draft=draft,
        sha256=write_draft(draft, calibrated),
        curve=curve,
        certificate=certificate,
        oddness_limit=limit,
        reference=reference,
    )


@dataclass(frozen=True)
class _Answers:
    """Answers to n rows: how sure, whether right, and how odd, each (n,)."""

    confidence: NDArray[np.float32]
    right: NDArray[np.bool_]
    oddness: NDArray[np.float32]

    def accepted_at_most(self, limit: float) -> NDArray[np.float32]:
        """Give the confidences, below 0 where a row is too odd to be accepted at all."""
        return np.where(self.oddness > limit, np.float32(-1), self.confidence)


def _fit_guard(
    network: MLPClassifier, train: Path, distortion: Distortion, seed: int
) -> MLPClassifier:
    digits, _ = read_labelled(train, _MOST_FAMILIAR * MEMBERS)

    def examples(member: int) -> Examples:
        rng = np.random.default_rng([seed, _GUARD, member])
        own = digits[member::MEMBERS]
        # The network knows its digits by heart; as others might write them, they are no stranger.
        seen = [own, draw_junk(len(own), digits, rng)]
        px = np.concatenate([*seen, *(distort(each, distortion, rng) for each in seen)])
        strange = np.tile(np.repeat([False, True], len(own)), 2)
        return Examples(activations(network, px), strange)

    return fit_guard(examples, seed)


def _answer(estimator: Any, rows: Path) -> _Answers:  # noqa: ANN401 - scikit-learn has no types
    confidence, right, oddness = [], [], []
    for batch in read_batches(rows, ["label", "px"]):
        reading = read(estimator, pixels(batch))
        confidence.append(reading.probabilities.max(axis=1))
        right.append(reading.probabilities.argmax(axis=1) == labels(batch))
        oddness.append(reading.oddness)
    return _Answers(np.concatenate(confidence), np.concatenate(right), np.concatenate(oddness))


def _survey(
    estimator: Any,  # noqa: ANN401 - scikit-learn has no types
    rows: Path,
    accepted: NDArray[np.bool_],
    edges: tuple[float, ...],
) -> Census:
    """Measure the writing in rows that the network has never seen, and what it makes of them."""
    census = Census()
    for batch in read_batches(rows, ["px"]):
        px, taken = pixels(batch), slice(census.images, census.images + batch.num_rows)
        reading = read(estimator, px)
        bins = observe(px, reading.probabilities, accepted[taken], reading.oddness, edges)
        census += count(len(px), bins, edges)
    return census


def _trace(drafted: _Answers, answers: _Answers, limit: float) -> Curve:
    return trace(
        drafted.accepted_at_most(limit),
        drafted.right,
        answers.accepted_at_most(limit),
        answers.right,
    )


def _certify(curve: Curve, max_error: float, certainty: float) -> Certificate:
    try:
        return certify(curve, max_error, certainty)
    except SettingsError as error:
        # Scoring refuses the target again; a model for a laxer one is still of use.
        _log.warning("  certify    %s", error)
        return attainable(curve, certainty)
