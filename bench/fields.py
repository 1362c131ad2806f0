"""Measure how well fields of several digits are read, and what constraints add.

    .venv/bin/python bench/fields.py
    .venv/bin/python bench/fields.py --fields 40 --table /tmp/fields.md

Fields are composed of MNIST test digits in a row: apart, touching a little, or in printed boxes on
paper. The champion of the home (DIGITLINE_HOME) reads them. `--train` composes of training digits,
for whoever changes how rows are cut.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digitline.home import CHECKOUT
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits, decode
from digitline.scoring.answers import ACCEPT
from digitline.scoring.fields import read_field
from digitline.scoring.legal import Length, Luhn
from digitline.settings import load_settings

if TYPE_CHECKING:
    from digitline.scoring.lattice import Rule

TABLE = Path(__file__).with_suffix(".md")
Plane = NDArray[np.uint8]
SIDE = 28
HEIGHT = 56


@dataclass(frozen=True)
class Digits:
    """Digits to compose of, (n, 28, 28), and what they are, (n,)."""

    pictures: Plane
    labels: NDArray[np.int64]

    def draw(self, text: str, rng: np.random.Generator) -> list[Plane]:
        """Draw a picture for each digit of a text, without its margins."""
        return [self._cropped(int(digit), rng) for digit in text]

    def _cropped(self, digit: int, rng: np.random.Generator) -> Plane:
        picture = self.pictures[rng.choice(np.flatnonzero(self.labels == digit))]
        left, top, wide, tall = cv2.boundingRect(picture)
        cropped: Plane = picture[top : top + tall, left : left + wide]
        return cropped


def main() -> None:
    """Compose, read, count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--fields", type=int, default=200, help="fields of each kind and length")
    parser.add_argument("--train", action="store_true", help="compose of training digits")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--save", type=Path, help="folder for the pictures that are misread")
    options = parser.parse_args()
    places = load_settings().places
    model = Registry(places.models, places.keys).load(lean=True)
    digits = _digits("train" if options.train else "test")
    lines = []
    for name, compose in KINDS.items():
        for length in range(3, 7):
            lines.append(_measure(name, compose, length, digits, model, options))
            print(lines[-1], flush=True)
    options.table.write_text(_table(lines, model, options))


def _digits(part: str) -> Digits:
    table = pq.read_table(CHECKOUT / "data" / "mnist" / f"{part}.parquet")
    contents = table["image"].combine_chunks().field("bytes").to_pylist()
    pictures = np.stack([decode(content, Limits()) for content in contents])
    return Digits(pictures, table["label"].to_numpy())


