"""What a digit stands on and among: paper, light, rulings, specks, neighbours."""

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from digitline.pixels.dice import Dice
from digitline.pixels.hands import LINE_SIDE, draw_line
from digitline.pixels.looks import Colour, Scene

Layer: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, int]

_RULED_IN: Final[Colour] = (20.0, 20.0, 25.0)
_NEIGHBOUR_PEN: Final = 3.0


def lay_out(ink: Layer, scene: Scene, dice: Dice) -> Layer:
    """Compose paper, rulings, neighbours, specks and ink (h, w) into (h, w, 3) of 0 to 255."""
    shape = (ink.shape[0], ink.shape[1])
    cover = np.maximum(ink, _specks(shape, scene.specks, dice))
    for _ in range(scene.neighbours):
        cover = np.maximum(cover, _neighbour(ink, dice))
    light_on_dark = sum(scene.ink) > sum(scene.paper)
    ruled = dice.between(0.3, 1.0) * _rule(shape, scene, dice)
    page = np.full((*shape, 3), scene.paper, np.float32)
    if scene.texture:
        grains = dice.clouds(shape, 40) + dice.rng.standard_normal(shape, np.float32)
        page += np.float32(0.7 * scene.texture) * grains[..., None]
    page = _stain(page, ruled, scene.ink if light_on_dark else _RULED_IN)
    page = _stain(page, cover, scene.ink)
    return np.asarray(page * _light(shape, scene, dice)[..., None], np.float32)


def _stain(page: Layer, cover: Layer, colour: Colour) -> Layer:
    return np.asarray(page + cover[..., None] * (np.array(colour, np.float32) - page), np.float32)


def _light(shape: Shape, scene: Scene, dice: Dice) -> Layer:
    """Draw the light on the paper, 0 to 1: a slope, a bulge, perhaps the edge of a shadow."""
    slope, bulge = _slope(shape, dice), _bulge(shape)
    light = 1 - scene.shade * (0.35 + 0.35 * slope + dice.between(-0.1, 0.1) * bulge)
    if scene.shadow:
        far = _slope(shape, dice) - dice.between(-0.4, 0.4)
        light = light * (1 - scene.shadow * expit(far * dice.between(8, 60)))
    return np.asarray(np.clip(light, 0.15, 1.1), np.float32)


def _slope(shape: Shape, dice: Dice) -> Layer:
    down, across = _axes(shape)
    turn = dice.between(0, 2 * np.pi)
    return np.asarray(np.cos(turn) * across + np.sin(turn) * down, np.float32)


def _bulge(shape: Shape) -> Layer:
    down, across = _axes(shape)
    return np.asarray(across**2 + down**2, np.float32)


def _axes(shape: Shape) -> tuple[Layer, Layer]:
    """Make axes from -1 to 1 down and across a frame, to be broadcast."""
    down = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    return down, np.linspace(-1, 1, shape[1], dtype=np.float32)[None]


def _neighbour(ink: Layer, dice: Dice) -> Layer:
    """Let the edge of another digit come in from the left or the right, clear of this one."""
    height, width = ink.shape
    columns = np.flatnonzero(ink.max(axis=0))
    if columns.size == 0:
        return ink
    from_left = dice.happens(0.5)
    room = columns[0] if from_left else width - 1 - columns[-1]
    enters = dice.between(0.1, 0.8) * room
    path = draw_line(dice.whole(0, 9), dice)
    inked = np.flatnonzero((path < _NEIGHBOUR_PEN).any(axis=0))
    size = dice.between(0.8, 1.4) * height / LINE_SIDE
    x = enters - inked[-1] * size if from_left else width - enters - inked[0] * size
    y = dice.between(-0.1, 0.1) * height + (height - LINE_SIDE * size) / 2
    matrix = np.array([[size, 0, x], [0, size, y]], np.float32)
    moved = cv2.warpAffine(path, matrix, (width, height), borderValue=99.0)
    return np.asarray(np.clip((_NEIGHBOUR_PEN - np.asarray(moved)) * size, 0, 1), np.float32)


def _specks(shape: Shape, count: int, dice: Dice) -> Layer:
    specks = np.zeros(shape, np.float32)
    for _ in range(count):
        centre = (dice.whole(0, shape[1] - 1), dice.whole(0, shape[0] - 1))
        cv2.circle(specks, centre, dice.whole(1, 3), dice.between(0.3, 1), -1)
    return specks


def _rule(shape: Shape, scene: Scene, dice: Dice) -> Layer:
    """Draw the lines of a form, of ruled paper, of a plot or of a window, 0 to 1."""
    height, width = shape
    lines = np.zeros(shape, np.float32)
    if scene.ruling == "bar":
        lines[-round(0.05 * height) - 1 :, round(0.2 * width) : round(0.5 * width)] = 0.5
        return lines
    thick = dice.whole(1, max(1, round(0.025 * height)))
    tilt = 0.0 if scene.ruling == "axis" else dice.about(0, 0.012)
    levels, uprights = _rulings(scene, dice)
    for y in levels:
        ends = (0, round(y * height)), (width, round(y * height + tilt * width))
        cv2.line(lines, *ends, 1.0, thick, cv2.LINE_AA)
    for x in uprights:
        ends = (round(x * width), 0), (round(x * width - tilt * height), height)
        cv2.line(lines, *ends, 1.0, thick, cv2.LINE_AA)
    return lines * np.float32(dice.between(0.2, 0.5)) if scene.ruling == "grid" else lines


def _rulings(scene: Scene, dice: Dice) -> tuple[list[float], list[float]]:
    """Draw where level and upright lines stand, in shares of the frame."""
    top, bottom = dice.between(0, 0.08), 1 - dice.between(0, 0.08)
    left, right = dice.between(0, 0.08), 1 - dice.between(0, 0.08)
    gap = dice.between(0.2, 0.5)
    grid = list(np.arange(dice.between(0, gap), 1, gap))
    places: dict[str, tuple[list[float], list[float]]] = {
        "box": ([top, bottom], [left, right]),
        "corner": ([dice.one_of((top, bottom))], [dice.one_of((left, right))]),
        "line": ([dice.between(0.5, 1.0)], []),
        "table": ([], [dice.one_of((left, right))]),
        "grid": (grid, grid),
        "axis": ([0.0, 1.0], [0.0, 1.0]),
    }
    return places.get(scene.ruling, ([], []))
