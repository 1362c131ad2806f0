"""Suspect labels: find those of a data set that are probably wrong, once for the same rows."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from digitline.commit import Manifest, read_manifest, write_manifest
from digitline.learning.suspects import ISSUES, ISSUES_NAME, find_suspects, out_of_fold
from digitline.provenance import digest_of
from digitline.rows import PIXELS, digests, labels, pixels, read_batches, write_rows
from digitline.sources.dataset import opened
from tasks import stage

# Changes whenever the same rows would give other suspects than before.
_VERSION = "1"
_SEEDS = (0, 1)
_log = logging.getLogger("digitline")


@stage("suspect labels of {data.name}", tags=("digitline",))
def suspect_labels(data: Path, rows: Path, cache: Path, *, search: bool = True) -> Path | None:
    """Write the suspects among the normalised training rows in `rows` of the data set in `data`.

    Gives the file, likeliest first; without `search` that of an earlier search, or `None`.
    """
    manifest = read_manifest(rows)
    assert manifest is not None
    key = digest_of({"rows": manifest.digest, "version": _VERSION})
    target = cache / f"suspects-{key[:16]}"
    if read_manifest(target) is None:
        if not search:
            return None
        _log.info("  suspect    six small networks read rows they have not seen ...")
        shard = write_rows(target / ISSUES_NAME, ISSUES, iter([_search(data, rows)]))
        write_manifest(target, Manifest(kind="label issues", shards=(shard,)))
    return target / ISSUES_NAME


def _search(data: Path, rows: Path) -> pa.RecordBatch:
    batches = list(read_batches(rows / "train.parquet"))
    ids = np.concatenate([digests(batch) for batch in batches])
    px = np.concatenate([pixels(batch) for batch in batches])
    truth = np.concatenate([labels(batch) for batch in batches])
    # Two networks for each row: what both say is less often a slip of one.
    chances = np.mean([out_of_fold(ids, px, truth, seed=seed) for seed in _SEEDS], axis=0)
    found = find_suspects(truth, chances)
    names = _names(data, {ids[row].tobytes() for row in found.rows})
    suspects = [ids[row].tobytes() for row in found.rows]
    columns = [
        pa.array(suspects, pa.binary(32)),
        pa.array([names[each] for each in suspects], pa.string()),
        pa.array(truth[found.rows], pa.int8()),
        pa.array(found.suggested, pa.int8()),
        pa.array(found.score, pa.float32()),
        pa.array([px[row].tobytes() for row in found.rows], pa.binary(PIXELS)),
    ]
    return pa.record_batch(columns, schema=ISSUES)


def _names(data: Path, wanted: set[bytes]) -> dict[bytes, str]:
    """Find the names of images by their ids, in the raw rows they were made from."""
    names: dict[bytes, str] = {}
    with opened(data) as raw:
        for batch in raw.batches("train"):
            for image in batch.column("image").to_pylist():
                image_id = hashlib.sha256(image["bytes"]).digest()
                if image_id in wanted:
                    names.setdefault(image_id, image["path"] or image_id.hex())
    return names
