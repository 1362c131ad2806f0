"""Normalise a data set: raw rows in, normalised rows out, once for the same content."""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest, write_manifest
from digitline.judging.census import Census, count, observe_pictures
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.reading import Reading
from digitline.pixels.reading import normalise_rows as normalised
from digitline.provenance import digest_of
from digitline.rows import normalised_schema, write_rows
from digitline.sources.dataset import Dataset, opened, part_name
from tasks import stage

_log = logging.getLogger("digitline")


class Normalised(BaseModel):
    """Normalised rows: the directory, the digest of its content, and the parts in it.

    `pictures` is what was measured of the pictures the rows were made from.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    digest: str
    parts: tuple[str, ...]
    rows: int
    pictures: Census = Census()


@stage("normalise {directory.name}", tags=("digitline",))
def normalise_rows(directory: Path, cache: Path, limits: Limits) -> Normalised:
    """Normalise the raw rows of the data set in `directory` into a directory under `cache`."""
    with opened(directory) as raw:
        key = digest_of({"rows": raw.manifest.digest, "normaliser": NORMALISER})
        target = cache / f"{directory.name}-{key[:16]}"
        manifest = read_manifest(target)
        done_before = manifest is not None
        if manifest is None:
            manifest = _normalise_parts(raw, target, limits)
    rows = sum(shard.rows for shard in manifest.shards)
    _log.info("  normalise  %s digits%s", f"{rows:,}", ", done before" if done_before else "")
    return Normalised(
        directory=target,
        digest=manifest.digest,
        parts=tuple(Path(shard.name).stem for shard in manifest.shards),
        rows=rows,
        pictures=Census.model_validate(manifest.facts.get("pictures", {})),
    )


def _normalise_parts(raw: Dataset, target: Path, limits: Limits) -> Manifest:
    schema = normalised_schema(NORMALISER)
    seen: list[Census] = []

    def watch(reading: Reading) -> None:
        seen.append(count(len(reading.places), observe_pictures(reading.traits)))

    manifest = Manifest(
        kind="normalised rows",
        shards=tuple(
            write_rows(
                target / part_name(part), schema, normalised(raw.batches(part), limits, watch)
            )
            for part in raw.parts
        ),
        facts={
            "rows": raw.manifest.digest,
            "normaliser": NORMALISER,
            "pictures": sum(seen, Census()).model_dump(mode="json"),
        },
    )
    write_manifest(target, manifest)
    return manifest
