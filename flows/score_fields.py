"""The `score_fields` flow: from a folder of rows of digits to strings, errors and a manifest."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, ConfigDict, JsonValue

from digitline.commit import locked
from digitline.progress import watched_by
from digitline.provenance import digest_of
from digitline.runs import now, open_run
from digitline.scoring.bulk import Engine
from digitline.scoring.crew import warm_up
from digitline.scoring.export import Format
from digitline.scoring.field_shard import FieldDuty
from digitline.scoring.legal import Check, Legal
from digitline.scoring.reasons import Tolerance
from digitline.scoring.results import Counts
from digitline.settings import load_settings
from digitline.sources.listing import Selection
from flows.artifacts import show_progress, show_run
from flows.orchestration import at_home, require_engine
from flows.score import (
    Order,
    Reader,
    count_rows,
    finish_run,
    keep_notes,
    open_reader,
    open_results,
    score_all,
)
from tasks.collect import collect_results, count_results, export_results
from tasks.snapshot import snapshot_source

_log = logging.getLogger("digitline")


class ScoredFields(BaseModel):
    """What a scoring of fields came to: the counts, and where the results lie.

    `published` is the address they were copied to, if any.
    """

    model_config = ConfigDict(frozen=True)

    counts: Counts
    results: Path
    published: str | None = None


@dataclass(frozen=True)
class FieldOrder:
    """What is to be read, and which strings are legal."""

    order: Order
    legal: Legal

    def key(self, reader: Reader) -> str:
        """Identify the work: an unfinished run with the same key is taken up again."""
        return digest_of(
            {
                "order": self.order.facts(),
                "legal": self.legal.facts(),
                "basis": reader.basis,
                "shard_rows": reader.settings.bulk.shard_rows,
            }
        )


@flow(persist_result=False)
@at_home
def score_fields(
    source: str,
    out: str | Path | None = None,
    threshold: float | None = None,
    workers: int | None = None,
    max_error: float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    error_threshold: str | None = None,
    kind: Format = "parquet",
    join: bool = False,  # noqa: FBT001, FBT002 - Prefect calls a flow by names
    length: str | None = None,
    check: Check | None = None,
    codes: Path | None = None,
    previous: Path | None = None,
    engine: Engine | None = None,
    address: str | None = None,
) -> ScoredFields:
    """Read fields, images of a short row of digits: each ends as accept, review or error.

    Args:
        source: Folder of images, zip or tar archive, Parquet of raw rows, or CSV manifest; a
            path, or an address such as s3://bucket/scans.
        out: Directory or address for the results; the run's own directory where none is given.
        threshold: Confidence from which a digit, and a field, is accepted, in place of a
            certified one.
        workers: Processes that read images; the setting where none is given.
        max_error: Share of accepted digits that may be wrong; the setting where none is given.
        include: Patterns of the names to score; all where there are none.
        exclude: Patterns of the names to leave out.
        error_threshold: Images that may fail (`25`, `2%`, `-1` for any) before the run ends
            with an error.
        kind: Format of the results beside Parquet: csv or jsonl.
        join: Write the columns of a CSV manifest with what became of each of its images.
        length: How many digits are legal, such as `5` or `3-6`.
        check: Check digit that legal strings have: luhn, mod11 or mod97.
        codes: File with the strings that are legal, one a line.
        previous: CSV file with the columns file and previous: meters, which never run backwards.
        engine: What scores the shards: `local` processes, or the workers of a `dask` cluster;
            the setting where none is given.
        address: Dask scheduler, such as `tcp://10.0.0.7:8786`; a cluster on this machine where
            neither this nor the setting gives one.
    """
    bulk = {
        "workers": workers,
        "error_threshold": error_threshold,
        "engine": engine,
        "address": address,
    }
    given = {name: value for name, value in bulk.items() if value is not None}
    settings = load_settings(threshold=threshold, max_error=max_error, bulk=given)
    require_engine(settings.bulk, address)
    tolerance = Tolerance.parse(settings.bulk.error_threshold)
    order = FieldOrder(
        Order(source, out, Selection(tuple(include), tuple(exclude)), kind, join),
        Legal.parse(length, check, codes, previous),
    )
    reader = open_reader(settings)
    if settings.bulk.engine == "local":
        warm_up()
    key = order.key(reader)
    lock = locked(settings.places.lock(f"score-{key[:16]}"), f"score {source}")
    with lock, watched_by(show_progress):
        scored = _score(order, reader, key)
    show_run("Fields read", str(scored.counts), count_rows(scored.counts), scored.results)
    tolerance.check(scored.counts, scored.results)
    return scored


def _score(wanted: FieldOrder, reader: Reader, key: str) -> ScoredFields:
    order, home = wanted.order, reader.settings.places
    run = open_run(home, "fields", key, now())
    results, claimed = open_results(run, order.out)
    _log.info("%s%s", run.id, ", taken up again" if run.resumed else "")
    listing = run.directory / "listing.parquet"
    snapshot = snapshot_source(order.source, order.selection, listing, home.downloads)
    duty = FieldDuty(**vars(reader.duty), legal=wanted.legal)
    shards = score_all(snapshot, duty, reader.settings.bulk, None, results)
    counts = count_results(shards, snapshot.images)
    columns = order.columns(home.downloads)
    exported = export_results(len(shards), listing, columns, order.kind, results)
    facts: dict[str, JsonValue] = {
        "run": run.id,
        **order.facts(),
        "legal": wanted.legal.facts(),
        **reader.basis,
    }
    kept = keep_notes(run, snapshot) if results == run.directory else ()
    collect_results(shards, (*exported, *kept), counts, facts, results, claimed)
    finish_run(run, results, snapshot)
    published = None if claimed is None else str(claimed.place)
    return ScoredFields(counts=counts, results=results, published=published)
