"""What a network sees of a digit: its pixels, those of it set upright, or how its strokes run.

Slant and size say little of which digit it is, and a perceptron must learn every one of them
anew; so does which way an edge runs, which a convolutional network is born to see. Members of a
committee that see different aspects go wrong over different digits: Ciresan et al., "Better
digit recognition with a committee of simple neural nets" (ICDAR 2011).
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from digitline.pixels.tiles import STRIP, fetch, with_border
from digitline.rows import PIXELS, SIDE

Aspect = Literal["plain", "upright", "strokes"]

PLAIN: Final[tuple[Aspect, ...]] = ("plain",)
# Aspects whose numbers are pixels of a picture.
OF_PIXELS: Final[tuple[Aspect, ...]] = ("plain", "upright")

# The side of the grid on which strokes are measured, and the ways they may run there.
_GRID: Final = 9
_WAYS: Final = 8
_WIDTHS: Final = MappingProxyType(
    {"plain": PIXELS, "upright": PIXELS, "strokes": _WAYS * _GRID * _GRID}
)
# How far each point of the grid sees, as a standard deviation in pixels.
_REACH: Final = 1.6
_EDGE: Final = 2.5
# The largest difference of grey that a Sobel filter can meet.
_STEEPEST_EDGE: Final = np.float32(4 * 255)
_DIAGONAL: Final = np.float32(np.sqrt(1 / 2))
# So many digits stay in the processor's cache.
_BLOCK: Final = 32

_CENTRE: Final = (SIDE - 1) / 2
# A digit's size is the standard deviation of its ink, in pixels. It is brought to this one, but
# stretched or squeezed no further than these factors.
_BREADTH, _LEAST_BROADER, _MOST_BROADER = 4.2, 0.6, 1.7
_HEIGHT, _LEAST_HIGHER, _MOST_HIGHER = 5.2, 0.7, 1.4
_MOST_SLANT: Final = 1.0
# Into which OpenCV divides a pixel.
_FRACTIONS: Final = np.float32(32)
# Nothing is thinner than this variance, in pixels squared.
_THINNEST: Final = 0.3


def width(aspects: Sequence[Aspect]) -> int:
    """Count the inputs of a network that sees these aspects."""
    return sum(_WIDTHS[aspect] for aspect in aspects)


def aspects_of(network: Any) -> tuple[Aspect, ...]:  # noqa: ANN401 - scikit-learn has no types
    """Tell what a fitted network sees."""
    aspects = getattr(network, "aspects_", PLAIN)
    if not _are_aspects(aspects):
        raise ValueError(f"a network sees {aspects!r}")
    return aspects


def to_ink(px: NDArray[np.uint8], aspects: Sequence[Aspect] = PLAIN) -> NDArray[np.float32]:
    """Give what a network that sees these aspects is fed: (n, 784) to (n, width)."""
    upright = stand(px, "upright") if set(aspects) - set(PLAIN) else px
    seen = [sense(px if aspect == "plain" else upright, aspect) for aspect in aspects]
    return seen[0] if len(seen) == 1 else np.concatenate(seen, axis=1)


def stand(px: NDArray[np.uint8], aspect: Aspect) -> NDArray[np.uint8]:
    """Stand digits as an aspect wants them, (n, 784); a blank one stays blank.

    Slant is taken out and size evened by moments, as in LeCun et al., "Gradient-based learning
    applied to document recognition" (1998), and Liu et al., "Handwritten digit recognition:
    investigation of normalization and feature extraction techniques" (2004).
    """
    if aspect == "plain":
        return px
    strips = [_upright(px[start : start + STRIP]) for start in range(0, len(px), STRIP)]
    return np.concatenate([np.empty((0, PIXELS), np.uint8), *strips])


def sense(stood: NDArray[np.uint8], aspect: Aspect) -> NDArray[np.float32]:
    """Turn digits that stand as the aspect wants them into its numbers, from 0 to 1.

    Pixels are divided by 255. Strokes are measured in eight directions on a grid of nine by
    nine places, by the gradient features of Liu et al. (2004).
    """
    if aspect != "strokes":
        return np.divide(stood, np.float32(255), dtype=np.float32)
    numbers = np.empty((len(stood), _WIDTHS["strokes"]), np.float32)
    for start in range(0, len(stood), _BLOCK):
        block = slice(start, start + _BLOCK)
        numbers[block] = _strokes(stood[block])
    return numbers


def _are_aspects(value: object) -> TypeGuard[tuple[Aspect, ...]]:
    return isinstance(value, tuple) and value != () and all(map(_is_aspect, value))


def _is_aspect(value: object) -> bool:
    return isinstance(value, str) and value in _WIDTHS


def _upright(px: NDArray[np.uint8]) -> NDArray[np.uint8]:
    x, y, xx, xy, yy = _moments(px)
    slant = np.clip(xy / yy, -_MOST_SLANT, _MOST_SLANT)
    breadth = np.sqrt(np.maximum(xx - xy**2 / yy, _THINNEST))
    across_step = 1 / np.clip(_BREADTH / breadth, _LEAST_BROADER, _MOST_BROADER)
    down_step = 1 / np.clip(_HEIGHT / np.sqrt(yy), _LEAST_HIGHER, _MOST_HIGHER)
    # Sums and products one by one: a matrix product rounds differently on another processor.
    away = np.arange(SIDE) - _CENTRE
    lower = down_step[:, np.newaxis] * away
    right = across_step[:, np.newaxis] * away
    middle = x[:, np.newaxis] + slant[:, np.newaxis] * lower
    across = middle.astype(np.float32)[:, :, np.newaxis] + right.astype(np.float32)[:, np.newaxis]
    down = (y[:, np.newaxis] + lower).astype(np.float32)
    for places in (across, down):
        _round(places)
    return fetch(with_border(px), across.reshape(-1, PIXELS), np.repeat(down, SIDE, axis=1))


def _round(places: NDArray[np.float32]) -> None:
    """Round to the fraction of a pixel that OpenCV knows: else it would, by where a tile lies."""
    np.multiply(places, _FRACTIONS, out=places)
    np.rint(places, out=places)
    np.divide(places, _FRACTIONS, out=places)


def _moments(px: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the centre of n digits, and the variances and covariance of their ink, (5, n).

    Sums of whole numbers are exact in float64, so they are the same on every machine.
    """
    y, x = (axis.reshape(PIXELS) for axis in np.mgrid[:SIDE, :SIDE])
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(np.float64)
    mass, *sums = (px.astype(np.float64) @ basis).T
    x, y, xx, xy, yy = (total / np.maximum(mass, 1) for total in sums)
    variance = np.maximum(yy - y**2, _THINNEST)
    return np.stack([x, y, xx - x**2, xy - x * y, variance])


