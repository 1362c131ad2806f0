"""A census of images: how many fall into each bin of each measure, and examples of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from digitline.judging.measures import MEASURES, PICTURES, Measure

EXAMPLES = 6
_ODD_BINS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)

Counts = dict[str, tuple[int, ...]]


class Census(BaseModel):
    """How many of `images` fall into each bin of each measure; what was not measured is absent.

    `odd_edges` are the edges of the bins of `oddness`, whose scale is the model's own. Censuses
    with the same edges add up, in any order, to the census of all their images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    images: int = Field(0, ge=0)
    counts: Counts = Field(default_factory=dict)
    odd_edges: tuple[float, ...] = ()

    def __add__(self, other: Self) -> "Census":
        """Give the census of the images of both; oddness is left out where its bins differ."""
        odd = [census for census in (self, other) if "oddness" in census.counts]
        edges = odd[0].odd_edges if odd else self.odd_edges or other.odd_edges
        alike = all(census.odd_edges == edges for census in odd)
        both = {
            name: _add(self.counts.get(name, ()), other.counts.get(name, ()))
            for name in MEASURES
            if (name in self.counts or name in other.counts) and (alike or name != "oddness")
        }
        images = self.images + other.images
        return Census(images=images, counts=both, odd_edges=edges if alike else ())

    def measure(self, name: str) -> Measure:
        """Give a measure with the bins it was counted in."""
        known = MEASURES[name]
        return replace(known, edges=self.odd_edges) if name == "oddness" else known

    def beside(self, pictures: Self) -> "Census":
        """Give the census of the same images with what was measured of their `pictures`."""
        return self.model_copy(update={"counts": {**pictures.of_pictures().counts, **self.counts}})

    def reviewed(self, share: float) -> "Census":
        """Give the census as it would be were that share of its images left to a person."""
        images = sum(self.counts.get("review", ()))
        review = round(share * images)
        counts = self.counts | {"review": (images - review, review)} if images else self.counts
        return self.model_copy(update={"counts": counts})

    def of_pictures(self) -> "Census":
        """Give what was measured of the pictures themselves, whatever model reads them."""
        kept = {item.name: self.counts[item.name] for item in PICTURES if item.name in self.counts}
        return Census(images=self.images, counts=kept)


class Sample(BaseModel):
    """A census, and for each measure and bin the places of some of its images in the listing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    census: Census = Census()
    examples: dict[str, dict[int, tuple[int, ...]]] = Field(default_factory=dict)

    def __add__(self, other: Self) -> "Sample":
        """Give the sample of the images of both."""
        names = [name for name in MEASURES if name in self.examples or name in other.examples]
        return Sample(
            census=self.census + other.census,
            examples={
                name: _join(self.examples.get(name, {}), other.examples.get(name, {}))
                for name in names
            },
        )


def odd_edges(oddness: NDArray[np.float32]) -> tuple[float, ...]:
    """Choose edges between which about as many of the (n,) values lie."""
    shares = np.linspace(0, 1, _ODD_BINS + 1)[1:-1]
    return tuple(np.unique(np.round(np.quantile(oddness, shares), 3)).tolist())


def observe(
    px: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    accepted: NDArray[np.bool_],
    oddness: NDArray[np.float32],
    edges: tuple[float, ...],
) -> dict[str, NDArray[np.intp]]:
    """Measure the writing in n digits: the bin of each, (n,), by measure.

    `px` (n, 784), `probabilities` (n, 10), `accepted` and `oddness` (n,); without edges for it
    oddness is left out.
    """
    values = {
        "digits": probabilities.argmax(axis=1),
        "ink": px.mean(axis=1, dtype=np.float32) / np.float32(255),
        "confidence": probabilities.max(axis=1),
        "review": ~accepted,
    }
    bins = {name: MEASURES[name].place(each) for name, each in values.items()}
    if edges:
        bins["oddness"] = replace(MEASURES["oddness"], edges=edges).place(oddness)
    return bins


def observe_pictures(traits: NDArray[np.float32]) -> dict[str, NDArray[np.intp]]:
    """Measure n pictures by their traits, (n, 5), as `pixels.traits` gives them."""
    bins: dict[str, NDArray[np.intp]] = {}
    for measure, values in zip(PICTURES, traits.T, strict=True):
        blank = np.isnan(values)
        bins[measure.name] = np.where(blank, -1, measure.place(np.where(blank, 0, values)))
    return bins


def count(
    images: int, bins: Mapping[str, NDArray[np.intp]], edges: tuple[float, ...] = ()
) -> Census:
    """Count the bins, (n,) by measure, that `images` images fall into."""
    counts: Counts = {}
    for name, places in bins.items():
        width = len(edges) + 1 if name == "oddness" else MEASURES[name].bins
        found = np.bincount(places[places >= 0], minlength=width)
        if found.any():
            counts[name] = tuple(found.tolist())
    return Census(images=images, counts=counts, odd_edges=edges)


def sample(
    places: NDArray[np.int64], bins: Mapping[str, NDArray[np.intp]], edges: tuple[float, ...]
) -> Sample:
    """Count n images by their bins, and keep a few of each bin; `places` (n,) in the listing."""
    return Sample(
        census=count(len(places), bins, edges),
        examples={name: _pick(places, each) for name, each in bins.items() if (each >= 0).any()},
    )


def _pick(places: NDArray[np.int64], bins: NDArray[np.intp]) -> dict[int, tuple[int, ...]]:
    """Pick some places of each bin, the same however the images were divided among shards."""
    order = np.lexsort((_shuffled(places), bins))
    sorted_bins = bins[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_bins, sorted_bins)
    kept = order[(rank < EXAMPLES) & (sorted_bins >= 0)]
    picked: dict[int, list[int]] = {}
    for place, number in zip(places[kept].tolist(), bins[kept].tolist(), strict=True):
        picked.setdefault(number, []).append(place)
    return {number: tuple(found) for number, found in picked.items()}


def _join(
    one: Mapping[int, Sequence[int]], other: Mapping[int, Sequence[int]]
) -> dict[int, tuple[int, ...]]:
    joined = {}
    for number in sorted({*one, *other}):
        places = np.array([*one.get(number, ()), *other.get(number, ())], np.int64)
        joined[number] = tuple(places[np.argsort(_shuffled(places))][:EXAMPLES].tolist())
    return joined


def _shuffled(places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Give keys that put places into an order that has nothing to do with theirs."""
    keys = places.astype(np.uint64) * _MIX
    return np.asarray(keys ^ (keys >> np.uint64(29)))


def _add(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    if not one or not other:
        return tuple(one or other)
    return tuple(a + b for a, b in zip(one, other, strict=True))
