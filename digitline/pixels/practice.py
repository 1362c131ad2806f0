"""Digits to practise on: renderings as the normaliser leaves them, the way life will bring them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.hands import draw_line
from digitline.pixels.looks import Camera, Look, draw_look
from digitline.pixels.normalise import Diagnosis, normalise
from digitline.pixels.planes import Plane
from digitline.pixels.render import Written, paint, write

# The normaliser looks at no more than about this many pixels a side.
_SIDE: Final = 144
_DRAWN: Final = 0.5
_INKED: Final = 100
_SHARED: Final = 0.5
_STREAM: Final = 0x9E


@dataclass(frozen=True)
class Practice:
    """Normalised renderings, (n, 28, 28) uint8, and the digit each shows, (n,)."""

    digits: NDArray[np.uint8]
    labels: NDArray[np.int8]


@dataclass(frozen=True)
class Lesson:
    """Digits to render together, (n, 28, 28), their labels (n,), and a number of their own."""

    number: int
    digits: NDArray[np.uint8]
    labels: NDArray[np.int8]


def practise_lesson(lesson: Lesson, seed: int) -> Practice:
    """Make a lesson's practice from a generator of its own, whoever makes it."""
    return practise(
        lesson.digits, lesson.labels, np.random.default_rng([seed, _STREAM, lesson.number])
    )


def practise(
    digits: NDArray[np.uint8], labels: NDArray[np.int8], rng: np.random.Generator
) -> Practice:
    """Render (n, 28, 28) digits as pictures, one each, and normalise these; n rows or fewer.

    Half of the digits are written afresh, in hands that MNIST hardly knows. Left out is what
    the normaliser sends to review, or loses: what it gives would be taught under a wrong name.
    """
    dice = Dice(rng)
    pictures, inks = [], []
    for digit, label in zip(digits, labels.tolist(), strict=True):
        picture, ink = _render(digit, label, dice)
        pictures.append(picture)
        inks.append(ink)
    normalised = normalise(pictures)
    kept = [
        _shows(diagnosis, ink) for diagnosis, ink in zip(normalised.diagnoses, inks, strict=True)
    ]
    return Practice(normalised.digits[kept], labels[kept])


def _render(digit: Plane, label: int, dice: Dice) -> tuple[Plane, Plane]:
    look = _look(dice)
    if dice.happens(_DRAWN):
        written = Written(draw_line(label, dice), own=False)
    else:
        written = write(digit, own=look.pen.own)
    return paint(written, look, dice, canvas=_SIDE)


def _look(dice: Dice) -> Look:
    """Draw a look, from a camera that sees no more detail than is looked at."""
    look = draw_look(dice)
    return replace(look, camera=_coarse(look.camera))


def _coarse(camera: Camera) -> Camera:
    zoom = min(1.0, _SIDE / max(camera.height, camera.width))
    height, width = (max(8, round(zoom * side)) for side in (camera.height, camera.width))
    return replace(camera, height=height, width=width)


def _shows(diagnosis: Diagnosis, ink: Plane) -> bool:
    """Say whether the normaliser found the ink, as boxes, and has no doubt of it."""
    if diagnosis.doubt:
        return False
    drawn = cv2.boundingRect(np.where(ink > _INKED, 255, 0).astype(np.uint8))
    shared = _overlap(diagnosis.box, drawn)
    return shared > _SHARED * (_area(diagnosis.box) + _area(drawn) - shared)


def _overlap(one: Sequence[int], other: Sequence[int]) -> float:
    lows, ends = np.maximum(one[:2], other[:2]), np.add((one[:2], other[:2]), (one[2:], other[2:]))
    wide, tall = np.maximum(ends.min(axis=0) - lows, 0)
    return float(wide * tall)


def _area(box: Sequence[int]) -> float:
    return float(box[2] * box[3])
