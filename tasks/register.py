"""Register a challenger: from here on it is signed and can be looked at, whatever the verdict."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitline.models.card import Facts
from digitline.models.draft import read_draft
from digitline.models.registry import Registry
from digitline.rows import labels, pixels, read_batches
from tasks import stage

_log = logging.getLogger("digitline")


@stage(tags=("digitline",))
def register_challenger(
    draft: Path, sha256: str, facts: Facts, test: Path, registry: Registry
) -> str:
    """Register the draft as a version, once for a run; give the version."""
    version = registry.register(read_draft(draft, sha256), facts, _pick_golden(test))
    _log.info("  register   %s, signed", version)
    return version


def _pick_golden(test: Path) -> NDArray[np.uint8]:
    """Pick the first test row of each digit there is, (k, 784)."""
    golden: dict[int, NDArray[np.uint8]] = {}
    for batch in read_batches(test):
        for label, px in zip(labels(batch).tolist(), pixels(batch), strict=True):
            golden.setdefault(label, px)
    return np.stack([golden[label] for label in sorted(golden)])
