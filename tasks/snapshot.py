"""Take a snapshot of what there is to score: files added meanwhile belong to the next run."""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.objects import Address, is_address
from digitline.pixels.normalise import NORMALISER
from digitline.rows import count_rows
from digitline.sources.listing import Selection, keep_listing, list_batches, list_bucket
from tasks import stage

_log = logging.getLogger("digitline")


class Snapshot(BaseModel):
    """A listing on disk, and how many images it names."""

    model_config = ConfigDict(frozen=True)

    listing: Path
    images: int


@stage("list {source}")
def snapshot_source(source: str, selection: Selection, listing: Path, cache: Path) -> Snapshot:
    """List the images selected from `source` into the file `listing`, once for a run.

    What a bucket holds that is read as a whole is copied beneath `cache`.
    """
    if listing.exists():
        images = count_rows(listing)
    elif is_address(source):
        batches = list_bucket(Address.parse(source), NORMALISER, selection, cache)
        images = keep_listing(listing, batches).rows
    else:
        images = keep_listing(listing, list_batches(source, NORMALISER, selection)).rows
    _log.info("  list       %s images", f"{images:,}")
    return Snapshot(listing=listing, images=images)
