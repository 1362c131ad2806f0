"""Promote a challenger that the gate lets through; what is held stays where it is."""

import logging
from pathlib import Path

from digitline.judging.verdict import Verdict
from digitline.models.registry import Registry
from digitline.report.index import note_champions
from tasks import stage

_log = logging.getLogger("digitline")


@stage("promote {version}", tags=("digitline",))
def promote_challenger(
    version: str,
    verdict: Verdict,
    champion: str | None,
    registry: Registry,
    run: str,
    now: str,
    reports: Path,
) -> None:
    """Point the champion at `version` where the verdict, reached against `champion`, says so.

    The index in `reports` tells of it.
    """
    if verdict.promotes:
        registry.promote(version, reason=verdict.sentence, run=run, created=now, expected=champion)
        note_champions(reports, registry.history())
    _log.info("  promote    %s: %s", verdict.kind, verdict.sentence)
