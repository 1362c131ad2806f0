"""What is usual for a job: its first runs, as far as they are comparable."""

from pathlib import Path

import pytest

from digitline.errors import DataError
from digitline.judging.census import Census
from digitline.scoring.usual import ENOUGH, Usual, read_usual, write_usual


def run(images: int) -> Census:
    counts = {"polarity": (images, 0), "review": (images, 0), "oddness": (images, 0)}
    return Census(images=images, counts=counts, odd_edges=(1.0,))


def test_the_first_runs_are_usual_and_later_ones_change_nothing() -> None:
    usual = Usual(basis="a", normaliser="3").grown(run(ENOUGH - 1)).grown(run(500))
    assert usual.census.counts["polarity"] == (ENOUGH + 499, 0)
    assert usual.grown(run(500)) == usual


def test_another_model_keeps_the_pictures_and_learns_the_writing_anew(tmp_path: Path) -> None:
    write_usual(tmp_path, "monday", Usual(basis="a", normaliser="3").grown(run(ENOUGH)))
    assert read_usual(tmp_path, "monday", "a", "3").census == run(ENOUGH)
    other = read_usual(tmp_path, "monday", "b", "3")
    assert list(other.census.counts) == ["polarity"]
    grown = other.grown(run(70)).census
    assert grown.counts["polarity"] == (ENOUGH, 0)
    assert grown.counts["review"] == grown.counts["oddness"] == (70, 0)
    assert grown.odd_edges == (1.0,)


def test_another_normaliser_starts_from_nothing(tmp_path: Path) -> None:
    write_usual(tmp_path, "monday", Usual(basis="a", normaliser="3").grown(run(10)))
    assert not read_usual(tmp_path, "monday", "a", "4").census.counts


def test_a_damaged_memory_is_told_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "monday.json").write_text("{}")
    with pytest.raises(DataError, match="usual"):
        read_usual(tmp_path, "monday", "a", "3")
