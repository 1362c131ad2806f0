"""Ingest a source: validate it and commit its rows as a data set."""

import hashlib
import logging
import re
from pathlib import Path

from digitline.home import CHECKOUT, Home
from digitline.objects import Address, is_address
from digitline.pixels.decode import Limits
from digitline.sources.checks import Checks
from digitline.sources.dataset import Ingested, locate, read_committed
from digitline.sources.ingest import ingest
from digitline.sources.recognise import open_source
from tasks import stage

EMBEDDED = "mnist"
_log = logging.getLogger("digitline")


@stage("ingest {source}", tags=("digitline", "outside"), retries=2, retry_on=(OSError,))
def ingest_source(
    source: str, home: Home, checks: Checks, limits: Limits, name: str | None = None
) -> Ingested:
    """Commit the rows of `source` as the data set `name` of the home.

    Without a name, `source` may be that of a data set ingested before; any other is ingested
    under a name made from its path.
    """
    ingested = None if name else _find_committed(source, home.data)
    if ingested is None:
        opened = open_source(source, limits=limits, cache=home.downloads)
        directory = locate(home.data, name or _name(source))
        ingested = ingest(opened, directory, checks, limits)
    _tell(source, ingested)
    return ingested


def _find_committed(source: str, data: Path) -> Ingested | None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", source):
        return None
    directory = (CHECKOUT / "data" if source == EMBEDDED else data) / source
    committed = read_committed(directory)
    if committed is None:
        return None
    manifest, facts = committed
    return Ingested(directory=directory, verdict="unchanged", digest=manifest.digest, facts=facts)


def _name(source: str) -> str:
    """Name a data set after its path or address, telling apart two of the same last part."""
    if is_address(source):
        place = str(Address.parse(source)).rstrip("/")
    else:
        place = str(Path(source).expanduser().resolve()) if Path(source).exists() else source
    last = re.sub(r"[^a-z0-9]+", "-", Path(source).stem.lower()).strip("-")[:40]
    return f"{last or 'data'}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def _tell(source: str, ingested: Ingested) -> None:
    parts = ", ".join(f"{facts.rows:,} {part}" for part, facts in ingested.facts.parts.items())
    dropped = f", {ingested.facts.dropped:,} dropped" if ingested.facts.dropped else ""
    _log.info("  ingest     %s: %s%s", source, parts, dropped)
