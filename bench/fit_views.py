"""Fit what `digitline.pixels.plausibility` weighs: which view of a picture shows the digit.

    python bench/fit_views.py [PICTURES]

Renders training digits, looks at each picture in every way, and measures how far the ink that
each view keeps overlaps with the ink that was drawn. A ridge regression of that overlap on the
view's cues, which minds the differences within a picture the most, gives the table to paste.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from digitline.pixels.decode import Limits, decode
from digitline.pixels.ink import prepare
from digitline.pixels.planes import Plane, grey
from digitline.pixels.plausibility import cues
from digitline.pixels.render import Rendering, render_many
from digitline.pixels.views import View, view_evenly, view_through_shadows

MNIST: Final = Path(__file__).resolve().parent.parent / "data" / "mnist" / "train.parquet"
SEED: Final = 1
WITHIN: Final = 3.0
HALF: Final = 100


@dataclass(frozen=True)
class Sample:
    """One view of the picture numbered `picture`: its cues, and its overlap with the truth."""

    picture: int
    cues: dict[str, float]
    overlap: float


def digits_of(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the first training digits, (n, 28, 28), and their labels."""
    rows = pq.read_table(MNIST).slice(0, count)
    images = [decode(image["bytes"], Limits()) for image in rows.column("image").to_pylist()]
    return np.stack(images), np.asarray(rows.column("label"))


def look_at(rendering: Rendering, picture: int) -> Iterator[Sample]:
    """Look at a rendering in every way."""
    work, _, rulings = prepare(grey(rendering.picture))
    truth = np.asarray(cv2.resize(rendering.ink, work.shape[::-1], interpolation=cv2.INTER_AREA))
    views = view_evenly(work, rulings=rulings) + view_through_shadows(work, rulings=rulings)
    for view in views:
        yield Sample(picture, cues(view), overlap(view, np.asarray(truth > HALF, np.uint8)))


def overlap(view: View, truth: Plane) -> float:
    """Measure the shared share of a view's digit and the truth, both a pixel thicker."""
    near = np.ones((3, 3), np.uint8)
    found = np.asarray(cv2.dilate(np.asarray(view.findings.mask > 0, np.uint8), near)) > 0
    drawn = np.asarray(cv2.dilate(truth, near)) > 0
    either = int(np.count_nonzero(found | drawn))
    return int(np.count_nonzero(found & drawn)) / max(1, either)


def fit(samples: list[Sample]) -> str:
    """Fit the weights and lay them out as the table in the code."""
    features = np.array([list(sample.cues.values()) for sample in samples])
    target = np.array([sample.overlap for sample in samples])
    pictures = np.array([sample.picture for sample in samples])
    usual, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    far = np.clip((features - usual) / spread, -4, 4)
    _, place, counts = np.unique(pictures, return_inverse=True, return_counts=True)
    inside = far - _mean_by(far, place, counts)
    wanted = (target - target.mean())[:, None]
    inside_wanted = wanted - _mean_by(wanted, place, counts)
    model = Ridge(10).fit(
        np.concatenate([far, WITHIN * inside]),
        np.concatenate([wanted, WITHIN * inside_wanted])[:, 0],
    )
    names = list(samples[0].cues)
    rows = zip(usual, spread, model.coef_, names, strict=True)
    table = "\n".join(f"    ({a:.3f}, {b:.3f}, {c:.3f}),  # {name}" for a, b, c, name in rows)
    return (
        f"_WEIGHTS: Final = (\n{table}\n)\n_USUAL: Final = {model.intercept_ + target.mean():.3f}"
    )


def _mean_by(
    values: NDArray[np.float64], place: NDArray[np.intp], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, place, values)
    return np.asarray((sums / counts[:, None])[place])


def main() -> None:
    """Print the table for as many pictures as asked for."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    renderings = render_many(*digits_of(count), SEED)
    samples = [
        sample
        for picture, rendering in enumerate(renderings)
        if rendering.ink.max() > HALF
        for sample in look_at(rendering, picture)
    ]
    print(fit(samples))


if __name__ == "__main__":
    main()
