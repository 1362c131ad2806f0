"""Measure how well pictures of digits are read, and write `bench/reading.md`.

    python bench/reading.py FOLDER... [--home DIRECTORY]
    python bench/reading.py --ablation [FOLDER...]

A folder has a `labels.csv` (`file,label`); a label that is no digit stands for a picture that
must not be accepted. The first form reads folders with the champion of a home, as `digitline
score` would. The second shows what each step buys: it trains the recipe `quick` twice, on MNIST
alone and with practice, and reads renderings of MNIST's test digits and scikit-learn's
`load_digits` four ways. Folders are only printed. Nothing is chosen by any of these numbers.
"""

import argparse
import csv
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from digitline.home import CHECKOUT, Home
from digitline.learning.fit import Part, fit
from digitline.learning.recipe import load_recipe
from digitline.models.bundle import Model, predict
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import NORMALISER, normalise
from digitline.pixels.planes import Plane, grey
from digitline.pixels.practice import Lesson, practise_lesson
from digitline.pixels.render import render_many
from digitline.rows import PIXELS, SIDE, normalised_batch, normalised_schema, write_rows

NO_DIGIT = -1
MNIST = CHECKOUT / "data" / "mnist"
VALIDATION = 5_000
PRACTICE = 6_000
LESSON = 250
RENDERINGS = 1_000
SEED = 20

Digits: TypeAlias = NDArray[np.uint8]
Way: TypeAlias = Callable[[Sequence[Plane]], Digits]


@dataclass(frozen=True)
class Collection:
    """Pictures of one source, `None` where undecodable, and labels (n,), `NO_DIGIT` for none."""

    name: str
    pictures: tuple[Plane | None, ...]
    labels: NDArray[np.int64]

    @property
    def decoded(self) -> list[Plane]:
        """The pictures that could be decoded."""
        return [picture for picture in self.pictures if picture is not None]

    def place(self, values: NDArray[Any], missing: int) -> NDArray[Any]:
        """Put values of the decoded pictures where these stand, `missing` elsewhere: (n,)."""
        placed = np.full(len(self.pictures), missing, values.dtype)
        placed[[picture is not None for picture in self.pictures]] = values
        return placed


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--home", type=Path, default=CHECKOUT)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "bench" / "reading.md")
    options = parser.parse_args()
    folders = [open_folder(folder) for folder in options.folders]
    if options.ablation:
        show_ablation(folders, options.out)
        return
    home = Home(options.home)
    print("\n".join(describe(Registry(home.models, home.keys).load(), folders)))


def open_folder(folder: Path) -> Collection:
    """Read a folder's images and labels."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [int(row["label"]) if row["label"].isdigit() else NO_DIGIT for row in rows]
    pictures = tuple(_decode((folder / row["file"]).read_bytes()) for row in rows)
    return Collection(folder.name, pictures, np.array(labels))


def _decode(content: bytes) -> Plane | None:
    try:
        return decode(content, Limits())
    except UndecodableError:
        return None


def describe(model: Model, collections: Sequence[Collection]) -> Iterator[str]:
    """Tell how well a model reads each collection, and the plain mean over them."""
    yield "| folder | images | right | accepted | right of accepted | no digit: not accepted |"
    yield "|---|---|---|---|---|---|"
    rights = []
    for collection in collections:
        digits, accepts = answer(model, collection)
        shows = collection.labels != NO_DIGIT
        right, accepted = digits[shows] == collection.labels[shows], accepts[shows]
        rights += [right.mean()] if shows.any() else []
        yield (
            f"| {collection.name} | {len(shows)} | {share(right)} | {share(accepted)} "
            f"| {share(right[accepted])} | {share(~accepts[~shows])} |"
        )
    if rights:
        yield f"| plain mean | | {np.mean(rights):.2%} | | | |"


def answer(model: Model, collection: Collection) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read a collection as scoring does: digits (n,), and which of them are accepted (n,)."""
    normalised = normalise(collection.decoded)
    seen = model.read(normalised.digits.reshape(-1, PIXELS))
    doubtful = np.array([bool(diagnosis.doubt) for diagnosis in normalised.diagnoses], np.bool_)
    sure = seen.probabilities.max(axis=1) >= np.float32(model.card.threshold)
    digits = collection.place(seen.probabilities.argmax(axis=1), NO_DIGIT)
    return digits, collection.place(sure & ~doubtful & ~seen.odd, missing=False)


def share(flags: NDArray[np.bool_]) -> str:
    """Write the share of those that hold, or nothing for none."""
    return f"{flags.mean():.2%}" if flags.size else ""


