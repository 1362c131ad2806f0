"""Promote a challenger that the gate lets through; what is held stays where it is."""

import logging

from digitline.judging.gate import Verdict
from digitline.models.registry import Registry
from tasks import stage

_log = logging.getLogger("digitline")


@stage("promote {version}")
def promote_challenger(
    version: str, verdict: Verdict, champion: str | None, registry: Registry, run: str, now: str
) -> None:
    """Point the champion at `version` where the verdict, reached against `champion`, says so."""
    if verdict.promotes:
        registry.promote(version, reason=verdict.sentence, run=run, created=now, expected=champion)
    _log.info("  promote    %s: %s", verdict.kind, verdict.sentence)
