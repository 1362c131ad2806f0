from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitline.report import data
from digitline.report.tally import MOST_ACCEPTED, ScoreTally
from tests.digitline.report import samples


def report(batches: list[pa.RecordBatch]) -> data.ScoreReport:
    tally = ScoreTally()
    for batch in batches:
        tally.add_predictions(batch)
    tally.add_errors(samples.errors())
    return tally.report(
        run=data.Run(id="score-0001", when="2026-01-02", seconds=1),
        model=samples.MODEL,
        source="scans",
        threshold=0.9,
    )


def test_every_image_is_counted_once() -> None:
    batch = samples.predictions()
    scored = report([batch])
    status = Counter(batch.column("status").to_pylist())
    assert (scored.accept, scored.review, scored.error) == (status["accept"], status["review"], 3)
    assert scored.n_in == len(batch) + 3
    assert sum(scored.accepted_digits) == scored.accept
    assert sum(scored.review_digits) == scored.review
    assert sum(bar.accept for bar in scored.confidence) == scored.accept
    folders = [(folder.accept, folder.review, folder.error) for folder in scored.folders]
    assert [*map(sum, zip(*folders, strict=True))] == [scored.accept, scored.review, scored.error]


def test_what_is_expected_is_how_sure_the_model_was() -> None:
    batch = samples.predictions()
    scored = report([batch])
    sure = batch.column("confidence").to_numpy().astype(np.float64)
    accepted = np.array(batch.column("status").to_pylist()) == "accept"
    assert scored.expected is not None
    assert scored.expected_accepted is not None
    assert (scored.expected.images, scored.expected_accepted.images) == (len(batch), accepted.sum())
    assert scored.expected.share == pytest.approx(sure.mean())
    assert scored.expected_accepted.share == pytest.approx(sure[accepted].mean())


def test_folders_are_those_of_the_paths() -> None:
    assert [folder.name for folder in report([samples.predictions("top.png")]).folders] == [
        "", "a", "b/c",
    ]  # fmt: skip


def test_failures_by_reason_name_their_files() -> None:
    reasons = report([samples.predictions()]).failures
    assert [(reason.reason, reason.count) for reason in reasons] == [
        ("truncated", 2),
        ("animated", 1),
    ]
    assert reasons[0].names == (samples.HOSTILE, "b/c/cut.png")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=4))
def test_batches_make_no_difference(cuts: list[int]) -> None:
    batch = samples.predictions()
    edges = [0, *sorted(cuts), len(batch)]
    pieces = [batch.slice(a, b - a) for a, b in pairwise(edges)]
    assert report(pieces) == report([batch])


def test_tiles_say_what_was_read_and_what_came_second() -> None:
    scored = report([samples.predictions()])
    assert len(scored.accepted_tiles) == MOST_ACCEPTED
    assert len({tile.id for tile in scored.accepted_tiles}) == MOST_ACCEPTED
    for tile in (*scored.accepted_tiles, *scored.review_tiles):
        assert tile.digit != tile.second
        assert tile.confidence >= tile.second_confidence
