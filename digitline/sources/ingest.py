"""From a source to a committed data set: look at every row, judge, write, swap in.

The source is read twice. The first pass keeps a digest, a label and a fault a row; the second
writes the rows that remain, and the digests tell whether a file has changed in between. So memory
holds one row group of images and some 42 bytes a row. Dropped rows cost a third pass.
"""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline import rows
from digitline.commit import Manifest, Shard, check_shards, locked, write_manifest
from digitline.errors import SourceError, TamperedError
from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.sources.checks import (
    CLASSES,
    CODES,
    DROPPING,
    KEPT,
    Checks,
    Outcome,
    Survey,
    enforce,
    find_faults,
    judge,
)
from digitline.sources.dataset import (
    DROPPED,
    DROPPED_NAME,
    KIND,
    Facts,
    Ingested,
    PartFacts,
    part_name,
    read_committed,
    replaced,
)
from digitline.sources.item import NO_IMAGE, Item, Part, Source
from digitline.sources.swap import standing

_BATCH_ROWS = 256
_BATCH_BYTES = 16 << 20


def ingest(source: Source, directory: Path, checks: Checks, limits: Limits) -> Ingested:
    """Validate a source and commit its rows as the data set `directory`.

    The same source gives the same bytes. Where the data set already holds these rows it is left
    as it is. Raises `DataError` where a blocking rule fails, `SourceError` where the source cannot
    be read or changes meanwhile, `BusyError` where another run writes this data set.
    """
    with locked(directory.with_name(f".{directory.name}.lock"), f"ingest to {directory.name}"):
        copy = _find_copy(source, directory, checks)
        if copy is not None:
            return _ingested(directory, "unchanged", *copy)
        survey = look(source, checks, limits)
        faults = find_faults(survey)
        outcomes = judge(survey, faults, checks)
        enforce(outcomes, source.where)
        facts = _facts(source, survey, faults, outcomes, checks)
        same = _find_same(source, directory, facts)
        if same is not None:
            return _ingested(directory, "unchanged", same, facts)
        with replaced(directory) as draft:
            shards = _write(source, draft, survey, faults, limits)
            manifest = Manifest(kind=KIND, shards=shards, facts=facts.model_dump(mode="json"))
            write_manifest(draft, manifest)
        return _ingested(directory, "written", manifest, facts)


def look(source: Source, checks: Checks, limits: Limits) -> Survey:
    """Read every row once and keep what the rules need of it; `SourceError` where none is there."""
    digests, names = bytearray(), bytearray()
    labels, faults = array("b"), array("B")
    sizes: dict[Part, int] = {}
    for part in source.parts:
        before = len(faults)
        for item in source.read(part):
            digests += hashlib.sha256(item.content).digest()
            names += hashlib.sha256(item.path.encode()).digest()[:8]
            labels.append(_label(item))
            faults.append(_fault(item, checks, limits))
        sizes[part] = len(faults) - before
    if not faults:
        raise SourceError("there is no image in it", where=source.where, todo="Choose another one")
    return Survey(
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
        labels=np.frombuffer(labels, np.int8),
        names=np.frombuffer(names, np.uint64),
        faults=np.frombuffer(faults, np.uint8),
        sizes=sizes,
    )


def _label(item: Item) -> int:
    if item.label is None or not 0 <= item.label < CLASSES:
        return rows.UNLABELLED
    return item.label


def _fault(item: Item, checks: Checks, limits: Limits) -> int:
    if item.problem is not None:
        return CODES["schema" if item.problem.reason == NO_IMAGE else "unreadable"]
    if _label(item) == rows.UNLABELLED:
        return CODES["labels"]
    try:
        px = decode(item.content, limits)
    except UndecodableError:
        return CODES["undecodable"]
    contrast = np.ptp(np.atleast_3d(px), axis=(0, 1)).max()
    return CODES["blank"] if contrast <= checks.blank_contrast else KEPT


def _find_copy(source: Source, directory: Path, checks: Checks) -> tuple[Manifest, Facts] | None:
    """Find the data set at `directory` to be the source itself, or a copy of its files.

    Then its rows have been judged before, and a look at every image again would tell nothing new.
    """
    theirs, ours = read_committed(Path(source.where)), read_committed(directory)
    if theirs is None or ours is None:
        return None
    names = [part_name(part) for part in source.parts]
    files = [
        [shard for shard in manifest.shards if shard.name in names]
        for manifest, _ in (theirs, ours)
    ]
    same = files[0] == files[1] and ours[1].checks == checks
    return ours if same and _is_intact(directory, ours[0]) else None


def _find_same(source: Source, directory: Path, facts: Facts) -> Manifest | None:
    """Find the data set at `directory` to hold the very rows of `facts`."""
    committed = read_committed(directory)
    if committed is None:
        return None
    manifest, theirs = committed
    itself = Path(source.where).resolve() == directory.resolve()
    same = theirs.rows_digest == facts.rows_digest and (
        itself or theirs.dropped_digest == facts.dropped_digest
    )
    return manifest if same and _is_intact(directory, manifest) else None


