"""Measure how often drift is told where there is none, and where there is; write `bench/drift.md`.

    python -m bench.drift [--home DIRECTORY]

Runs of several sizes are drawn, with replacement, from pools of pictures, and compared with the
champion's training data, or with 1,000 pictures that stand for the first runs of a job. Clothing is
Debian's `dataset-fashion-mnist` (its training images).
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.trust import FASHION, draw_letters, read_clothing
from digitline.home import CHECKOUT, Home
from digitline.judging.census import Census, count, observe, observe_pictures
from digitline.judging.drift import FEWEST, LEVEL, LIMITS, Reference, compare
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.normalise import normalise
from digitline.pixels.traits import measure_traits
from digitline.rows import read_labelled

SIZES = (50, 500, 5000)
RUNS = 200
POOL = 600
USUAL = 1000
MIXED = 0.2
LETTERS = "ABCDEFGHKLMNPRTUVWXYacdefhkmnprtuvwx"
Picture = NDArray[np.uint8]
Pictures = list[Picture]


@dataclass(frozen=True)
class Pool:
    """Pictures that runs are drawn from: the bin of each of n, (n,) by measure."""

    bins: Mapping[str, NDArray[np.intp]]
    edges: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.bins["digits"])

    def census(self, places: NDArray[np.intp]) -> Census:
        """Count some of the pictures."""
        drawn = {name: bins[places] for name, bins in self.bins.items()}
        return count(len(places), drawn, self.edges)

    def joined(self, other: "Pool") -> "Pool":
        """Put another pool's pictures after ours."""
        both = {name: np.concatenate([bins, other.bins[name]]) for name, bins in self.bins.items()}
        return Pool(both, self.edges)


@dataclass(frozen=True)
class Case:
    """Runs of one kind: drawn from a pool, by the chance of each picture, where not all alike."""

    name: str
    pool: Pool
    chances: NDArray[np.float64] | None = None

    def draw(self, size: int, rng: np.random.Generator) -> Census:
        """Draw a run."""
        return self.pool.census(rng.choice(self.pool.size, size, p=self.chances))


