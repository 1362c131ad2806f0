"""Traits of pictures as they came, before anything was evened out: light, framing, pen, focus."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.normalise import Diagnosis, Normalised, Pictures, longer_sides
from digitline.pixels.planes import Plane, grey

# The columns of what `measure_traits` gives.
TRAITS: Final = ("polarity", "contrast", "framing", "stroke", "focus")

_SIDE: Final = 28
_WHITE: Final = 255
_BOX: Final = 20
_LARGEST: Final = 64
# Steps of grey below this share of the contrast are grain of paper or film, no edges.
_GRAIN: Final = 8


def measure_traits(images: Pictures, normalised: Normalised) -> NDArray[np.float32]:
    """Measure n pictures, (h, w) or (h, w, 3), beside what became of them: (n, 5) float32.

    Columns: `polarity`, 1 where the ink is lighter than its paper, else 0; `contrast`, grey
    levels between them; `framing`, the share of the frame that the digit spans; `stroke`, the
    pen's width as a share of the digit's height; `focus`, how wide edges are, likewise. A blank
    picture is a row of NaN.
    """
    traits = np.full((len(images), len(TRAITS)), np.nan, np.float32)
    passed = _passed(images, normalised.digits)
    if len(passed):
        light = [normalised.diagnoses[place].polarity == "light" for place in passed.tolist()]
        traits[passed] = _traits_of_digits(normalised.digits[passed], np.array(light))
    through = frozenset(passed.tolist())
    for place, (image, diagnosis) in enumerate(zip(images, normalised.diagnoses, strict=True)):
        if place not in through and diagnosis.contrast > 0:
            traits[place] = _traits_of(image, diagnosis)
    return traits


def _passed(images: Pictures, digits: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Find the pictures that were finished digits, or their negatives."""
    small = [place for place, image in enumerate(images) if image.shape == (_SIDE, _SIDE)]
    if not small:
        return np.empty(0, np.intp)
    places = np.array(small)
    pictures, made = (_words(np.array([row[place] for place in small])) for row in (images, digits))
    same = (pictures == made).all(axis=1) | (~pictures == made).all(axis=1)
    return np.asarray(places[same & made.any(axis=1)])


def _words(pictures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """View (n, 28, 28) pictures as words of eight pixels, which are quickly compared."""
    return pictures.reshape(len(pictures), -1).view(np.uint64)


def _traits_of_digits(passed: NDArray[np.uint8], light: NDArray[np.bool_]) -> NDArray[np.float32]:
    flat = passed.reshape(len(passed), _SIDE * _SIDE)
    across = np.asarray(cv2.absdiff(flat[:, 1:], flat[:, :-1]), np.uint8)
    across[:, _SIDE - 1 :: _SIDE] = 0  # from the end of a row to the next
    down = np.asarray(cv2.absdiff(flat[:, _SIDE:], flat[:, :-_SIDE]), np.uint8)
    steps = _sum(across) + _sum(down)
    squares = _sum_squares(across) + _sum_squares(down)
    # A stroke of width w and length l covers w * l and has 2 * l of edge; along slanted edges
    # rows and columns together count 4 / pi too much.
    stroke = 2 * _sum(flat) / (steps * np.pi / 4)
    framing = longer_sides(passed) / _SIDE
    edge = steps * _WHITE / squares
    columns = (light, flat.max(axis=1), framing, stroke / _BOX, edge / _BOX)
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def _sum(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum (n, w) values along each row: (n,)."""
    return np.asarray(cv2.reduce(rows, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S), np.float64)[:, 0]


def _sum_squares(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum the squares of (n, w) values along each row: (n,)."""
    values = rows.astype(np.float32)
    return np.asarray(np.einsum("nw,nw->n", values, values), np.float64)


def _traits_of(image: NDArray[np.uint8], diagnosis: Diagnosis) -> tuple[float, ...]:
    left, top, wide, tall = diagnosis.box
    high, broad = image.shape[:2]
    crop = grey(image[max(0, top) : top + tall, max(0, left) : left + wide])
    return (
        float(diagnosis.polarity == "light"),
        diagnosis.contrast,
        max(wide / broad, tall / high),
        diagnosis.stroke_width,
        _focus(crop, diagnosis.contrast),
    )


def _focus(crop: Plane, contrast: float) -> float:
    """Measure how wide the edges in a crop of one digit are, as a share of its longer side."""
    longer = max(crop.shape, default=0)
    if longer == 0:
        return float("nan")
    if longer > _LARGEST:
        size = [max(1, round(side * _LARGEST / longer)) for side in crop.shape]
        crop = np.asarray(cv2.resize(crop, (size[1], size[0]), interpolation=cv2.INTER_AREA))
        longer = _LARGEST
    steps, squares = _steps(crop[None].astype(np.int16), contrast / _GRAIN)
    return float(steps[0] * contrast / squares[0] / longer) if squares[0] else float("nan")


def _steps(
    planes: NDArray[np.int16], least: float = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the steps of grey between neighbours in (n, h, w) planes, and their squares: (n,)."""
    total = np.zeros((2, len(planes)))
    for axis in (1, 2):
        step = np.abs(np.diff(planes, axis=axis)).astype(np.float32)
        step[step < least] = 0
        total += step.sum((1, 2)), np.einsum("nij,nij->n", step, step)
    return total[0], total[1]
