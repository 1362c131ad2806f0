"""Make data/samples/: small files that show what a reader of digits meets, good and bad.

    python bench/make_samples.py [FOLDER]

The digits come from MNIST's test set (data/mnist/test.parquet) and the looks from
`digitline.pixels.render`, so the answers are known: labels.csv holds them, and leaves out what
is not one digit. The same versions of the libraries make the same bytes.
"""

import csv
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from digitline.pixels.decode import Limits, decode
from digitline.pixels.dice import Dice
from digitline.pixels.looks import Camera, Look, Pen, Ruling, Scene
from digitline.pixels.render import render, write

ROOT: Final = Path(__file__).resolve().parent.parent
SEED: Final = 28

WHITE: Final = (255.0, 255.0, 255.0)
BLACK: Final = (0.0, 0.0, 0.0)
BALLPOINT: Final = (30.0, 45.0, 130.0)
PENCIL: Final = (110.0, 110.0, 115.0)

PEN: Final = Pen(
    width=0.07, own=False, slant=0.0, turn=0.0, stretch=1.0, wobble=0.01, gaps=0.0, grain=0.0
)
SCENE: Final = Scene(
    ink=BLACK,
    paper=WHITE,
    texture=0.0,
    shade=0.0,
    shadow=0.0,
    ruling="none",
    neighbours=0,
    specks=0,
)
CAMERA: Final = Camera(
    height=96,
    width=96,
    framing=0.7,
    tight=False,
    fit=False,
    blur=0.0,
    noise=0.0,
    jpeg=0,
    bilevel=False,
    grey=True,
)
PLAIN: Final = Look("scan", PEN, SCENE, CAMERA)


@dataclass(frozen=True)
class Sample:
    """A file of the folder; what is not one digit has no label."""

    path: str
    content: bytes
    label: int | None = None


class Digits:
    """MNIST's test digits, one after the other from a fixed place on, by label."""

    def __init__(self, source: Path) -> None:
        """Read raw rows (PNG bytes and labels) from Parquet."""
        table = pq.read_table(source)
        self._images = table.column("image").to_pylist()
        self._labels = np.asarray(table.column("label"))
        order = np.random.default_rng(SEED).permutation(len(self._labels))
        self._places = {
            digit: iter(order[self._labels[order] == digit].tolist()) for digit in range(10)
        }

    def take(self, digit: int) -> NDArray[np.uint8]:
        """Take the next (28, 28) picture of a digit."""
        return decode(self._images[next(self._places[digit])]["bytes"], Limits())


def encode(pixels: NDArray[np.generic], form: str, **options: object) -> bytes:
    """Encode (h, w), (h, w, 3) or (h, w, 4) pixels as an image file."""
    return encode_image(Image.fromarray(pixels), form, **options)


def encode_image(image: Image.Image, form: str, **options: object) -> bytes:
    """Encode a Pillow image as a file."""
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def paint(digits: Digits, digit: int, look: Look, seed: int) -> NDArray[np.uint8]:
    """Render the next picture of a digit in a look."""
    dice = Dice(np.random.default_rng([SEED, seed]))
    return render(write(digits.take(digit), own=look.pen.own), look, dice)


def mnist_as_it_is(digits: Digits) -> Iterator[Sample]:
    """White on black, 28 x 28: what the network was trained on."""
    for digit in range(10):
        yield Sample(f"mnist/{digit}.png", encode(digits.take(digit), "PNG"), digit)


def black_on_white(digits: Digits) -> Iterator[Sample]:
    """Clean scans in many formats, from hairline to broad felt pen."""
    forms = {"png": "PNG", "bmp": "BMP", "gif": "GIF", "tiff": "TIFF", "webp": "WEBP"}
    widths = (0.02, 0.03, 0.05, 0.08, 0.12, 0.14, 0.16, 0.18, 0.04, 0.1)
    for digit, width in enumerate(widths):
        suffix = list(forms)[digit % len(forms)]
        look = replace(PLAIN, pen=replace(PEN, width=width, turn=2.0 * digit - 9))
        pixels = paint(digits, digit, look, 100 + digit)
        name = f"clean/{'thin' if width < PEN.width else 'thick'}-{digit}.{suffix}"
        yield Sample(name, encode(pixels, forms[suffix]), digit)


def photographs(digits: Digits) -> Iterator[Sample]:
    """Tinted paper, slanting light, soft focus, JPEG."""
    papers = ((245, 238, 215), (250, 235, 110), (200, 220, 240), (205, 180, 145), (225, 225, 222))
    inks = (BALLPOINT, (20.0, 20.0, 25.0), PENCIL, (20.0, 90.0, 60.0), (150.0, 30.0, 40.0))
    camera = replace(CAMERA, height=160, width=140, framing=0.6, blur=0.004, noise=2.5, grey=False)
    for digit in range(10):
        scene = replace(
            SCENE,
            ink=inks[digit % 4],
            paper=papers[(3 * digit) % 5],
            texture=3.0,
            shade=0.4,
            shadow=0.25 if digit in {3, 8} else 0.0,
        )
        pen = replace(PEN, width=0.05 + 0.008 * digit, grain=0.2)
        pixels = paint(digits, digit, Look("photo", pen, scene, camera), 200 + digit)
        folder = "photos" if digit % 2 else "photos/morning"
        content = encode(pixels, "JPEG", quality=80)
        yield Sample(f"{folder}/{digit}.jpg", content, digit)


