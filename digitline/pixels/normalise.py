"""The MNIST construction: pictures of one digit in, 28 x 28 digits and a diagnosis out.

Training and scoring share `normalise`; `NORMALISER` names what it does, and changes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.ink import UNLIKELY, Found, find_digit
from digitline.pixels.planes import Plane, grey, resize
from digitline.pixels.strokes import even_strokes, stroke_width

Pictures: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

NORMALISER: Final = "7"

_SIDE: Final = 28
_BOX: Final = 20
_WHITE: Final = 255
_USUAL_STROKE: Final = 0.15
# So many 28 x 28 pictures stay in the processor's cache.
_BLOCK: Final = 2048
# Of the digit's longer side; the thickest of pens leaves 0.25.
_SOLID: Final = 0.5


@dataclass(frozen=True)
class Diagnosis:
    """What was seen on the way from a picture to a digit.

    `polarity` is `dark` or `light` (the ink's side), `ink_share` the share of the frame that is
    ink, `stroke_width` a share of the digit's height, `contrast` the grey levels (of 255)
    between ink and paper, `box` the digit as (left, top, width, height) in pixels of the
    picture, `removed` the kinds of clutter taken away. `doubt` is empty, or a short code why a
    person should look: `blank`, `several` (digits), `page` (of writing), `solid` (a patch and no
    strokes), `unclear` (no view of the picture looks like a digit).
    """

    polarity: str
    ink_share: float
    stroke_width: float
    contrast: float
    box: tuple[int, int, int, int]
    removed: tuple[str, ...] = ()
    doubt: str = ""


_BLANK: Final = Diagnosis("dark", 0.0, 0.0, 0.0, (0, 0, 0, 0), (), "blank")


@dataclass(frozen=True)
class Normalised:
    """Digits, (n, 28, 28) white ink on black, with one diagnosis for each."""

    digits: NDArray[np.uint8]
    diagnoses: tuple[Diagnosis, ...] = field(repr=False)


def normalise(images: Pictures) -> Normalised:
    """Normalise (h, w) grey or (h, w, 3) RGB pictures, each by itself whatever its neighbours.

    Pictures that are MNIST already come back bit for bit, their negatives as the positive. A
    blank picture gives an all-zero digit in doubt.
    """
    digits = np.zeros((len(images), _SIDE, _SIDE), np.uint8)
    diagnoses: list[Diagnosis | None] = [None] * len(images)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        diagnoses[block] = _pass_through(images[block], digits[block])
    for place, diagnosis in enumerate(diagnoses):
        if diagnosis is None:
            digits[place], diagnoses[place] = _construct(images[place])
    return Normalised(digits, tuple(cast("list[Diagnosis]", diagnoses)))


def resembles_mnist(digits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of each of (n, 28, 28) pictures whether it was built the way MNIST's 70,000 were.

    Full contrast, on a paper of zeros, the longer side of the ink's box 19 or 20 pixels, the
    centre of mass within a pixel of (14, 14): a picture that came another way hardly fits.
    """
    longer = longer_sides(digits)
    flat = digits.reshape(-1, _SIDE * _SIDE)
    bright = flat.max(axis=1, initial=0) >= _WHITE - 1
    fits = ((longer == _BOX) | (longer == _BOX - 1)) & bright & _centred(flat)
    return np.asarray(fits, np.bool_)


def longer_sides(digits: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Measure the longer side of the ink's box in each of (n, 28, 28) pictures: (n,) pixels."""
    # Seven words of eight pixels make a pair of rows: a word holds ink if it is not zero.
    pairs = np.ascontiguousarray(digits).reshape(-1, 14, 2 * _SIDE).view(np.uint64)
    columns = np.bitwise_or.reduce([pairs[:, row] for row in range(14)]).view(np.uint8)
    wide = _extent((columns[:, :_SIDE] | columns[:, _SIDE:]) > 0)
    return np.asarray(np.maximum(_extent(inked_rows(digits)), wide))


def inked_rows(digits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which rows of each of (n, 28, 28) pictures hold ink: (n, 28)."""
    quads = np.ascontiguousarray(digits).view(np.uint32)  # seven words of four pixels a row
    return np.asarray(np.bitwise_or.reduce([quads[:, :, column] for column in range(7)]) > 0)


def _extent(touched: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Measure from the first to the last of (n, 28) lines with ink."""
    first, last = touched.argmax(axis=1), _SIDE - touched[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(touched.any(axis=1), last - first, 0))


def _centred(flat: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say whether the centre of mass is MNIST's: theirs lie between 13.48 and 14.50."""
    reach = np.arange(_SIDE, dtype=np.float32)
    down, across = np.repeat(reach, _SIDE), np.tile(reach, _SIDE)
    # Whole numbers below 2**24: exact in float32 whatever the order of adding.
    moments = flat.astype(np.float32) @ np.stack([np.ones_like(down), down, across], axis=1)
    total, first = moments[:, :1], moments[:, 1:]
    return np.asarray(((total * 13.45 < first) & (first < total * 14.55)).all(axis=1))


def _pass_through(images: Pictures, digits: NDArray[np.uint8]) -> list[Diagnosis | None]:
    """Copy the pictures that are MNIST to their places among the digits; diagnose those."""
    places, pictures = _small(images)
    diagnoses: list[Diagnosis | None] = [None] * len(images)
    for polarity in ("light", "dark"):
        if not len(places):
            break
        pictures = pictures if polarity == "light" else ~pictures
        fits = resembles_mnist(pictures)
        passed = pictures[fits]
        digits[places[fits]] = passed
        inked = np.count_nonzero(passed.reshape(-1, _SIDE * _SIDE) > _WHITE // 2, axis=1)
        for place, count in zip(places[fits].tolist(), inked.tolist(), strict=True):
            diagnoses[place] = _passed(polarity, count)
        places, pictures = places[~fits], pictures[~fits]
    return diagnoses


def _small(images: Pictures) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Collect the 28 x 28 pictures and their places."""
    if isinstance(images, np.ndarray) and images.shape[1:] == (_SIDE, _SIDE):
        return np.arange(len(images)), images
    places = [place for place, image in enumerate(images) if image.shape[:2] == (_SIDE, _SIDE)]
    pictures = [grey(images[place]) for place in places]
    return np.array(places, np.intp), np.array(pictures, np.uint8).reshape(-1, _SIDE, _SIDE)


@lru_cache(maxsize=2 * _SIDE * _SIDE)
def _passed(polarity: str, inked: int) -> Diagnosis:
    return Diagnosis(polarity, inked / _SIDE**2, _USUAL_STROKE, _WHITE, (4, 4, _BOX, _BOX))


def _construct(image: Plane) -> tuple[Plane, Diagnosis]:
    found = find_digit(image)
    if found is None:
        return np.zeros((_SIDE, _SIDE), np.uint8), _BLANK
    width = stroke_width(found.mask)
    return build(found.mask, width), _diagnose(found, width)


def build(ink: Plane, width: float) -> Plane:
    """Build a (28, 28) digit of a (h, w) mask of 0 and 255, whose strokes are `width` wide."""
    return _place(even_strokes(ink, width))


def _diagnose(found: Found, width: float) -> Diagnosis:
    view = found.view
    left, top, wide, tall = (round(edge / found.scale) for edge in view.findings.box)
    return Diagnosis(
        polarity=view.polarity,
        ink_share=float(np.count_nonzero(view.findings.mask)) / view.findings.mask.size,
        stroke_width=width / max(found.mask.shape),
        contrast=view.level,
        box=(left, top, max(1, wide), max(1, tall)),
        removed=("rulings",) * view.erased + view.findings.removed,
        doubt=_doubt(found, width / max(found.mask.shape)),
    )


def _doubt(found: Found, stroke: float) -> str:
    if found.view.findings.doubt:
        return found.view.findings.doubt
    if stroke > _SOLID:
        return "solid"
    return "unclear" if found.likely < UNLIKELY else ""


def _place(ink: Plane) -> Plane:
    """Fit (h, w) ink into a 20 x 20 box, and its centre of mass into the middle of 28 x 28."""
    height, width = ink.shape
    scale = _BOX / max(height, width)
    small = resize(ink, width * scale, height * scale)
    small = np.rint(small * (_WHITE / max(1, small.max()))).astype(np.uint8)
    moments = cv2.moments(small)
    total = moments["m00"] or 1.0
    left = _centre(moments["m10"] / total, small.shape[1])
    top = _centre(moments["m01"] / total, small.shape[0])
    digit = np.zeros((_SIDE, _SIDE), np.uint8)
    digit[top : top + small.shape[0], left : left + small.shape[1]] = small
    return digit


def _centre(mass: float, extent: int) -> int:
    return min(max(round(_SIDE / 2 - mass), 0), _SIDE - extent)