def _compose(digits: Sequence[Plane], gaps: Sequence[int], rng: np.random.Generator) -> Plane:
    """Set digits side by side, a gap after each, a little up or down; ink adds up to white."""
    width = sum(digit.shape[1] for digit in digits) + sum(gaps) + 2 * SIDE
    row = np.zeros((HEIGHT, width), np.uint8)
    left = SIDE // 2
    for digit, gap in zip(digits, gaps, strict=True):
        tall, wide = digit.shape
        top = (HEIGHT - tall) // 2 + int(rng.integers(-2, 3))
        place = row[top : top + tall, left : left + wide]
        np.maximum(place, digit, out=place)
        left += wide + gap
    return row[:, : left + SIDE // 2]


def _apart(digits: Sequence[Plane], rng: np.random.Generator) -> Plane:
    return _compose(digits, [int(rng.integers(2, 9)) for _ in digits], rng)


def _touching(digits: Sequence[Plane], rng: np.random.Generator) -> Plane:
    return _compose(digits, [int(rng.integers(-2, 1)) for _ in digits], rng)


def _in_boxes(digits: Sequence[Plane], rng: np.random.Generator) -> Plane:
    """Print boxes around the digits, dark on grainy paper in uneven light."""
    cell, line = 40, int(rng.integers(150, 200))
    page = np.full((HEIGHT, cell * len(digits) + 16), 0, np.uint8)
    for number, digit in enumerate(digits):
        left = 8 + number * cell
        cv2.rectangle(page, (left, 4), (left + cell, HEIGHT - 5), line, 1)
        tall, wide = digit.shape
        top = (HEIGHT - tall) // 2 + int(rng.integers(-4, 5))
        begin = left + (cell - wide) // 2 + int(rng.integers(-4, 5))
        place = page[top : top + tall, begin : begin + wide]
        np.maximum(place, digit, out=place)
    return _on_paper(page, rng)


def _on_paper(ink: Plane, rng: np.random.Generator) -> Plane:
    large = cv2.resize(ink, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    light = np.linspace(rng.uniform(0.75, 1), rng.uniform(0.75, 1), large.shape[1])
    paper = rng.uniform(190, 245) * light + rng.normal(0, 4, large.shape)
    return (paper - 0.6 * large).clip(0, 255).astype(np.uint8)


KINDS: dict[str, Callable[[Sequence[Plane], np.random.Generator], Plane]] = {
    "apart": _apart,
    "touching": _touching,
    "boxes": _in_boxes,
}


def _texts(count: int, length: int, rng: np.random.Generator) -> Iterator[str]:
    """Draw numbers whose last digit is their check digit by Luhn."""
    for _ in range(count):
        front = "".join(map(str, rng.integers(0, 10, length - 1)))
        yield next(front + str(last) for last in range(10) if _is_luhn(front + str(last)))


def _is_luhn(text: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in text[-2::-2])
    return (sum(map(int, text[::-2])) + sum(doubled)) % 10 == 0


def _measure(
    name: str,
    compose: Callable[[Sequence[Plane], np.random.Generator], Plane],
    length: int,
    digits: Digits,
    model: Model,
    options: argparse.Namespace,
) -> str:
    rng = np.random.default_rng([length, *name.encode()])
    threshold = model.card.threshold
    rules: dict[str, list[Rule]] = {
        "none": [],
        "length": [Length(length, length)],
        "check": [Length(length, length), Luhn()],
    }
    right = dict.fromkeys(rules, 0)
    accepted, wrong = dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
    began = time.process_time()
    for number, text in enumerate(_texts(options.fields, length, rng)):
        picture = compose(digits.draw(text, rng), rng)
        for kind, some in rules.items():
            field = read_field(picture, model, threshold, some)
            right[kind] += field.text == text
            accepted[kind] += field.status == ACCEPT
            wrong[kind] += field.status == ACCEPT and field.text != text
            if options.save and field.text != text and kind == "none":
                saved = f"{name}-{number}-{text}-{field.text}-{field.status}.png"
                options.save.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(options.save / saved), picture)
    cost = (time.process_time() - began) / options.fields / len(rules)
    cells = [f"{right[kind] / options.fields:.1%}" for kind in rules]
    for kind in ("none", "check"):
        cells += [f"{accepted[kind] / options.fields:.1%}", f"{wrong[kind]} of {accepted[kind]}"]
    return f"| {name} | {length} | {' | '.join(cells)} | {1000 * cost:.0f} |"


def _table(lines: Sequence[str], model: Model, options: argparse.Namespace) -> str:
    text = _TEXT.format(
        fields=options.fields,
        part="training" if options.train else "test",
        error=model.card.metrics.error,
        threshold=model.card.threshold,
    )
    return "\n".join([text, _HEAD, "| --- |" + " ---: |" * 9, *lines, ""])


_TEXT = """# Fields of several digits

Made by `bench/fields.py`: {fields:,} fields of each kind and length, composed of MNIST {part}
digits, read by a model of {error:.2%} test error, digits accepted from {threshold:.4f} on. Read
right: the likeliest string is the right one, whether accepted or not, with nothing known, with the
length known, and with length and a check digit (Luhn). Read rate: the share that is accepted.

What is certified is the error of single digits. A field is accepted where each of its digits is,
and the whole is as sure; no more is promised of the whole. Digits that had to be cut from one
another are accepted only under a check digit or a list of codes.
"""
_HEAD = (
    "| kind | digits | read right | length known | and check digit | read rate | wrong | "
    "read rate, check digit | wrong | CPU-ms |"
)


if __name__ == "__main__":
    main()