def phone_photograph(digits: Digits) -> Iterator[Sample]:
    """Take a picture of a phone's size, lying on its side as phones store them."""
    camera = replace(CAMERA, height=2400, width=1800, framing=0.5, blur=0.002)
    scene = replace(SCENE, ink=PENCIL, paper=(215.0, 212.0, 205.0), shade=0.35)
    upright = Image.fromarray(paint(digits, 5, Look("photo", PEN, scene, camera), 300))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    content = encode_image(lying, "JPEG", quality=40, exif=exif)
    yield Sample("photos/IMG_20240229_5.JPG", content, 5)


def form_cells(digits: Digits) -> Iterator[Sample]:
    """Cells cut from forms: box lines, table lines, a neighbour's edge, specks."""
    camera = replace(CAMERA, height=120, width=104, framing=0.55, noise=2.0)
    rulings: tuple[Ruling, ...] = (
        "box",
        "corner",
        "line",
        "table",
        "none",
        "box",
        "grid",
        "corner",
    )
    for place, ruling in enumerate(rulings):
        digit = (7 * place + 2) % 10
        scene = replace(
            SCENE,
            ink=(BALLPOINT, PENCIL, BLACK)[place % 3],
            ruling=ruling,
            neighbours=int(ruling == "none"),
            specks=5 if place % 2 else 0,
        )
        pixels = paint(digits, digit, Look("form", PEN, scene, camera), 400 + place)
        yield Sample(f"forms/cell-{place + 1}.png", encode(pixels, "PNG"), digit)


def screen_drawings(digits: Digits) -> Iterator[Sample]:
    """Drawings: ink in the alpha channel alone, a palette, one bit, sixteen bits, dim light."""
    soft = replace(PLAIN, camera=replace(CAMERA, height=64, width=64))
    dark = replace(soft, scene=replace(SCENE, ink=(70.0,) * 3, paper=(12.0,) * 3))
    cover = 255 - paint(digits, 4, soft, 500)
    alone = np.dstack([np.zeros((64, 64, 3), np.uint8), cover])
    yield Sample("screens/ink-in-alpha.png", encode(alone, "PNG"), 4)
    grey = Image.fromarray(paint(digits, 6, soft, 501))
    yield Sample("screens/palette.png", encode_image(grey.quantize(8), "PNG"), 6)
    bits = grey.convert("1", dither=Image.Dither.NONE)
    yield Sample("screens/one-bit.tif", encode_image(bits, "TIFF", compression="group4"), 6)
    deep = paint(digits, 2, soft, 502).astype(np.uint16) * 257
    yield Sample("screens/sixteen-bit.png", encode(deep, "PNG"), 2)
    yield Sample("screens/dim.png", encode(paint(digits, 9, dark, 503), "PNG"), 9)
    tiny = replace(soft, camera=replace(CAMERA, height=16, width=16, fit=True, bilevel=True))
    tiny = replace(tiny, pen=replace(PEN, width=0.12))
    yield Sample("screens/sixteen-pixels.png", encode(paint(digits, 3, tiny, 504), "PNG"), 3)


def odd_names(digits: Digits) -> Iterator[Sample]:
    """Good pictures under names that careless programs trip over."""
    names = (
        "a name with spaces.png",
        "-leading-dash.png",
        'it\'s "quoted".png',
        "<b>bold<i>.png",
        "&amp;.png",
        "naïve café.png",
        "数字 ٣ ३.png",
        "100%s {0}.png",
        "really a jpeg.png",
        "no extension",
    )
    for digit, name in enumerate(names):
        form = "JPEG" if "jpeg" in name else "PNG"
        content = encode(255 - digits.take(digit), form)
        yield Sample(f"odd names/{name}", content, digit)


def not_one_digit(digits: Digits) -> Iterator[Sample]:
    """Pictures that a person should look at."""
    yield Sample("doubtful/blank.png", encode(np.full((60, 60), 244, np.uint8), "PNG"))
    wide = np.hstack([digits.take(1)[:, 4:22], digits.take(0)[:, 2:26]])
    yield Sample("doubtful/ten.png", encode(np.pad(255 - wide, 6, constant_values=255), "PNG"))
    rows = [
        np.hstack([digits.take((3 * row + column) % 10) for column in range(8)])
        for row in range(10)
    ]
    yield Sample("doubtful/page.png", encode(255 - np.vstack(rows), "PNG"))


def broken_files(digits: Digits) -> Iterator[Sample]:
    """Files that hold no picture that can be read."""
    whole = encode(digits.take(8), "JPEG")
    frames = [Image.fromarray(digits.take(digit)) for digit in (1, 2, 3)]
    animated = encode_image(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield Sample("broken/empty.png", b"")
    yield Sample("broken/cut short.jpg", whole[: len(whole) // 2])
    yield Sample("broken/a text.png", b"This was never a picture.\n")
    yield Sample("broken/animated.gif", animated)


GROUPS: Final = (
    mnist_as_it_is,
    black_on_white,
    photographs,
    phone_photograph,
    form_cells,
    screen_drawings,
    odd_names,
    not_one_digit,
    broken_files,
)


def make_samples(source: Path) -> list[Sample]:
    """Make all samples from the raw rows of a Parquet file."""
    digits = Digits(source)
    return [sample for group in GROUPS for sample in group(digits)]


def save(samples: list[Sample], folder: Path) -> None:
    """Write the samples and labels.csv into a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for sample in samples:
        path = folder / sample.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.content)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "label"])
        rows.writerows([known.path, known.label] for known in samples if known.label is not None)


def main() -> None:
    """Write data/samples/, or the folder given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data" / "samples"
    samples = make_samples(ROOT / "data" / "mnist" / "test.parquet")
    save(samples, folder)
    size = sum(len(sample.content) for sample in samples)
    print(f"{len(samples)} files, {size / 1000:.0f} kB, in {folder}")


if __name__ == "__main__":
    main()
