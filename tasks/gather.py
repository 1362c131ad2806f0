"""Gather what people corrected: the last word on each image, as normalised rows."""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest, write_manifest
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.reading import normalise_rows
from digitline.provenance import digest_of
from digitline.review.store import DIGITS, OTHERS, Store
from digitline.rows import normalised_schema, write_rows
from tasks import stage

_log = logging.getLogger("digitline")


class Gathered(BaseModel):
    """Corrections to learn from: their rows, how many, and how many images are no digit."""

    model_config = ConfigDict(frozen=True)

    rows: Path
    digits: int
    others: int


@stage(tags=("digitline",))
def gather_corrections(store: Path, cache: Path, limits: Limits) -> Gathered | None:
    """Normalise the corrections in `store` into a directory under `cache`; `None` without any.

    What is no digit is counted and kept aside.
    """
    corrections = Store(store)
    if not corrections.imports():
        return None
    key = digest_of({"rows": corrections.digest, "normaliser": NORMALISER})
    target = cache / f"corrections-{key[:16]}"
    manifest = read_manifest(target) or _normalise(corrections, target, limits)
    gathered = Gathered(
        rows=target / "train.parquet",
        digits=manifest.shard("train.parquet").rows,
        others=manifest.facts["others"],
    )
    _log.info("  gather     %s corrections of people", f"{gathered.digits:,}")
    return gathered if gathered.digits else None


def _normalise(corrections: Store, target: Path, limits: Limits) -> Manifest:
    rows = normalise_rows(corrections.rows(DIGITS), limits)
    shard = write_rows(target / "train.parquet", normalised_schema(NORMALISER), rows)
    others = sum(batch.num_rows for batch in corrections.rows(OTHERS))
    manifest = Manifest(kind="normalised rows", shards=(shard,), facts={"others": others})
    write_manifest(target, manifest)
    return manifest
