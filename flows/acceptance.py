"""From which confidence on an answer is accepted: as set, or as a model's card certifies."""

import logging

from digitline.errors import IncompatibleError
from digitline.judging.certificate import certify
from digitline.models.card import Card
from digitline.settings import Settings

_log = logging.getLogger("digitline")


def find_threshold(card: Card, settings: Settings) -> float:
    """Give the threshold that was set, or the one the card certifies for the error allowed.

    Raises `IncompatibleError` where the model is older than certified thresholds.
    """
    if settings.threshold is not None:
        return settings.threshold
    if card.curve is None:
        raise IncompatibleError(
            f"{card.version} was made before thresholds were certified",
            todo="Train again with `digitline retrain`, or set a threshold",
        )
    certificate = certify(card.curve, settings.max_error, settings.certainty)
    _log.info("  certified  %s", certificate.sentence)
    return certificate.threshold
