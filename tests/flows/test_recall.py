"""What is recalled of earlier scorings: the newest, of one job, as far as comparable."""

from pathlib import Path

import pytest

from digitline.commit import Manifest, write_manifest
from digitline.errors import SourceError
from digitline.home import Home
from digitline.judging.census import Census
from tasks.recall import Recalled, recall_scorings


def leave(
    home: Home, number: int, images: int, elsewhere: Path | None = None, **facts: object
) -> None:
    """Leave what a scoring leaves behind."""
    counts = {"polarity": (images, 0), "digits": (images, *[0] * 9), "review": (images, 0)}
    census = Census(images=images, counts=counts if images else {}).model_dump(mode="json")
    name = f"score-{number:04d}"
    known = {"run": name, "job": None, "model": "m0001", "threshold": 0.9, "census": census}
    results = Manifest(kind="predictions", shards=(), facts={**known, **facts})
    write_manifest(elsewhere or home.runs / name, results)
    if elsewhere is not None:
        pointer = Manifest(kind="score run", shards=(), facts={"results": str(elsewhere)})
        write_manifest(home.runs / name, pointer)


def recall(home: Home, subject: str | None = None, most: int = 10) -> Recalled:
    return recall_scorings.fn(home, subject, most, "m0001", 0.9)


def test_the_newest_are_recalled_wherever_they_lie(home: Home, tmp_path: Path) -> None:
    leave(home, 1, 100, job="forms")
    leave(home, 2, 20, tmp_path / "answers")
    leave(home, 10, 3)
    leave(home, 11, 0)
    assert recall(home).runs == ("score-0010", "score-0002", "score-0001")
    assert recall(home, most=2).census.images == 23
    assert recall(home, "forms").census.images == 100
    named = recall(home, str(tmp_path / "answers"))
    assert (named.runs, named.job) == (("score-0002",), None)


def test_the_writing_counts_as_far_as_the_same_model_read_it(home: Home) -> None:
    leave(home, 1, 100, model="m0002")
    leave(home, 2, 20, threshold=0.8)
    leave(home, 3, 3)
    counts = recall(home).census.counts
    assert counts["polarity"] == (123, 0)
    assert counts["digits"][0] == 23
    assert counts["review"] == (3, 0)


def test_nothing_to_look_back_on_is_said(home: Home) -> None:
    leave(home, 1, 100, job="forms")
    with pytest.raises(SourceError, match="look back"):
        recall(home, "letters")