def main() -> None:
    """Measure the champion of a home."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=CHECKOUT)
    parser.add_argument("--out", type=Path, default=CHECKOUT / "bench" / "drift.md")
    options = parser.parse_args()
    home = Home(options.home)
    model = Registry(home.models, home.keys).load()
    lines = list(describe(model, home))
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def describe(model: Model, home: Home) -> Iterator[str]:
    """Tell of false alarms and of alarms, in Markdown."""
    limits = ", ".join(f"{limit} for a {kind}" for kind, limit in LIMITS.items())
    yield "# How drift is told"
    yield ""
    yield "Written by `bench/drift.py`; its docstring says what is measured."
    yield f"Recipe {model.card.recipe['name']}, {model.card.metrics.error:.2%} test error."
    yield f"{RUNS} runs a cell, of {' / '.join(f'{size:,}' for size in SIZES)} images each: the"
    yield "share in which drift was told, and how often as what. Drift is looked for from"
    yield f"{FEWEST} images on; chance is kept to {LEVEL:.0%} a run, and effects count from"
    yield f"{limits} on."
    yield ""
    test, truth = read_labelled(newest(home.normalised, "mnist-*/test.parquet"))
    digits = test.reshape(-1, 28, 28)
    assert model.card.reference is not None
    training = Reference("the training data", model.card.reference)
    yield from _table(
        "Pictures in MNIST's format, compared with the training data",
        training,
        [*unchanged_cases(model, home, digits), *changed_cases(model, digits, truth)],
    )
    usual = survey(model, [scan(digit) for digit in digits[:USUAL]])
    reference = Reference("the usual", usual.census(np.arange(USUAL)))
    yield from _table(
        "Scans of a job, compared with its first 1,000", reference, scan_cases(model, digits)
    )


def unchanged_cases(model: Model, home: Home, digits: Picture) -> Iterator[Case]:
    """Give runs that are like the training data."""
    part = newest(home.splits, "*/calibration.parquet")
    rows = list(read_labelled(part)[0].reshape(-1, 28, 28))
    yield Case("none: calibration rows", survey(model, rows))
    yield Case("none: MNIST's test images", survey(model, list(digits)))


def changed_cases(model: Model, digits: Picture, truth: NDArray[np.int8]) -> Iterator[Case]:
    """Give runs that differ from the training data in one way each."""
    few = list(digits[:POOL])
    changes: dict[str, Callable[[Picture], Picture]] = {
        "blurred (sigma 1 pixel)": lambda digit: blurred(digit, 1.0),
        "inverted": lambda digit: ~digit,
        "lighter pen (half the ink)": lambda digit: digit // 2,
        "thinner strokes (eroded by 2 x 2)": lambda digit: np.asarray(
            cv2.erode(digit, np.ones((2, 2), np.uint8)), np.uint8
        ),
    }
    for name, change in changes.items():
        yield Case(name, survey(model, [change(digit) for digit in few]))
    same = survey(model, list(digits))
    letters = normalise(draw_letters(LETTERS)).digits
    strangers = {"letters": list(letters)}
    if FASHION.is_file():
        strangers["clothing"] = read_clothing(POOL)
    for name, pictures in strangers.items():
        other = survey(model, pictures)
        shares = np.repeat([1 - MIXED, MIXED], [same.size, other.size])
        sizes = np.repeat([same.size, other.size], [same.size, other.size])
        yield Case(f"{MIXED:.0%} {name} mixed in", same.joined(other), shares / sizes)
    threes = np.where(truth == 3, 3.0, 1.0)  # noqa: PLR2004 - the digit three
    yield Case("three times as many threes", same, threes / threes.sum())
    ones = np.where(truth <= 1, 4.0, 1.0)
    yield Case("four times as many noughts and ones", same, ones / ones.sum())


def scan_cases(model: Model, digits: Picture) -> Iterator[Case]:
    """Give runs of scans, as the first ones were made and otherwise."""
    few = digits[USUAL : USUAL + POOL]
    changes: dict[str, Callable[[Picture], Picture]] = {
        "none": scan,
        "out of focus (sigma 3 of 160 pixels)": lambda digit: blurred(scan(digit), 3.0),
        "half the contrast": lambda digit: scan(digit, ink=0.3),
        "inverted": lambda digit: ~scan(digit),
        "thinner strokes": lambda digit: scan(
            np.asarray(cv2.erode(digit, np.ones((2, 2), np.uint8)), np.uint8)
        ),
        "cut closer": lambda digit: scan(digit)[20:-20, 20:-20],
    }
    for name, change in changes.items():
        yield Case(name, survey(model, [change(digit) for digit in few]))


def newest(directory: Path, pattern: str) -> Path:
    """Find the file that was written last."""
    return max(directory.glob(pattern), key=lambda path: path.stat().st_mtime)


def scan(digit: Picture, ink: float = 0.6) -> Picture:
    """Make a scan, 160 x 160, of a (28, 28) digit: dark ink on grainy paper."""
    rng = np.random.default_rng(int(digit.sum()))
    framed = cv2.copyMakeBorder(digit, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=0.0)
    large = np.asarray(cv2.resize(framed, (160, 160), interpolation=cv2.INTER_CUBIC), np.float64)
    paper = 230 - ink * large + rng.normal(0, 3, large.shape)
    return np.asarray(paper.clip(0, 255), np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    """Blur a picture."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def survey(model: Model, pictures: Pictures) -> Pool:
    """Measure pictures as scoring does, by the card's own threshold."""
    normalised = normalise(pictures)
    px = normalised.digits.reshape(-1, 784)
    reading = model.read(px)
    doubt = np.array([bool(diagnosis.doubt) for diagnosis in normalised.diagnoses])
    accepted = reading.probabilities.max(axis=1) >= np.float32(model.card.threshold)
    assert model.card.reference is not None
    edges = model.card.reference.odd_edges
    accepted &= ~doubt & ~reading.odd
    bins = observe(px, reading.probabilities, accepted, reading.oddness, edges)
    return Pool(bins | observe_pictures(measure_traits(pictures, normalised)), edges)


def _table(title: str, reference: Reference, cases: "list[Case] | Iterator[Case]") -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield f"| change | {' | '.join(f'{size:,}' for size in SIZES)} | told as, at {SIZES[1]} |"
    yield f"|---|{'---|' * len(SIZES)}---|"
    for case in cases:
        rng = np.random.default_rng(0)
        told = [
            Counter(compare(case.draw(size, rng), reference).verdict for _ in range(RUNS))
            for size in SIZES
        ]
        shares = " | ".join(f"{1 - verdicts['same'] / RUNS:.1%}" for verdicts in told)
        most = ", ".join(
            f"{verdict} {number / RUNS:.0%}"
            for verdict, number in told[1].most_common()
            if verdict != "same"
        )
        yield f"| {case.name} | {shares} | {most or '-'} |"
    yield ""


if __name__ == "__main__":
    main()
