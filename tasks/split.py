"""Split normalised rows into training, validation, calibration and test parts by their digests."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest
from digitline.errors import DataError
from digitline.learning.errata import read_errata
from digitline.learning.parts import (
    CALIBRATION,
    CORRECTIONS,
    TEST,
    VALIDATION,
    Origin,
    split_rows,
    train_name,
)
from digitline.learning.split import Shares
from digitline.models.card import Rows
from digitline.pixels.normalise import NORMALISER
from digitline.provenance import digest_of
from tasks import stage

_log = logging.getLogger("digitline")


class Split(BaseModel):
    """The parts of the rows: a training file for each data set, validation, calibration, test.

    What people corrected is the last of the training files, called `corrections`.
    """

    model_config = ConfigDict(frozen=True)

    manifest: Manifest
    train: dict[str, Path]
    validation: Path
    calibration: Path
    test: Path
    digits: dict[str, tuple[int, ...]]
    """Images of each digit, by part."""
    relabelled: int = 0
    """Images whose label the errata put right."""

    def identity(self, part: str) -> Rows:
        """Give the number of rows of a part and the digest of its files."""
        files = [shard for shard in self.manifest.shards if shard.name.startswith(part)]
        digest = digest_of({shard.name: shard.sha256 for shard in files})
        return Rows(rows=sum(shard.rows for shard in files), digest=digest)


@stage(tags=("digitline",))
def split_by_digest(
    origins: Sequence[Origin],
    cache: Path,
    shares: Shares,
    corrections: Path | None = None,
    errata: Sequence[Path] = (),
) -> Split:
    """Split the rows of the data sets, and what people corrected, into a directory in `cache`.

    `errata` are files of labels known to be wrong.
    """
    known = read_errata(errata)
    corrected = [] if corrections is None else [Origin(CORRECTIONS, corrections)]
    key = digest_of(
        {
            "origins": [_identity(origin) for origin in (*origins, *corrected)],
            "shares": shares.model_dump(),
            "normaliser": NORMALISER,
            "errata": sorted((row_id.hex(), entry.digit) for row_id, entry in known.items()),
        }
    )
    directory = cache / key[:16]
    manifest = read_manifest(directory) or split_rows(
        origins, directory, shares, NORMALISER, key, corrections, known
    )
    _require_rows(manifest, directory)
    names = [origin.name for origin in (*origins, *corrected)]
    split = Split(
        manifest=manifest,
        train={name: directory / train_name(name) for name in names},
        validation=directory / VALIDATION,
        calibration=directory / CALIBRATION,
        test=directory / TEST,
        digits=manifest.facts["digits"],
        relabelled=manifest.facts["relabelled"],
    )
    _log.info(
        "  split      %s%s",
        ", ".join(f"{sum(counts):,} {part}" for part, counts in split.digits.items()),
        f"; {split.relabelled:,} labels put right by errata" if split.relabelled else "",
    )
    return split


def _identity(origin: Origin) -> list[str]:
    manifest = read_manifest(origin.train.parent)
    return [origin.name, "" if manifest is None else manifest.digest]


def _require_rows(manifest: Manifest, directory: Path) -> None:
    for part, counts in manifest.facts["digits"].items():
        if sum(counts) == 0:
            raise DataError(
                f"no rows for the {part} part", where=directory, todo="Add more labelled images"
            )
