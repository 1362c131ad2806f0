"""Measure what champions' answers can be relied on for, and write `bench/trust.md`.

    python bench/trust.py [--homes DIRECTORY...]

Clothing is Debian's `dataset-fashion-mnist` (its training images), letters are drawn with the
fonts that matplotlib ships: neither had a part in training the guard, which has seen OpenCV's
Hershey letters and shapes of our own. They were looked at while the guard was designed, so what
they say of it is no fresh evidence; nor are the calibration rows of how `odd` was set, which moves
the read rate by some 0.4 % either way. The test set's labels choose nothing: what came true on it
is the fresh evidence.
"""

import argparse
import gzip
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digitline.errors import SettingsError
from digitline.home import CHECKOUT, Home
from digitline.judging.certificate import certify
from digitline.judging.metrics import calibration_error, proportion_interval, reliability
from digitline.models.bundle import Model
from digitline.models.card import Card
from digitline.models.registry import Registry
from digitline.pixels.normalise import normalise
from digitline.rows import read_labelled

TARGETS = (0.0005, 0.001, 0.002, 0.005, 0.01)
USUAL = 0.001
FASHION = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic"),
    *("DejaVuSansMono", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmmi10"),
)
# Read as a digit by anyone who is told that it is one.
LOOKALIKES = "OoQDlIiJjSsZzBbgqy"
Pictures = list[NDArray[np.uint8]]


def main() -> None:
    """Measure the champions of some homes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homes", type=Path, nargs="+", default=[CHECKOUT])
    parser.add_argument("--out", type=Path, default=CHECKOUT / "bench" / "trust.md")
    options = parser.parse_args()
    lines = [
        "# What the answers can be relied on for",
        "",
        "Written by `bench/trust.py`; its docstring says what is measured.",
        "",
        *(line for home in options.homes for line in describe(Home(home))),
    ]
    options.out.write_text("\n".join(lines))
    print("\n".join(lines))


def describe(home: Home) -> Iterator[str]:
    """Tell all that is measured of a home's champion."""
    model = Registry(home.models, home.keys).load()
    yield f"## Recipe {model.card.recipe['name']}, {model.card.metrics.error:.2%} test error"
    yield ""
    yield from describe_targets(model, find_test(home))
    yield from describe_strangers(model)


def find_test(home: Home) -> Path:
    """Find the normalised test rows of MNIST."""
    return next(home.normalised.glob("mnist-*/test.parquet"))


def describe_targets(model: Model, test: Path) -> Iterator[str]:
    """Tell what is certified on calibration rows, and what the test rows say to it."""
    digits, truth = read_labelled(test)
    reading = model.read(digits)
    confidence = reading.probabilities.max(axis=1)
    right = reading.probabilities.argmax(axis=1) == truth
    curve = model.card.curve
    assert curve is not None
    yield "### Certified and realised"
    yield ""
    yield f"{curve.rows:,} calibration rows, confidence level 95 %; {len(truth):,} test rows."
    yield ""
    yield "| error allowed | threshold | certified read rate | wrong | test reads | test error |"
    yield "|---|---|---|---|---|---|"
    for target in TARGETS:
        try:
            found = certify(curve, target)
        except SettingsError as unattained:
            yield f"| {target:.2%} | | {unattained.what.split(';')[-1].strip()} | | | |"
            continue
        accepted = (confidence >= np.float32(found.threshold)) & ~reading.odd
        wrong = int(np.sum(accepted & ~right))
        _, high = proportion_interval(wrong, int(accepted.sum()))
        yield (
            f"| {target:.2%} | {found.threshold:.4f} | {found.read_rate:.1%} "
            f"| {found.wrong} of {found.accepted:,} | {accepted.mean():.1%} "
            f"| {wrong / accepted.sum():.3%} ({wrong} wrong; at most {high:.2%}) |"
        )
    yield ""
    error = calibration_error(reliability(right, confidence))
    yield f"Expected calibration error on the test rows: {error:.2%}."
    yield f"Test digits taken for something else: {reading.odd.mean():.2%}."
    yield ""


