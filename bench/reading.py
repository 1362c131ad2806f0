"""Measure how well pictures of digits are read.

    python bench/reading.py FOLDER... [--home DIRECTORY]

Each folder has a `labels.csv` (`file,label`); a label that is no digit stands for a picture that
must not be accepted. The champion of the home reads them as `digitline score` would.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitline.home import CHECKOUT, Home
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.pixels.reading import read_images
from digitline.rows import PIXELS

NO_DIGIT = -1


@dataclass(frozen=True)
class Collection:
    """Image files of one source, and their labels (n,): `NO_DIGIT` where they show none."""

    name: str
    contents: tuple[bytes, ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What was read, (n,) digits (`NO_DIGIT` where undecodable), and what of it is accepted."""

    digits: NDArray[np.int64]
    accepted: NDArray[np.bool_]


def main() -> None:
    """Print a table of the folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--home", type=Path, default=CHECKOUT)
    options = parser.parse_args()
    home = Home(options.home)
    model = Registry(home.models, home.keys).load()
    for line in describe(model, [open_folder(folder) for folder in options.folders]):
        print(line)


def open_folder(folder: Path) -> Collection:
    """Read a folder's images and labels."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [int(row["label"]) if row["label"].isdigit() else NO_DIGIT for row in rows]
    contents = tuple((folder / row["file"]).read_bytes() for row in rows)
    return Collection(folder.name, contents, np.array(labels))


def describe(model: Model, collections: Sequence[Collection]) -> Iterator[str]:
    """Tell how well each collection is read, and the plain mean over them."""
    yield "| folder | images | right | accepted | right of accepted | no digit: not accepted |"
    yield "|---|---|---|---|---|---|"
    rights = []
    for collection in collections:
        answers = answer(model, collection)
        shows = collection.labels != NO_DIGIT
        right = answers.digits[shows] == collection.labels[shows]
        accepted = answers.accepted[shows]
        refused = ~answers.accepted[~shows]
        rights += [right.mean()] if shows.any() else []
        yield (
            f"| {collection.name} | {len(shows)} | {share(right)} | {share(accepted)} "
            f"| {share(right[accepted])} | {share(refused)} |"
        )
    if rights:
        yield f"| plain mean | | {np.mean(rights):.2%} | | | |"


def answer(model: Model, collection: Collection) -> Answers:
    """Read a collection as scoring does: what is in doubt, odd or unsure is not accepted."""
    reading = read_images(collection.contents, Limits())
    seen = model.read(reading.digits.reshape(-1, PIXELS))
    doubtful = np.array([bool(diagnosis.doubt) for diagnosis in reading.diagnoses], np.bool_)
    sure = seen.probabilities.max(axis=1) >= np.float32(model.card.threshold)
    digits = np.full(len(collection.contents), NO_DIGIT)
    digits[reading.places] = seen.probabilities.argmax(axis=1)
    accepted = np.zeros(len(digits), np.bool_)
    accepted[reading.places] = sure & ~doubtful & ~seen.odd
    return Answers(digits, accepted)


def share(flags: NDArray[np.bool_]) -> str:
    """Write the share of those that hold, or nothing for none."""
    return f"{flags.mean():.2%}" if flags.size else ""


if __name__ == "__main__":
    main()
