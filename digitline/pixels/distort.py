"""Digits as other hands would have written them: fresh distortions for every epoch.

A perceptron knows nothing of neighbouring pixels: what it should not care about, it must be shown.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from digitline.pixels.tiles import STRIP, TILE, fetch, with_border, without_border
from digitline.rows import PIXELS, SIDE

# The share of the elastic fields' variance that their leading components must keep.
_KEPT = 0.999


class Distortion(BaseModel):
    """How far digits are distorted. Zero everywhere leaves them as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation: float = Field(default=0, ge=0, le=90, description="degrees, to either side")
    scale: float = Field(default=0, ge=0, lt=1, description="relative change of height and width")
    shear: float = Field(default=0, ge=0, le=1, description="slant, pixels sideways per pixel down")
    shift: float = Field(default=0, ge=0, le=14, description="pixels, in either direction")
    elastic: float = Field(
        default=0, ge=0, le=8, description="standard deviation of the elastic field, in pixels"
    )
    smoothness: float = Field(
        default=5, ge=1, le=28, description="width of the Gaussian that smooths it, in pixels"
    )
    thickness: float = Field(
        default=0, ge=0, le=1, description="how far strokes thicken or thin; 1 is a pixel all round"
    )
    contrast: float = Field(default=0, ge=0, lt=1, description="relative change of the ink's depth")
    occlusion: float = Field(
        default=0, ge=0, le=1, description="share of digits with a small patch wiped out"
    )
    ruling: float = Field(
        default=0, ge=0, le=1, description="share of digits with a remnant of a ruled line"
    )

    @property
    def warps(self) -> bool:
        """Whether any pixel moves."""
        return any((self.rotation, self.scale, self.shear, self.shift, self.elastic))


