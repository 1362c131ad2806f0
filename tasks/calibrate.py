"""Calibrate a trained network, and trace which error can be certified at which read rate."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from digitline.errors import SettingsError
from digitline.judging.certificate import Certificate, Curve, attainable, certify, trace
from digitline.learning.calibration import calibrate, temperature
from digitline.models.bundle import predict
from digitline.models.draft import read_draft, write_draft
from digitline.rows import labels, pixels, read_batches, read_labelled
from tasks import stage

# One number is fitted: more rows would cost memory and change nothing.
_MOST_ROWS = 50_000
_log = logging.getLogger("digitline")


class Calibrated(BaseModel):
    """A calibrated network: the file it lies in, and what it is certified for."""

    model_config = ConfigDict(frozen=True)

    draft: Path
    sha256: str
    curve: Curve
    certificate: Certificate


@stage("calibrate")
def calibrate_network(
    trained: Path,
    sha256: str,
    validation: Path,
    calibration: Path,
    max_error: float,
    certainty: float,
    draft: Path,
) -> Calibrated:
    """Fit the temperature on validation rows and certify on calibration rows; write to `draft`.

    Where `max_error` cannot be certified, the certificate is for the smallest error that can.
    """
    network = read_draft(trained, sha256)
    calibrated = calibrate(network, *read_labelled(validation, _MOST_ROWS))
    curve = trace(*_answer(calibrated, validation), *_answer(calibrated, calibration))
    certificate = _certify(curve, max_error, certainty)
    _log.info("  calibrate  temperature %.2f", temperature(calibrated))
    _log.info("  certify    %s", certificate.sentence)
    return Calibrated(
        draft=draft, sha256=write_draft(draft, calibrated), curve=curve, certificate=certificate
    )


def _answer(estimator: Any, rows: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # noqa: ANN401 - scikit-learn has no types
    """Give the confidence of the answer to each row, (n,), and whether it is right."""
    confidence, right = [], []
    for batch in read_batches(rows, ["label", "px"]):
        probabilities = predict(estimator, pixels(batch))
        confidence.append(probabilities.max(axis=1))
        right.append(probabilities.argmax(axis=1) == labels(batch))
    return np.concatenate(confidence), np.concatenate(right)


def _certify(curve: Curve, max_error: float, certainty: float) -> Certificate:
    try:
        return certify(curve, max_error, certainty)
    except SettingsError as error:
        # Scoring refuses the target again; a model for a laxer one is still of use.
        _log.warning("  certify    %s", error)
        return attainable(curve, certainty)
