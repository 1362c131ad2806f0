"""From which confidence on an answer is accepted: as set, or as a model's card certifies."""

import logging

from digitline.errors import IncompatibleError
from digitline.judging.certificate import certify
from digitline.models.card import Card
from digitline.settings import Settings

_log = logging.getLogger("digitline")


def find_threshold(card: Card, settings: Settings) -> float:
    """Give the threshold that was set, or certified for the error allowed, or the card's own.

    Raises `IncompatibleError` where the model is older than certified thresholds,
    `SettingsError` where the error asked for cannot be certified.
    """
    if settings.threshold is not None:
        return settings.threshold
    if "max_error" not in settings.model_fields_set:
        # Nobody asked: what the retraining certified, be it more than the default allows.
        if card.certificate is not None:
            _log.info("  certified  %s", card.certificate.sentence)
        return card.threshold
    if card.curve is None:
        raise IncompatibleError(
            f"{card.version} was made before thresholds were certified",
            todo="Train again with `digitline retrain`, or set a threshold",
        )
    certificate = certify(card.curve, settings.max_error, settings.certainty)
    _log.info("  certified  %s", certificate.sentence)
    return certificate.threshold