def show_ablation(folders: Sequence[Collection], out: Path) -> None:
    """Train, write the table of what anyone can measure again, and print that of the folders."""
    plain, practised, rows = train()
    ways = (
        ("resize and scale", plain, resize_only),
        ("the same, with a guess at the polarity", plain, resize_and_turn),
        ("the normaliser", plain, normalise_only),
        (f"the normaliser, and {rows:,} rows of practice", practised, normalise_only),
    )
    own = [make_renderings(), open_load_digits(), open_mnist("test")]
    lines = [
        "# Reading pictures, step by step",
        "",
        "Written by `bench/reading.py --ablation`; its docstring says what is measured. The share",
        f"of right answers, recipe quick, normaliser {NORMALISER}; nothing is left to a person.",
        "",
        *tabulate(ways, own),
    ]
    out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    if folders:
        print("\n".join(tabulate(ways, folders)))


def tabulate(
    ways: Sequence[tuple[str, Any, Way]], collections: Sequence[Collection]
) -> Iterator[str]:
    """Lay out the share of right answers, a row for each way and a column for each collection."""
    kept = [collection for collection in collections if NO_DIGIT not in collection.labels]
    yield f"| | {' | '.join(f'{each.name} ({len(each.labels):,})' for each in kept)} | mean |"
    yield f"|---|{'---|' * (len(kept) + 1)}"
    for title, network, way in ways:
        rights = [judge(network, way, each) for each in kept]
        cells = " | ".join(f"{right:.1%}" for right in rights)
        yield f"| {title} | {cells} | {np.mean(rights):.1%} |"


def judge(network: Any, way: Way, collection: Collection) -> float:  # noqa: ANN401 - scikit-learn has no types
    """Measure the share of right answers."""
    read = predict(network, way(collection.decoded).reshape(-1, PIXELS)).argmax(axis=1)
    return float((collection.place(read, NO_DIGIT) == collection.labels).mean())


def resize_only(pictures: Sequence[Plane]) -> Digits:
    """Do what a notebook does."""
    return np.stack([_shrink(grey(picture)) for picture in pictures])


def resize_and_turn(pictures: Sequence[Plane]) -> Digits:
    """Turn pictures to light ink on dark where their frame is light."""
    shrunk = resize_only(pictures)
    frames = np.concatenate(
        [shrunk[:, 0], shrunk[:, -1], shrunk[:, :, 0], shrunk[:, :, -1]], axis=1
    )
    light = np.median(frames, axis=1) > np.iinfo(np.uint8).max // 2
    return np.asarray(np.where(light[:, None, None], ~shrunk, shrunk), np.uint8)


def normalise_only(pictures: Sequence[Plane]) -> Digits:
    """Do what training and scoring do."""
    return normalise(pictures).digits


def _shrink(plane: Plane) -> Plane:
    return np.asarray(cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def train() -> tuple[Any, Any, int]:
    """Train on MNIST alone, and with practice, of which the rows are counted."""
    mnist = open_mnist("train")
    digits, labels = np.stack(mnist.decoded), mnist.labels.astype(np.int8)
    kept = slice(0, len(labels) - VALIDATION)
    lessons = (
        Lesson(number, digits[part], labels[part])
        for number, part in enumerate(
            slice(start, start + LESSON) for start in range(0, PRACTICE, LESSON)
        )
    )
    practice = [practise_lesson(lesson, SEED) for lesson in lessons]
    extra = np.concatenate([each.digits for each in practice])
    extra_labels = np.concatenate([each.labels for each in practice])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        validation = _write(folder / "v", digits[-VALIDATION:], labels[-VALIDATION:])
        own = Part(_write(folder / "t", digits[kept], labels[kept]))
        learn = partial(fit, load_recipe("quick"), validation=validation, seed=SEED)
        plain = learn([own])
        practised = learn([own, Part(_write(folder / "p", extra, extra_labels))])
    return plain.model, practised.model, len(extra)


def _write(path: Path, digits: Digits, labels: NDArray[np.int8]) -> Path:
    ids = [hashlib.sha256(digit.tobytes()).digest() for digit in digits]
    batch = normalised_batch(ids, labels, digits, NORMALISER)
    write_rows(path, normalised_schema(NORMALISER), iter([batch]))
    return path


def open_mnist(part: str) -> Collection:
    """Read one of the embedded parts."""
    rows = pq.read_table(MNIST / f"{part}.parquet")
    pictures = tuple(_decode(image["bytes"]) for image in rows.column("image").to_pylist())
    return Collection(f"MNIST {part}", pictures, np.asarray(rows.column("label")))


def make_renderings() -> Collection:
    """Render digits that nothing was trained on."""
    mnist = open_mnist("test")
    digits, labels = np.stack(mnist.decoded[:RENDERINGS]), mnist.labels[:RENDERINGS]
    pictures = tuple(each.picture for each in render_many(digits, labels, SEED))
    return Collection("renderings", pictures, labels)


def open_load_digits() -> Collection:
    """Take scikit-learn's 8 x 8 digits, scanned from forms in the 1990s."""
    digits, labels = load_digits(return_X_y=True)
    scaled = np.rint(digits.reshape(-1, 8, 8) * (np.iinfo(np.uint8).max / digits.max()))
    return Collection("load_digits", tuple(scaled.astype(np.uint8)), labels)


if __name__ == "__main__":
    main()