def distort(
    digits: NDArray[np.uint8], distortion: Distortion, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Distort digits, (n, 784) uint8, each in its own way; the same `rng` gives the same digits.

    Rotation, scale, shear and shift are drawn evenly up to their limits, the elastic fields as
    in Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
    visual document analysis" (ICDAR 2003); Ciresan et al., "Deep, big, simple neural nets for
    handwritten digit recognition" (2010), combine the two.
    """
    out = np.empty_like(digits)
    for start in range(0, len(digits), STRIP):
        strip = slice(start, start + STRIP)
        out[strip] = _distort_strip(digits[strip], distortion, rng)
    return out


def _distort_strip(
    digits: NDArray[np.uint8], distortion: Distortion, rng: np.random.Generator
) -> NDArray[np.uint8]:
    tiles = with_border(digits)
    if distortion.thickness:
        tiles = _change_strokes(tiles, distortion.thickness, rng)
    digits = _warp(tiles, distortion, rng) if distortion.warps else without_border(tiles)
    if distortion.contrast:
        digits = _change_contrast(digits, distortion.contrast, rng)
    if distortion.occlusion:
        _wipe_patches(digits, distortion.occlusion, rng)
    if distortion.ruling:
        _draw_rulings(digits, distortion.ruling, rng)
    return digits


def _warp(
    tiles: NDArray[np.uint8], distortion: Distortion, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Fetch every pixel of the new digits from where it lay, (n, 30, 30) to (n, 784)."""
    count = len(tiles)
    affine = _draw_affine(count, distortion, rng)
    fields = _fields(distortion.smoothness)
    bends = rng.standard_normal((count, 2, len(fields)), np.float32)
    bends *= np.float32(distortion.elastic)
    # A displacement is a sum of fixed fields: three for the affine map, the others elastic.
    weights = np.concatenate([affine, bends], axis=2)
    basis = np.concatenate([_plane(), fields])
    # Digit by digit, each product is too small for BLAS to wake threads the fitting is using.
    across, down = (weights @ basis).swapaxes(0, 1)
    return fetch(tiles, across, down)


def _draw_affine(
    count: int, distortion: Distortion, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw inverse affine maps, (n, 2, 3): the rows of x and y over (x, y, 1)."""
    angle, slant, wide, high, right, low = rng.uniform(-1, 1, (6, count))
    angle *= np.deg2rad(distortion.rotation)
    slant *= distortion.shear
    wide, high = ((1 + distortion.scale) ** size for size in (wide, high))
    cos, sin = np.cos(angle), np.sin(angle)
    centre = (SIDE - 1) / 2
    across = [cos * wide, (slant * cos - sin) * high, centre + right * distortion.shift]
    down = [sin * wide, (slant * sin + cos) * high, centre + low * distortion.shift]
    return np.array([across, down], np.float32).transpose(2, 0, 1)


@lru_cache(maxsize=1)
def _plane() -> NDArray[np.float32]:
    """Give the fields x, y and 1 around the digit's centre, (3, 784)."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.stack([x, y, np.ones_like(x)]).reshape(3, PIXELS).astype(np.float32)


@lru_cache(maxsize=8)
def _fields(smoothness: float) -> NDArray[np.float32]:
    """Give the leading components of white noise smoothed by a Gaussian, (k, 784).

    Smoothed noise is a Gaussian process with covariance exp(-d^2 / 4s^2) along each axis: its few
    leading components, weighted by independent normal numbers, sum to such a field of variance 1.
    """
    steps = np.arange(SIDE)
    covariance = np.exp(-(((steps[:, np.newaxis] - steps) / (2 * smoothness)) ** 2))
    variance, modes = np.linalg.eigh(covariance)
    axis = modes * np.sqrt(np.maximum(variance, 0))
    fields = np.einsum("yi,xj->ijyx", axis, axis).reshape(SIDE * SIDE, PIXELS)
    power = (fields**2).sum(axis=1)
    order = np.argsort(-power, kind="stable")
    kept = int(np.searchsorted(np.cumsum(power[order]), _KEPT * power.sum())) + 1
    chosen: NDArray[np.float64] = fields[order[:kept]]
    return chosen.astype(np.float32)


def _change_strokes(
    tiles: NDArray[np.uint8], thickness: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Blend each digit with its dilation (thicker) or its erosion (thinner)."""
    amount = rng.uniform(-thickness, thickness, (len(tiles), 1, 1))
    other = np.where(amount > 0, _spread(tiles, np.maximum), _spread(tiles, np.minimum))
    share = np.rint(256 * np.abs(amount)).astype(np.uint16)
    blend: NDArray[np.uint16] = (tiles * (256 - share) + other * share) >> 8
    return blend.astype(np.uint8)


def _spread(tiles: NDArray[np.uint8], choose: np.ufunc) -> NDArray[np.uint8]:
    """Choose among each pixel and its four neighbours; the border keeps tiles apart."""
    pixels = tiles.reshape(-1)
    spread = pixels.copy()
    for step in (1, TILE):
        choose(spread[step:], pixels[:-step], out=spread[step:])
        choose(spread[:-step], pixels[step:], out=spread[:-step])
    return spread.reshape(tiles.shape)


def _change_contrast(
    digits: NDArray[np.uint8], contrast: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Deepen or fade the ink; what would be deeper than full stays full."""
    gain = (1 + contrast) ** rng.uniform(-1, 1, (len(digits), 1)).astype(np.float32)
    return np.minimum(digits * gain, 255).astype(np.uint8)


def _wipe_patches(digits: NDArray[np.uint8], share: float, rng: np.random.Generator) -> None:
    """Wipe out a rectangle of 2 to 6 pixels a side, as dirt and folds do.

    Compare Zhong et al., "Random erasing data augmentation" (AAAI 2020).
    """
    chosen = np.flatnonzero(rng.random(len(digits)) < share)
    height, width = rng.integers(2, 7, (2, len(chosen)))
    top, left = rng.integers(4, SIDE - 8, (2, len(chosen)))
    rows = _between(top, top + height)[:, :, np.newaxis]
    columns = _between(left, left + width)[:, np.newaxis, :]
    wiped = (rows & columns).reshape(-1, PIXELS)
    digits[chosen] = np.where(wiped, 0, digits[chosen])


def _draw_rulings(digits: NDArray[np.uint8], share: float, rng: np.random.Generator) -> None:
    """Leave a piece of a straight line at the rim, as a form's box does."""
    chosen = np.flatnonzero(rng.random(len(digits)) < share)
    count = len(chosen)
    depth = rng.integers(60, 200, (count, 1, 1))
    near = rng.integers(0, 5, count)
    place = np.where(rng.random(count) < 1 / 2, near, SIDE - 1 - near)
    begin = rng.integers(0, SIDE - 6, count)
    along = _between(begin, begin + rng.integers(6, SIDE, count))[:, np.newaxis, :]
    lines = along & _between(place, place + 1)[:, :, np.newaxis]
    upright = rng.random(count) < 1 / 2
    lines[upright] = lines[upright].transpose(0, 2, 1)
    ink = (lines * depth).astype(np.uint8).reshape(count, PIXELS)
    digits[chosen] = np.maximum(digits[chosen], ink)


def _between(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the places from `begin` to before `end`, (n, 28)."""
    place = np.arange(SIDE)
    return (place >= begin[:, np.newaxis]) & (place < end[:, np.newaxis])