def _strokes(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure strokes, (n, 784) to (n, 648): for each way they run, the grid line by line."""
    right, down = (slope.astype(np.float32) for slope in _slopes(digits))
    rising, falling = (right + down) * _DIAGONAL, (down - right) * _DIAGONAL
    ways = np.empty((_WAYS, len(digits), SIDE, SIDE), np.float32)
    pairs = ((right, down), (rising, falling), (down, right), (falling, rising))
    for way, (along, beside) in enumerate(pairs):
        away = np.abs(beside)
        onward, back = ways[way], ways[way + _WAYS // 2]
        np.maximum(np.subtract(along, away, out=onward), 0, out=onward)
        np.minimum(np.add(along, away, out=back), 0, out=back)
    rows = np.matmul(_POOL.T, ways)
    grids = (rows.reshape(-1, SIDE) @ _POOL).reshape(_WAYS, len(digits), _GRID * _GRID)
    steepness = np.abs(grids.swapaxes(0, 1).reshape(len(digits), -1)) / _STEEPEST_EDGE
    return np.asarray(np.sqrt(steepness), np.float32)


def _slopes(digits: NDArray[np.uint8]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Filter digits by Sobel's operators, to the right and down, (n, 28, 28)."""
    tiles = with_border(digits).astype(np.int16)
    tall = tiles[:, :-2] + 2 * tiles[:, 1:-1] + tiles[:, 2:]
    wide = tiles[:, :, :-2] + 2 * tiles[:, :, 1:-1] + tiles[:, :, 2:]
    return tall[:, :, 2:] - tall[:, :, :-2], wide[:, 2:] - wide[:, :-2]


def _pool() -> NDArray[np.float32]:
    """Give the weights by which a line of pixels is seen from the places of the grid, (28, 9)."""
    places = np.linspace(_EDGE, SIDE - 1 - _EDGE, _GRID)
    weights = np.exp(-((np.arange(SIDE)[:, np.newaxis] - places) ** 2) / (2 * _REACH**2))
    return np.asarray(weights / weights.sum(axis=0), np.float32)


_POOL: Final = _pool()
