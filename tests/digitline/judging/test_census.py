"""A census adds up, however the images were divided, and keeps examples of every bin."""

import json
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitline.judging.census import (
    EXAMPLES,
    Census,
    Sample,
    count,
    observe,
    observe_pictures,
    odd_edges,
    sample,
)
from digitline.judging.measures import MEASURES, PICTURES
from digitline.pixels.traits import TRAITS

N = 240
RNG = np.random.default_rng(5)
PX = RNG.integers(0, 256, (N, 784)).astype(np.uint8) // RNG.integers(2, 9, (N, 1)).astype(np.uint8)
SURE = RNG.dirichlet(np.full(10, 0.1), N).astype(np.float32)
ODD = RNG.normal(size=N).astype(np.float32)
EDGES = odd_edges(ODD)
LOOKS = np.column_stack(
    [RNG.integers(0, 2, N), RNG.uniform(0, 255, N), *RNG.uniform(0, 0.5, (3, N))]
)
LOOKS[::40] = np.nan


def seen(start: int, stop: int) -> Sample:
    part = slice(start, stop)
    bins = observe(PX[part], SURE[part], SURE[part].max(1) > 0.9, ODD[part], EDGES)
    looks = observe_pictures(LOOKS[part].astype(np.float32))
    return sample(np.arange(start, stop), bins | looks, EDGES)


def test_the_measures_of_pictures_are_the_traits() -> None:
    assert tuple(measure.name for measure in PICTURES) == TRAITS


@given(st.sets(st.integers(1, N - 1), max_size=6))
def test_parts_add_up_to_the_whole(cuts: set[int]) -> None:
    parts = [seen(start, stop) for start, stop in pairwise([0, *sorted(cuts), N])]
    assert sum(parts, Sample()) == seen(0, N)
    assert sum(reversed(parts), Sample()) == seen(0, N)


def test_every_bin_has_examples_that_are_in_it() -> None:
    whole = seen(0, N)
    digits = SURE.argmax(1)
    for digit, places in whole.examples["digits"].items():
        assert set(digits[list(places)]) == {digit}
        assert len(places) == min(EXAMPLES, whole.census.counts["digits"][digit])


def test_what_was_not_measured_is_not_counted() -> None:
    whole = seen(0, N).census
    assert sum(whole.counts["digits"]) == whole.images == N
    assert sum(whole.counts["contrast"]) == N - len(LOOKS[::40])
    assert "oddness" not in count(3, observe(PX[:3], SURE[:3], SURE[:3, 0] > 0, ODD[:3], ())).counts
    assert not count(2, observe_pictures(np.full((2, 5), np.nan, np.float32))).counts


def test_oddness_of_another_model_is_not_added() -> None:
    other = Census(images=1, counts={"oddness": (1, 0), "digits": (1, *[0] * 9)}, odd_edges=(0.0,))
    both = seen(0, N).census + other
    assert both.images == N + 1
    assert sum(both.counts["digits"]) == N + 1
    assert "oddness" not in both.counts


def test_a_sample_survives_the_footer_it_is_kept_in() -> None:
    whole = seen(0, N)
    assert Sample.model_validate_json(whole.model_dump_json()) == whole
    assert len(json.dumps(whole.census.model_dump())) < 4000


def test_a_spread_lies_in_the_bins_it_is_counted_in() -> None:
    stroke = MEASURES["stroke"]
    bins = stroke.place(stroke.middles)
    assert bins.tolist() == list(range(stroke.bins))
    assert np.diff(EDGES).min() > 0
