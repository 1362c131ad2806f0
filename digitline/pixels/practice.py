"""Digits to practise on: renderings as the normaliser leaves them, the way life will bring them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.hands import Line, draw_line
from digitline.pixels.looks import Camera, Look, Pen, draw_look
from digitline.pixels.normalise import Diagnosis, build, normalise
from digitline.pixels.planes import Plane, resize, trim
from digitline.pixels.render import Written, deform, paint, write
from digitline.pixels.strokes import stroke_width

# The normaliser looks at no more than about this many pixels a side.
_SIDE: Final = 144
_DRAWN: Final = 0.5
_INKED: Final = 100
_SHARED: Final = 0.5
_COARSELY: Final = 0.4
_WHITE: Final = 255
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
    """Render (n, 28, 28) digits as pictures, one each, and normalise these; 2 * n rows or fewer.

    Half of the pictures are written afresh, in hands that MNIST hardly knows. Left out is what
    the normaliser sends to review, or loses: what it gives would be taught under a wrong name.
    More of these hands follow, a sketch for each label.
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
    sketches = [sketch(label, dice) for label in labels.tolist()]
    return Practice(
        np.concatenate([normalised.digits[kept], sketches]),
        np.concatenate([labels[kept], labels]),
    )


def sketch(label: int, dice: Dice) -> Plane:
    """Write a digit afresh and build it (28, 28) as the normaliser would from a clean drawing.

    Costs a fifth of a rendering: many hands can be shown, some on as few pixels as a thumbnail.
    """
    raster = round(dice.scale(8, 28)) if dice.happens(_COARSELY) else None
    # On a raster no pen is thinner than about a pixel.
    pen = Pen(
        width=dice.scale(0.04 if raster is None else max(0.04, 1.1 / raster), 0.22),
        own=False,
        slant=dice.about(0, 0.25),
        turn=dice.about(0, 7),
        stretch=2 ** dice.about(0, 0.3),
        wobble=dice.between(0, 0.03),
        gaps=0.0,
        grain=0.0,
    )
    ink = _ink(deform(draw_line(label, dice), pen, dice), pen.width)
    if raster is not None:
        ink = _coarsen(ink, raster, dice)
    return build(ink, stroke_width(ink))


def _ink(line: Line, width: float) -> Plane:
    """Draw a line with a pen of that width, a share of its height; no margin."""
    _, _, _, tall = cv2.boundingRect(np.where(line < 1, _WHITE, 0).astype(np.uint8))
    return trim(np.where(line < max(1.0, width * tall / 2), _WHITE, 0).astype(np.uint8))


def _coarsen(ink: Plane, raster: int, dice: Dice) -> Plane:
    """See ink on a raster of a few pixels, and smooth that again."""
    height, width = ink.shape
    zoom = raster / max(height, width)
    few = resize(ink, zoom * width, zoom * height)
    again = resize(few, width, height)
    coarse = np.where(again > dice.between(0.3, 0.6) * int(again.max()), _WHITE, 0)
    return trim(coarse.astype(np.uint8))


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
