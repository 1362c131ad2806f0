"""Realistic pictures of digits with known answers: test pictures, and training data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.hands import LINE_SIDE, Line, draw_line, outline, trace
from digitline.pixels.looks import Camera, Look, Pen, draw_look
from digitline.pixels.planes import Plane
from digitline.pixels.scenes import Layer, Shape, lay_out

CANVAS: Final = 240
_DRAWN: Final = 0.25


@dataclass(frozen=True)
class Rendering:
    """A picture, (h, w) grey or (h, w, 3) RGB, and the digit that it shows.

    `ink` (h, w) says how much of each pixel the digit's ink covers, 0 to 255.
    """

    picture: Plane
    ink: Plane
    label: int
    look: Look


@dataclass(frozen=True)
class Written:
    """A digit as the pen's path, or (`own`) as the outline that its own pen left."""

    line: Line
    own: bool


def render_many(
    digits: NDArray[np.uint8], labels: NDArray[np.integer], seed: int
) -> Iterator[Rendering]:
    """Render (n, 28, 28) digits, each from a generator of its own: `[seed, its place]`.

    A quarter is written afresh instead, in hands that MNIST hardly knows.
    """
    for place, (digit, label) in enumerate(zip(digits, labels.tolist(), strict=True)):
        dice = Dice(np.random.default_rng([seed, place]))
        look = draw_look(dice)
        if dice.happens(_DRAWN):
            written = Written(draw_line(label, dice), own=False)
        else:
            written = write(digit, own=look.pen.own)
        picture, ink = paint(written, look, dice)
        yield Rendering(picture, ink, label, look)


def write(digit: Plane, *, own: bool) -> Written:
    """Take the pen's path from a (28, 28) digit, or with `own` its outline."""
    return Written(outline(digit) if own else trace(digit), own)


def render(written: Written, look: Look, dice: Dice) -> Plane:
    """Make the picture of a digit; the same dice make the same bytes."""
    return paint(written, look, dice)[0]


def paint(written: Written, look: Look, dice: Dice, *, canvas: int = CANVAS) -> tuple[Plane, Plane]:
    """Make the picture of a digit, and the cover of its ink; `canvas` is its side in the making."""
    bent = Written(deform(written.line, look.pen, dice), written.own)
    radius = _pen_radius(bent, look, dice)
    box = _box(bent.line, radius)
    camera = _cut_to(box, look.camera) if look.camera.tight else look.camera
    zoom = canvas / max(camera.height, camera.width)
    shape = (max(8, round(camera.height * zoom)), max(8, round(camera.width * zoom)))
    ink = _worn(_put(bent.line, radius, camera, shape, dice), look.pen, dice)
    picture = _photograph(lay_out(ink, look.scene, dice), camera, dice)
    return picture, np.rint(255 * _sample(ink, camera)).astype(np.uint8)


def _box(line: Line, radius: float) -> tuple[float, float, float, float]:
    """Measure left, top, width and height of what a pen of that radius writes."""
    left, top, wide, tall = cv2.boundingRect(np.where(line < 1, 255, 0).astype(np.uint8))
    return left - radius, top - radius, max(4.0, wide + 2 * radius), max(4.0, tall + 2 * radius)


def _pen_radius(written: Written, look: Look, dice: Dice) -> float:
    """Choose the pen's radius in units of the line; no pen is thinner than about a pixel."""
    _, _, _, tall = _box(written.line, 0)
    if written.own:
        return dice.between(-0.03, 0.035) * tall
    pixel = tall / (look.camera.framing * look.camera.height)
    return max(look.pen.width * tall / 2, (0.5 if look.camera.bilevel else 0.35) * pixel)


def _cut_to(box: tuple[float, float, float, float], camera: Camera) -> Camera:
    """Cut the frame to the digit, up to five times as long as wide."""
    _, _, wide, tall = box
    aspect = min(max(wide / tall, 0.2), 5.0)
    return replace(camera, width=max(4, round(camera.height * aspect)))


def deform(line: Line, pen: Pen, dice: Dice) -> Line:
    """Slant, turn, stretch and wobble a line."""
    half, turn = LINE_SIDE / 2, np.deg2rad(pen.turn)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = spin @ np.array([[1, pen.slant], [0, 1]]) @ np.diag([np.sqrt(pen.stretch), 1])
    down, across = np.mgrid[:LINE_SIDE, :LINE_SIDE] - half
    places = np.tensordot(matrix, np.stack([across, down]), axes=1) + half
    reach = pen.wobble * LINE_SIDE
    x, y = (axis + reach * dice.clouds((LINE_SIDE, LINE_SIDE), 5) for axis in places)
    bent = cv2.remap(
        line,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(bent, np.float32)


def _put(line: Line, radius: float, camera: Camera, shape: Shape, dice: Dice) -> Layer:
    """Put the digit's ink, 0 to 1, into a frame (h, w)."""
    left, top, wide, tall = _box(line, radius)
    height, width = shape
    framing = max(camera.framing, 0.9) if camera.tight else camera.framing
    down = across = min(framing * height / tall, width / wide)
    if camera.fit:
        down, across = height / tall, width / wide
    x = dice.rng.beta(2.5, 2.5) * (width - wide * across) - left * across
    y = dice.rng.beta(2.5, 2.5) * (height - tall * down) - top * down
    matrix = np.array([[across, 0, x], [0, down, y]], np.float32)
    moved = cv2.warpAffine(line, matrix, (width, height), borderValue=float(line.max()))
    pressure = 1 + 0.15 * dice.clouds(shape, 6)
    return np.asarray(np.clip((radius * pressure - moved) * down + 0.5, 0, 1), np.float32)


def _worn(ink: Layer, pen: Pen, dice: Dice) -> Layer:
    """Take ink away where the pen failed, or the pencil met rough paper."""
    if pen.gaps:
        ink = ink * (dice.clouds((ink.shape[0], ink.shape[1]), 16) < 2.1 - 1.2 * pen.gaps)
    if pen.grain:
        noise = dice.rng.random(ink.shape, np.float32)
        rough = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), np.float32) - 0.5
        ink = ink * np.clip(1 - pen.grain * (0.5 + 4 * rough), 0, 1)
    return np.asarray(ink, np.float32)


def _photograph(scene: Layer, camera: Camera, dice: Dice) -> Plane:
    """Blur, sample, add noise, compress."""
    if camera.blur:
        scene = np.asarray(
            cv2.GaussianBlur(scene, (0, 0), 0.3 + camera.blur * max(scene.shape)), np.float32
        )
    pixels = _sample(scene, camera)
    if camera.noise:
        pixels = pixels + np.float32(camera.noise) * dice.rng.standard_normal(
            pixels.shape, np.float32
        )
    picture = np.rint(pixels).clip(0, 255).astype(np.uint8)
    if camera.bilevel or camera.grey:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    if camera.bilevel:
        picture = _bilevel(picture)
    if camera.jpeg:
        _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)
    return picture


def _sample(scene: Layer, camera: Camera) -> Layer:
    size = (camera.width, camera.height)
    method = cv2.INTER_AREA if max(size) < max(scene.shape) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(scene, size, interpolation=method), np.float32)


def _bilevel(picture: Plane) -> Plane:
    """Cut in two as drawing programs do, that paint every pixel the pen touches."""
    low, high = float(picture.min()), float(picture.max())
    middle = (low + high) / 2
    shift = 0.15 * (high - low) * (1 if float(np.median(picture)) > middle else -1)
    return np.where(picture > middle + shift, 255, 0).astype(np.uint8)