def describe_strangers(model: Model) -> Iterator[str]:
    """Tell how many pictures that show no digit are accepted all the same."""
    threshold = _usual_threshold(model.card)
    yield "### Not a digit"
    yield ""
    yield f"Accepted at the threshold certified for {USUAL:.1%}, {threshold:.4f}."
    yield ""
    yield "| pictures | how many | accepted | by confidence alone |"
    yield "|---|---|---|---|"
    total = taken = 0
    for name, pictures in strangers().items():
        normalised = normalise(pictures)
        reading = model.read(normalised.digits.reshape(-1, 784))
        doubt = np.array([bool(diagnosis.doubt) for diagnosis in normalised.diagnoses])
        sure = reading.probabilities.max(axis=1) >= np.float32(threshold)
        accepted = sure & ~doubt & ~reading.odd
        yield f"| {name} | {len(pictures):,} | {accepted.mean():.1%} | {sure.mean():.1%} |"
        if name != "letters in the shape of a digit":
            total, taken = total + len(pictures), taken + int(accepted.sum())
    yield f"| all but the last | {total:,} | {taken / total:.1%} | |"
    yield ""


def strangers() -> dict[str, Pictures]:
    """Make or read pictures that show no digit, by kind."""
    letters = "".join(sorted({*string.ascii_letters} - {*LOOKALIKES}))
    kinds = {
        "letters": draw_letters(letters),
        "two digits": draw_pairs(300),
        "icons": draw_letters("♠♣♥♦★☎☂☺♫✈✂✉✓✗✿❄☀☁⚓⚖⚡", FONTS[:1] * 8),
        "blanks": [np.full((40, 40), grey, np.uint8) for grey in range(5, 255, 5)],
        "noise": draw_noise(200),
        "clothing": read_clothing(3000) if FASHION.is_file() else [],
        "letters in the shape of a digit": draw_letters(LOOKALIKES),
    }
    return {name: pictures for name, pictures in kinds.items() if pictures}


def draw_letters(letters: str, fonts: Sequence[str] = FONTS) -> Pictures:
    """Draw each letter with each font, black on white, 80 x 80."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    pictures = []
    for turn, name in enumerate(fonts):
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), 40 + turn)
        for letter in letters:
            image = Image.new("L", (80, 80), 255)
            ImageDraw.Draw(image).text((22 + turn % 3, 12), letter, 0, font)
            pictures.append(np.asarray(image))
    return pictures


def draw_pairs(count: int) -> Pictures:
    """Draw numbers of two digits."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        canvas = np.full((64, 110), 255, np.uint8)
        font, number = int(rng.integers(0, 5)), f"{rng.integers(10, 100)}"
        cv2.putText(canvas, number, (10, 48), font, 1.4, 0, 3, cv2.LINE_AA)
        pictures.append(canvas)
    return pictures


def draw_noise(count: int) -> Pictures:
    """Draw noise, from grainy to cloudy."""
    rng = np.random.default_rng(1)
    grain = rng.integers(0, 256, (count, 64, 64), dtype=np.uint8)
    return [
        np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 + 5 * place / count), np.uint8)
        for place, picture in enumerate(grain)
    ]


def read_clothing(count: int) -> Pictures:
    """Read pictures of clothing, 28 x 28, light on dark."""
    with gzip.open(FASHION) as file:
        pixels = np.frombuffer(file.read(16 + count * 784), np.uint8)[16:]
    return list(pixels.reshape(count, 28, 28))


def _usual_threshold(card: Card) -> float:
    assert card.curve is not None
    try:
        return certify(card.curve, USUAL).threshold
    except SettingsError:
        return card.threshold


if __name__ == "__main__":
    main()
