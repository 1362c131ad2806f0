"""The MNIST construction: pictures of one digit in, 28 x 28 digits and a diagnosis out.

Training and scoring share `normalise`; `NORMALISER` names what it does, and changes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.ink import Found, find_digit
from digitline.pixels.planes import Plane, grey, resize
from digitline.pixels.strokes import even_strokes, stroke_width

Pictures: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

NORMALISER: Final = "2"

_SIDE: Final = 28
_BOX: Final = 20
_WHITE: Final = 255
_USUAL_STROKE: Final = 0.15
_UNLIKELY: Final = 0.4


@dataclass(frozen=True)
class Diagnosis:
    """What was seen on the way from a picture to a digit.

    `polarity` is `dark` or `light` (the ink's side), `ink_share` the share of the frame that is
    ink, `stroke_width` a share of the digit's height, `contrast` the grey levels (of 255)
    between ink and paper, `box` the digit as (left, top, width, height) in pixels of the
    picture, `removed` the kinds of clutter taken away. `doubt` is empty, or a short code why a
    person should look: `blank`, `faint`, `several`, `page`, `solid`.
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
    diagnoses: dict[int, Diagnosis] = {}
    small = [place for place, image in enumerate(images) if image.shape[:2] == (_SIDE, _SIDE)]
    if small:
        diagnoses |= _pass_through(np.array(small), _stack(images, small), digits)
    for place, image in enumerate(images):
        if place not in diagnoses:
            digits[place], diagnoses[place] = _construct(image)
    return Normalised(digits, tuple(diagnoses[place] for place in range(len(images))))


def resembles_mnist(digits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of each of (n, 28, 28) pictures whether it was built the way MNIST's 70,000 were.

    Full contrast, on a paper of zeros, the longer side of the ink's box 19 or 20 pixels, the
    centre of mass within a pixel of (14, 14): a picture that came another way hardly fits.
    """
    inked = digits > 0
    tall, wide = _extent(np.any(inked, axis=2)), _extent(np.any(inked, axis=1))
    longer = np.maximum(tall, wide)
    likely = (longer == _BOX) | (longer == _BOX - 1)
    likely &= digits.max((1, 2)) >= _WHITE - 1
    fits = np.zeros(len(digits), np.bool_)
    chosen = np.flatnonzero(likely)
    fits[chosen] = _centred(digits[chosen])
    return fits


def _extent(touched: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Measure from the first to the last of (n, 28) lines with ink."""
    first, last = touched.argmax(1), _SIDE - touched[:, ::-1].argmax(1)
    return np.asarray(np.where(touched.any(1), last - first, 0))


def _centred(digits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    reach = np.arange(_SIDE)
    total = digits.sum((1, 2), dtype=np.int64)
    across = digits.sum(1, dtype=np.int64) @ reach
    down = digits.sum(2, dtype=np.int64) @ reach
    # MNIST's own centres lie between 13.48 and 14.50.
    low, high = total * 13.45, total * 14.55
    return np.asarray((low < across) & (across < high) & (low < down) & (down < high))


def _stack(images: Pictures, places: Sequence[int]) -> NDArray[np.uint8]:
    if isinstance(images, np.ndarray) and images.shape == (len(places), _SIDE, _SIDE):
        return images
    return np.stack([grey(images[place]) for place in places])


def _pass_through(
    places: NDArray[np.intp], pictures: NDArray[np.uint8], digits: NDArray[np.uint8]
) -> dict[int, Diagnosis]:
    """Copy the (n, 28, 28) pictures that are MNIST to their places among the digits."""
    diagnoses: dict[int, Diagnosis] = {}
    for polarity, positives in (("light", pictures), ("dark", ~pictures)):
        fits = np.flatnonzero(resembles_mnist(positives))
        digits[places[fits]] = positives[fits]
        inked = np.count_nonzero(positives[fits] > _WHITE // 2, axis=(1, 2))
        passed = (_passed(polarity, count) for count in inked.tolist())
        diagnoses.update(zip(places[fits].tolist(), passed, strict=True))
    return diagnoses


@lru_cache(maxsize=2 * _SIDE * _SIDE)
def _passed(polarity: str, inked: int) -> Diagnosis:
    return Diagnosis(polarity, inked / _SIDE**2, _USUAL_STROKE, _WHITE, (4, 4, _BOX, _BOX))


def _construct(image: Plane) -> tuple[Plane, Diagnosis]:
    found = find_digit(image)
    if found is None:
        return np.zeros((_SIDE, _SIDE), np.uint8), _BLANK
    mask, (left, top, wide, tall) = found.view.findings.mask, found.view.findings.box
    cropped = mask[top : top + tall, left : left + wide]
    width = stroke_width(cropped)
    return _place(even_strokes(cropped, width)), _diagnose(found, width)


def _diagnose(found: Found, width: float) -> Diagnosis:
    view = found.view
    left, top, wide, tall = (round(edge / found.scale) for edge in view.findings.box)
    return Diagnosis(
        polarity=view.polarity,
        ink_share=float(np.count_nonzero(view.findings.mask)) / view.findings.mask.size,
        stroke_width=width / max(view.findings.box[2:]),
        contrast=view.level,
        box=(left, top, max(1, wide), max(1, tall)),
        removed=("rulings",) * view.erased + view.findings.removed,
        doubt=_doubt(found),
    )


def _doubt(found: Found) -> str:
    if found.likely < _UNLIKELY:
        return "unclear"
    return found.view.findings.doubt


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
