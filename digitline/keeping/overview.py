"""How things stand: the champion, the last runs, the inbox, what waits for a person, the disk."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.errors import DigitlineError, SourceError
from digitline.home import Home
from digitline.keeping.glance import Drift, Glance, look_at_runs
from digitline.keeping.inventory import size_of
from digitline.keeping.memory import read_memory
from digitline.models.registry import Registry
from digitline.objects import Address
from digitline.scoring.job import LastRun, read_last
from digitline.sources.bucket import walk_bucket
from digitline.sources.files import walk

_LAST_RUNS = 5


class Record(BaseModel):
    """A frozen record."""

    model_config = ConfigDict(frozen=True)


class Champion(Record):
    """The model in use; `read_rate` is the share of test images that it accepts."""

    version: str
    error: float
    read_rate: float | None
    since: datetime
    run: str


class Held(Record):
    """A challenger newer than the champion that the gate held, and why."""

    version: str
    error: float
    sentence: str


class Inbox(Record):
    """What is watched, a folder or an address: images in it, and those that no run has scored yet.

    `fault` says why it cannot be looked into.
    """

    folder: str
    there: bool
    fault: str = ""
    images: int = 0
    waiting: int = 0


class Disk(Record):
    """Bytes on disk by place, and those still free."""

    used: dict[str, int]
    free: int


class Trouble(Record):
    """What the unattended service could not do, and since how many tries."""

    job: str
    failures: int
    error: str
    again: datetime | None = None


class NextRun(Record):
    """A run that Prefect's server has planned."""

    deployment: str
    when: datetime


class Overview(Record):
    """Everything at a glance; `fault` says why there is no champion to speak of."""

    home: Path
    champion: Champion | None
    fault: str = ""
    held: tuple[Held, ...] = ()
    runs: tuple[Glance, ...] = ()
    inbox: Inbox
    drift: Drift | None = None
    drift_run: str = ""
    trouble: tuple[Trouble, ...] = ()
    disk: Disk
    server: str = ""
    next_runs: tuple[NextRun, ...] = ()


def survey(home: Home, inbox: Path | Address, job: str) -> Overview:
    """Look at everything there is a file about; `job` is the one that scores the `inbox`."""
    runs = tuple(look_at_runs(home))
    champion, fault = _champion(home)
    shown = next((run for run in runs if run.drift is not None), None)
    return Overview(
        home=home.root,
        champion=champion,
        fault=fault,
        held=tuple(_held(home, champion)),
        runs=runs[:_LAST_RUNS],
        inbox=_inbox(home, inbox, job),
        drift=None if shown is None else shown.drift,
        drift_run="" if shown is None else shown.id,
        trouble=tuple(_trouble(home)),
        disk=_disk(home),
    )


def _champion(home: Home) -> tuple[Champion | None, str]:
    registry = Registry(home.models, home.keys)
    try:
        card = registry.card(registry.champion())
        last = registry.history()[-1]
    except DigitlineError as error:
        return None, str(error)
    champion = Champion(
        version=card.version,
        error=card.metrics.error,
        read_rate=card.metrics.more.get("read_rate"),
        since=datetime.fromisoformat(last.when),
        run=card.run,
    )
    return champion, ""


def _held(home: Home, champion: Champion | None) -> Iterator[Held]:
    if champion is None:
        return
    for finding in Registry(home.models, home.keys).survey():
        card = finding.card
        if card is None or int(card.version[1:]) < int(champion.version[1:]):
            continue
        if card.verdict.kind == "hold" and card.version != champion.version:
            yield Held(
                version=card.version, error=card.metrics.error, sentence=card.verdict.sentence
            )


def _inbox(home: Home, inbox: Path | Address, job: str) -> Inbox:
    images = waiting = 0
    try:
        for waits in _look_into(inbox, *_known(home, read_last(home.jobs, job))):
            images += 1
            waiting += waits
    except DigitlineError as error:
        return Inbox(folder=str(inbox), there=False, fault=str(error))
    return Inbox(folder=str(inbox), there=True, images=images, waiting=waiting)


def _look_into(inbox: Path | Address, known: Mapping[str, str], when: float) -> Iterator[bool]:
    """Say of each image whether it waits: it is not known, or another since then."""
    if isinstance(inbox, Address):
        for named in walk_bucket(inbox):
            yield named.etag != known.get(named.name)
        return
    if not inbox.is_dir():
        raise SourceError("no such folder", where=inbox)
    for found in walk(inbox):
        yield found.name not in known or _written(found.path) > when


def _known(home: Home, last: LastRun | None) -> tuple[dict[str, str], float]:
    """Give the names that the job's last run has listed, their tags in a bucket, and when."""
    listing = None if last is None else home.runs / last.run / "listing.parquet"
    if listing is None or not listing.exists():
        return {}, 0.0
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to load, and not always needed

    names, tags = pq.read_table(listing, columns=["name", "etag"]).to_pydict().values()
    return dict(zip(names, tags, strict=True)), listing.stat().st_mtime


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone, or a broken link: nothing newer than what is known
        return 0.0


def _trouble(home: Home) -> Iterator[Trouble]:
    for path in sorted(home.service.glob("*.json")):
        memory = read_memory(home.service, path.stem)
        if memory.failures:
            yield Trouble(
                job=path.stem, failures=memory.failures, error=memory.error, again=memory.again
            )


def _disk(home: Home) -> Disk:
    places = {
        "data": home.data,
        "reports": home.reports,
        "models": home.models,
        "Prefect": home.prefect,
    }
    there = next(path for path in (home.root, *home.root.parents) if path.exists())
    return Disk(
        used={name: size_of(path) for name, path in places.items()},
        free=shutil.disk_usage(there).free,
    )