def _is_intact(directory: Path, manifest: Manifest) -> bool:
    try:
        check_shards(standing(directory), manifest)
    except TamperedError:
        return False  # it is written anew
    return True


def _facts(
    source: Source,
    survey: Survey,
    faults: NDArray[np.uint8],
    outcomes: tuple[Outcome, ...],
    checks: Checks,
) -> Facts:
    kept = faults == KEPT
    return Facts(
        source=source.kind,
        source_digest=_digest(survey, np.ones_like(kept), survey.faults),
        rows_digest=_digest(survey, kept, faults),
        dropped=int((~kept).sum()),
        dropped_digest=_digest(survey, ~kept, faults),
        parts={part: _part_facts(survey, kept, part) for part in source.parts},
        checks=checks,
        outcomes=outcomes,
    )


def _part_facts(survey: Survey, kept: NDArray[np.bool_], part: Part) -> PartFacts:
    mine = survey.training if part == "train" else ~survey.training
    labels = survey.labels[mine & kept]
    counts = np.bincount(labels, minlength=CLASSES)
    return PartFacts(read=survey.sizes[part], rows=len(labels), labels=tuple(counts.tolist()))


def _digest(survey: Survey, chosen: NDArray[np.bool_], faults: NDArray[np.uint8]) -> str:
    """SHA-256 over the chosen rows: part, content, path, label and fault of each."""
    digest = hashlib.sha256()
    for column in (survey.training, survey.digests, survey.names, survey.labels, faults):
        digest.update(column[chosen].tobytes())
    return digest.hexdigest()


def _write(
    source: Source, draft: Path, survey: Survey, faults: NDArray[np.uint8], limits: Limits
) -> tuple[Shard, ...]:
    """Write a file for each part that has rows left, and one for what is dropped."""
    shards = [
        rows.write_rows(
            draft / part_name(part), rows.RAW, _raw_batches(source, part, survey, faults)
        )
        for part in source.parts
        if _part_facts(survey, faults == KEPT, part).rows
    ]
    if (faults != KEPT).any():
        dropped = _dropped_batches(source, survey, faults, limits)
        shards.append(rows.write_rows(draft / DROPPED_NAME, DROPPED, dropped))
    return tuple(shards)


def _raw_batches(
    source: Source, part: Part, survey: Survey, faults: NDArray[np.uint8]
) -> Iterator[pa.RecordBatch]:
    items: list[Item] = []
    for number, item in _read_again(source, part, survey):
        if faults[number] == KEPT:
            items.append(item)
        if len(items) == _BATCH_ROWS or sum(len(one.content) for one in items) > _BATCH_BYTES:
            yield _raw_batch(items)
            items = []
    if items:
        yield _raw_batch(items)


def _raw_batch(items: list[Item]) -> pa.RecordBatch:
    labels = np.array([_label(item) for item in items], np.int8)
    return rows.raw_batch([item.content for item in items], [item.path for item in items], labels)


def _dropped_batches(
    source: Source, survey: Survey, faults: NDArray[np.uint8], limits: Limits
) -> Iterator[pa.RecordBatch]:
    for part in source.parts:
        for number, item in _read_again(source, part, survey):
            if faults[number] != KEPT:
                rule = DROPPING[faults[number] - 1].name
                row = {"path": item.path, "part": part, "reason": rule}
                row["message"] = _explain(rule, item, limits)
                yield pa.RecordBatch.from_pylist([row], schema=DROPPED)


def _read_again(source: Source, part: Part, survey: Survey) -> Iterator[tuple[int, Item]]:
    """Read a part once more, with each row's number in the survey.

    Raises `SourceError` where it is not what it was.
    """
    start = survey.sizes["train"] if part == "test" and "train" in survey.sizes else 0
    end = number = start
    end += survey.sizes[part]
    for item in source.read(part):
        digest = hashlib.sha256(item.content).digest()
        if number == end or digest != survey.digests[number].tobytes():
            raise _changed(item.path)
        yield number, item
        number += 1
    if number != end:
        raise _changed(source.where)


def _changed(where: str) -> SourceError:
    return SourceError(
        "changed while it was read", where=where, todo="Run again when nothing writes to it"
    )


def _explain(rule: str, item: Item, limits: Limits) -> str:
    if item.problem is not None:
        return item.problem.message
    if rule == "labels":
        return "no label" if item.label is None else f"label {item.label} is not a digit"
    if rule == "undecodable":
        try:
            decode(item.content, limits)
        except UndecodableError as error:
            return str(error)
    if rule == "blank":
        return "one even shade"
    digest = hashlib.sha256(item.content).hexdigest()
    return f"{_SHARED[rule]} (SHA-256 {digest})"


_SHARED = {
    "conflicts": "identical to a file with another label",
    "leakage": "identical to a test image",
    "duplicates": "identical to an earlier file",
}


def _ingested(
    directory: Path, verdict: Literal["written", "unchanged"], manifest: Manifest, facts: Facts
) -> Ingested:
    return Ingested(directory=directory, verdict=verdict, digest=manifest.digest, facts=facts)
