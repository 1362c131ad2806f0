"""Pictures that are no digits, as the normaliser would leave them: letters, scribbles, shapes."""

import string
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane

_SIDE: Final = 28
_BOX: Final = 20
_CANVAS: Final = 64
_INK: Final = 255
# Letters in the shape of a digit are left out: as a digit is how anyone would read them.
_LOOKALIKES: Final = "OoQDlIiJjSsZzBbgqy"
_GLYPHS: Final = "".join(sorted({*string.ascii_letters} - {*_LOOKALIKES})) + "&%#@?+=*$<>{}[]!;:~^"
# What each of four points counts at 24 places along a cubic Bezier curve.
_ALONG: Final = np.linspace(0, 1, 24)[:, None]
_BERNSTEIN: Final = (
    np.array([1, 3, 3, 1]) * _ALONG ** np.arange(4) * (1 - _ALONG) ** np.arange(3, -1, -1)
)
_FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)


def draw_junk(count: int, digits: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw `count` pictures that show no digit, (count, 784).

    `digits`, (n, 784), are there to be cut up and run into one another.
    """
    drawn = np.empty((count, _SIDE, _SIDE), np.uint8)
    for place in range(count):
        kind = _KINDS[place % len(_KINDS)]
        drawn[place] = fit_into_frame(kind(digits.reshape(-1, _SIDE, _SIDE), rng))
    return drawn.reshape(count, -1)


def fit_into_frame(ink: Plane) -> Plane:
    """Fit ink, white on black, into a 20 x 20 box with its mass in the middle of 28 x 28."""
    _, _, width, height = cv2.boundingRect(ink)
    if not width:
        return np.zeros((_SIDE, _SIDE), np.uint8)
    scale = _BOX / max(width, height)
    if scale < 1:  # or thin strokes would fall between the pixels looked at
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.4 / scale), np.uint8)
    moments = cv2.moments(ink)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    move = np.array([[scale, 0, _SIDE / 2 - scale * x], [0, scale, _SIDE / 2 - scale * y]])
    placed = np.asarray(cv2.warpAffine(ink, move, (_SIDE, _SIDE)), np.uint8)
    return _full_contrast(placed)


def _glyph(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    canvas = _blank()
    font = int(rng.choice(_FONTS))
    letter = _GLYPHS[rng.integers(len(_GLYPHS))]
    size = 2.6 if font == cv2.FONT_HERSHEY_PLAIN else 1.4
    thick = int(rng.integers(1, 8))
    cv2.putText(canvas, letter, (16, 46), font, size, _INK, thick, cv2.LINE_AA)
    return _slant(canvas, rng)


def _lines(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    canvas = _blank()
    thick = int(rng.integers(2, 7))
    for _line in range(rng.integers(2, 8)):
        begin, end = _points(2, rng).tolist()
        cv2.line(canvas, begin, end, _INK, thick, cv2.LINE_AA)
    return canvas


def _scribble(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    canvas = _blank()
    corners = np.cumsum(rng.integers(-16, 17, (int(rng.integers(6, 16)), 2)), axis=0) + 32
    cv2.polylines(
        canvas,
        [np.clip(corners, 4, 60).astype(np.int32)],
        isClosed=False,
        color=_INK,
        thickness=int(rng.integers(2, 6)),
        lineType=cv2.LINE_AA,
    )
    return canvas


def _curves(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Draw two or three strokes of a pen that bend as those of letters do: cubic Bezier curves."""
    canvas = _blank()
    thick = int(rng.integers(2, 7))
    for _stroke in range(rng.integers(2, 4)):  # one alone may be a digit
        path = np.rint(_BERNSTEIN @ _points(4, rng)).astype(np.int32)
        cv2.polylines(
            canvas, [path], isClosed=False, color=_INK, thickness=thick, lineType=cv2.LINE_AA
        )
    return canvas


def _silhouette(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Draw a thing of cloth or clay: the same on both sides, and shaded."""
    heights = np.sort(rng.integers(4, _CANVAS - 4, int(rng.integers(3, 8))))
    widths = rng.integers(3, _CANVAS // 2 - 3, len(heights))
    sides = [np.stack([_CANVAS // 2 + side * widths, heights], axis=1) for side in (1, -1)]
    canvas = _blank()
    cv2.fillPoly(canvas, [np.concatenate([sides[0], sides[1][::-1]]).astype(np.int32)], _INK)
    shade = _full_contrast(_smooth_noise(float(rng.uniform(1, 10)), rng)).astype(np.float32)
    darkest = float(rng.uniform(40, 200))
    lit = darkest + shade * ((_INK - darkest) / _INK)
    canvas = np.minimum(canvas, lit.astype(np.uint8))
    return canvas if rng.random() < 0.7 else np.ascontiguousarray(canvas.T)  # noqa: PLR2004 - a share


def _shapes(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Draw one to three rectangles, ellipses or polygons, most of them filled."""
    canvas = _blank()
    for _shape in range(rng.integers(1, 4)):
        thick = -1 if rng.random() < 0.7 else int(rng.integers(2, 7))  # noqa: PLR2004 - a share
        grey = int(rng.integers(110, 256))
        match rng.integers(3):
            case 0:
                begin, end = _points(2, rng).tolist()
                cv2.rectangle(canvas, begin, end, grey, thick)
            case 1 if thick < 0:
                cv2.fillPoly(canvas, [_points(int(rng.integers(3, 9)), rng)], grey)
            case _:
                axes = rng.integers(4, 26, 2).tolist()
                turn = float(rng.uniform(0, 180))
                # A thin ring would be a zero.
                cv2.ellipse(canvas, (32, 32), axes, turn, 0, 360, grey, -1)
    return canvas


def _texture(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Draw smooth noise, sometimes inside a shape, sometimes as blots."""
    noise = _smooth_noise(float(rng.uniform(1, 8)), rng)
    canvas = _full_contrast(noise)
    if rng.integers(2):
        canvas = np.where(canvas > rng.integers(110, 190), canvas, 0).astype(np.uint8)
    if rng.integers(2):
        canvas = np.minimum(canvas, _shapes(noise, rng))
    return canvas


def _halves(digits: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Put a half of one digit beside a half of another that stands on its head."""
    first, second = digits[rng.integers(len(digits), size=2)]
    cut = int(rng.integers(10, 19))
    mixed = first.copy()
    mixed[:, cut:] = second[::-1, cut:]
    return mixed if rng.integers(2) else np.ascontiguousarray(mixed.T)


def _outline(_: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Draw the outline of a shape, with gaps: what is left of a picture of a thing."""
    canvas = _blank()
    corners = _points(int(rng.integers(4, 11)), rng)
    middle = corners.mean(axis=0)
    around = np.argsort(np.arctan2(*(corners - middle).T))
    thick = int(rng.integers(1, 6))
    cv2.polylines(canvas, [corners[around]], isClosed=True, color=_INK, thickness=thick)
    for begin in _points(int(rng.integers(0, 4)), rng).tolist():
        cv2.circle(canvas, begin, int(rng.integers(3, 12)), 0, -1)
    return canvas


def _glued(digits: NDArray[np.uint8], rng: np.random.Generator) -> Plane:
    """Let two digits touch, or lie on one another."""
    first, second = digits[rng.integers(len(digits), size=2)]
    apart = int(rng.integers(4, 20))
    canvas = np.zeros((_SIDE, _SIDE + apart), np.uint8)
    canvas[:, :_SIDE] = first
    canvas[:, apart:] = np.maximum(canvas[:, apart:], second)
    return canvas


_KINDS: Final[tuple[Callable[[NDArray[np.uint8], np.random.Generator], Plane], ...]] = (
    *(_glyph, _glyph, _glyph, _shapes, _shapes, _texture),
    *(_texture, _outline, _lines, _scribble, _halves, _glued),
    *(_curves, _curves, _silhouette, _silhouette),
)


def _blank() -> Plane:
    return np.zeros((_CANVAS, _CANVAS), np.uint8)


def _full_contrast(plane: Plane) -> Plane:
    spread = cv2.normalize(plane, np.empty_like(plane), 0, _INK, cv2.NORM_MINMAX)
    return np.asarray(spread, np.uint8)


def _smooth_noise(sigma: float, rng: np.random.Generator) -> Plane:
    noise = rng.integers(0, 256, (_CANVAS, _CANVAS), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.uint8)


def _points(count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    return rng.integers(6, _CANVAS - 6, (count, 2), dtype=np.int32)


def _slant(canvas: Plane, rng: np.random.Generator) -> Plane:
    move = cv2.getRotationMatrix2D((_CANVAS / 2, _CANVAS / 2), float(rng.uniform(-15, 15)), 0.9)
    move[0, 1] += rng.uniform(-0.3, 0.3)
    return np.asarray(cv2.warpAffine(canvas, move, (_CANVAS, _CANVAS)), np.uint8)
