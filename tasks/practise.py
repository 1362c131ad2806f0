"""Make practice rows: training digits as realistic pictures, normalised, once for the same rows."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from digitline.commit import Manifest, read_manifest, write_manifest
from digitline.dependants import depend_on_parent
from digitline.learning.stream import count_labels
from digitline.models.card import Rows
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.practice import Lesson, practise_lesson
from digitline.progress import showing
from digitline.provenance import code_digest, digest_of
from digitline.rows import (
    SIDE,
    count_rows,
    labels,
    normalised_batch,
    normalised_schema,
    pixels,
    read_batches,
    write_rows,
)
from tasks import stage

PRACTICE = "practice.parquet"
# Digits rendered at a time by one process.
_LESSON = 250
_log = logging.getLogger("digitline")


class Practised(BaseModel):
    """Practice rows: the file, what identifies its content, and how many show each digit."""

    model_config = ConfigDict(frozen=True)

    path: Path
    rows: Rows
    digits: tuple[int, ...]


@stage("practise", tags=("digitline",))
def practise_rows(
    train: Sequence[Path], train_digest: str, count: int, seed: int, cache: Path
) -> Practised:
    """Render `count` training rows, or all if there are fewer, into a directory under `cache`.

    Rows are taken evenly from the files `train`, whose content `train_digest` identifies. The
    same arguments make the same rows, however many processes share the work.
    """
    facts = {"train": train_digest, "code": code_digest(), "seed": seed, "count": count}
    key = digest_of(facts)
    directory = cache / key[:16]
    manifest = read_manifest(directory)
    done_before = manifest is not None
    if manifest is None:
        shard = write_rows(
            directory / PRACTICE, normalised_schema(NORMALISER), _make(train, count, seed)
        )
        manifest = Manifest(kind="practice rows", shards=(shard,), facts={"key": key, **facts})
        write_manifest(directory, manifest)
    (shard,) = manifest.shards
    _log.info("  practise   %s renderings%s", f"{shard.rows:,}", ", done before" * done_before)
    return Practised(
        path=directory / PRACTICE,
        rows=Rows(rows=shard.rows, digest=shard.sha256),
        digits=tuple(count_labels(directory / PRACTICE).tolist()),
    )


def _make(train: Sequence[Path], count: int, seed: int) -> Iterator[pa.RecordBatch]:
    lessons = list(_choose(train, count))
    workers = min(len(os.sched_getaffinity(0)), len(lessons))
    # Not forked from this process: it has threads.
    context = get_context("forkserver")
    with (
        ProcessPoolExecutor(workers, context, initializer=_prepare) as pool,
        _dropping(pool),
        showing("practise", sum(len(lesson.labels) for lesson in lessons)) as advance,
    ):
        for lesson, made in zip(
            lessons, pool.map(partial(practise_lesson, seed=seed), lessons), strict=True
        ):
            advance(len(lesson.labels), "")
            ids = [hashlib.sha256(digit.tobytes()).digest() for digit in made.digits]
            yield normalised_batch(ids, made.labels, made.digits, NORMALISER)


def _prepare() -> None:
    depend_on_parent()
    cv2.setNumThreads(1)


@contextmanager
def _dropping(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Drop, when the block ends early, what no process has begun; the rest is waited for."""
    try:
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _choose(train: Sequence[Path], count: int) -> Iterator[Lesson]:
    """Take `count` rows, evenly spread over all."""
    total = sum(map(count_rows, train))
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
    before, number = 0, 0
    for path in train:
        for rows in read_batches(path, ["label", "px"]):
            inside = chosen[(chosen >= before) & (chosen < before + rows.num_rows)] - before
            digits = pixels(rows)[inside].reshape(-1, SIDE, SIDE)
            truth = labels(rows)[inside]
            for start in range(0, len(inside), _LESSON):
                part = slice(start, start + _LESSON)
                yield Lesson(number, digits[part], truth[part])
                number += 1
            before += rows.num_rows
