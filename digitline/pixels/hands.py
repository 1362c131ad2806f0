"""Centre lines of written digits: traced from MNIST, or drawn the way other schools teach.

A *line* is a (160, 160) float32 plane that holds each pixel's distance to the nearest point of
the pen's path; a pen of any width is a threshold on it.
"""

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.dice import Dice
from digitline.pixels.planes import Plane, distance, resize

Line: TypeAlias = NDArray[np.float32]
Path: TypeAlias = NDArray[np.float64]

LINE_SIDE: Final = 160
_MARGIN: Final = 2
_FINE_ZOOM: Final = 5
_COARSE_ZOOM: Final = 3
_INK: Final = 100


def trace(digit: Plane) -> Line:
    """Trace the centre line of a (28, 28) digit."""
    coarse = distance(~_thin(_enlarge(digit, _COARSE_ZOOM)))
    fine = cv2.resize(coarse, (LINE_SIDE, LINE_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine * (_FINE_ZOOM / _COARSE_ZOOM), np.float32)


def outline(digit: Plane) -> Line:
    """Measure from a (28, 28) digit's outline: below zero inside, so that its pen stays its own."""
    shape = _enlarge(digit, _FINE_ZOOM)
    return np.asarray(distance(~shape) - distance(shape), np.float32)


def _enlarge(digit: Plane, zoom: int) -> Plane:
    large = resize(digit, digit.shape[1] * zoom, digit.shape[0] * zoom)
    soft = cv2.GaussianBlur(large, (0, 0), 0.4 * zoom)
    shape = np.where(np.asarray(soft) > _INK, 255, 0).astype(np.uint8)
    return np.asarray(np.pad(shape, _MARGIN * zoom), np.uint8)


def _thin(shape: Plane) -> Plane:
    """Thin a mask to lines one pixel wide (Zhang and Suen, 1984)."""
    ink = shape > 0
    while True:
        before = int(ink.sum())
        for second in (False, True):
            ink = ink & ~_removable(ink, second=second)
        if int(ink.sum()) == before:
            return np.where(ink, 255, 0).astype(np.uint8)


def _removable(ink: NDArray[np.bool_], *, second: bool) -> NDArray[np.bool_]:
    p = np.pad(ink, 1)
    north, south, east, west = p[:-2, 1:-1], p[2:, 1:-1], p[1:-1, 2:], p[1:-1, :-2]
    ring = [north, p[:-2, 2:], east, p[2:, 2:], south, p[2:, :-2], west, p[:-2, :-2]]
    pairs = zip(ring, [*ring[1:], north], strict=True)
    turns = np.add.reduce([~one & other for one, other in pairs], dtype=np.uint8)
    neighbours = np.add.reduce(ring, dtype=np.uint8)
    needed = north & west & (east | south) if second else east & south & (north | west)
    # From two to six neighbours: neither an end of a line nor the inside of a shape.
    return np.asarray(np.isin(neighbours, range(2, 7)) & (turns == 1) & ~needed)


# Ways to write each digit, many of which MNIST hardly knows: strokes separated by `|`, each a
# list of points x,y from 0 to 1 (y downwards), joined smoothly; a point given twice is a corner.
_SCHOOLS: Final = (
    (
        ".5,0 .15,.2 .02,.5 .15,.8 .5,1 .85,.8 .98,.5 .85,.2 .5,0",
        ".6,.02 .2,.15 .02,.5 .2,.88 .5,1 .85,.8 .98,.45 .8,.12 .45,0 .3,.1",
        ".5,0 .15,.2 .02,.5 .15,.8 .5,1 .85,.8 .98,.5 .85,.2 .5,0 | .85,.05 .15,.95",
        ".05,0 .05,0 .05,1 .05,1 .95,1 .95,1 .95,0 .95,0 .05,0",
        ".35,.05 .1,.3 .05,.7 .4,1 .85,.8 .95,.35 .65,.02 .3,.08 .4,.25 .75,.12",
        ".75,.1 .4,0 .08,.3 .1,.8 .5,1 .9,.7 .85,.25 .55,.05",
    ),
    (
        "0,.45 .6,0 .6,0 .6,1",
        "0,.8 .5,0 .5,0 .6,1",
        "0,.6 .55,0 .55,0 .45,1",
        ".15,.3 .6,0 .6,0 .55,1",
        ".1,.4 .6,0 .6,0 .6,1 | .2,1 .95,1",
        ".2,.25 .55,0 .55,0 .5,1 | .1,.97 .9,1",
        ".5,0 .5,1",
        "0,.42 .3,.35 .65,0 .65,0 .55,1",
        "0,.95 .5,0 .5,0 .75,1",
        "0,.65 .75,0 .75,0 .45,1",
        "0,.75 .6,0 .6,0 .55,1 | .2,1 1,.98",
        "0,.3 .45,.22 .6,0 .6,0 .6,1",
        "0,1 .1,.95 .7,0 .7,0 .75,1",
    ),
    (
        ".05,.25 .2,.05 .5,0 .85,.12 .88,.35 .6,.65 .05,1 .05,1 .95,1",
        ".05,.2 .35,0 .8,.1 .8,.4 .45,.8 .15,.98 .05,.85 .25,.78 .6,.92 .98,.95",
        ".05,.05 .9,0 .9,0 .05,1 .05,1 .95,.97",
        ".1,.15 .5,0 .9,.15 .75,.5 .1,1 .1,1 .5,.9 .95,1",
        ".15,.25 .45,0 .8,.2 .6,.6 .3,.95 .1,.85 .3,.72 .6,.95 .9,.9 .95,.75",
        ".1,.3 .15,.08 .45,0 .8,.12 .75,.4 .4,.72 .0,1 .0,1 .5,.93 1,1",
        ".3,.3 .1,.18 .35,0 .8,.05 .85,.35 .5,.7 .1,.95 .05,.85 .2,.8 .5,.97 1,.95",
        ".4,.1 .95,0 .95,0 .3,.8 .0,1 .0,1 .8,.98",
    ),
    (
        ".05,.1 .45,0 .85,.12 .8,.35 .4,.47 .4,.47 .9,.58 .92,.85 .5,1 .05,.9",
        ".05,.02 .9,.02 .9,.02 .45,.4 .45,.4 .9,.5 .95,.78 .6,1 .05,.92",
        ".1,0 .8,.05 .8,.05 .35,.42 .35,.42 .85,.55 .8,.9 .4,1 0,.85",
        ".1,.15 .5,0 .85,.2 .5,.45 .9,.65 .75,.95 .35,1 0,.85",
        ".2,.1 .5,0 .6,.2 .35,.4 .35,.4 .8,.45 .9,.75 .55,1 .15,.85",
        ".05,.2 .35,0 .8,.12 .7,.38 .4,.48 .3,.42 .45,.4 .9,.62 .8,.92 .4,1 .05,.9 .1,.75",
        ".0,.05 .9,.0 .9,.0 .4,.35 .4,.35 .8,.42 .85,.7 .55,.95 .0,1",
        ".2,.0 .75,.08 .55,.35 .2,.5 .6,.48 .8,.7 .5,.95 .1,1",
    ),
    (
        ".65,1 .65,0 .65,0 0,.65 0,.65 1,.65",
        ".2,0 .1,.5 .1,.5 .9,.5 | .8,.05 .75,1",
        ".45,0 .02,.6 .02,.6 .95,.6 | .65,.3 .6,1",
        ".3,0 0,.55 0,.55 .9,.5 | .85,0 .6,1",
        ".6,0 .05,.6 .05,.6 .95,.55 | .7,.35 .45,1",
        ".1,0 .1,.4 .35,.5 .85,.45 | .9,0 .9,1",
        ".55,0 .3,.35 0,.62 0,.62 .5,.6 1,.63 | .75,.4 .7,1",
        ".6,0 .05,.6 .05,.6 .9,.5 .9,.5 .7,1",
        ".5,0 .05,.5 .05,.7 .6,.68 .95,.4 .95,.4 .8,1",
        ".6,0 .1,.5 .05,.85 .5,.95 1,.9 | .9,.5 .85,1",
        ".7,0 .0,.55 .0,.55 .95,.35 .95,.35 .55,1",
        ".15,.0 .1,.3 .3,.5 .75,.4 .95,.05 .95,.05 .85,.5 .75,1",
        ".3,.05 .05,.35 .2,.55 .6,.45 .85,.15 | .85,.0 .65,1",
        ".65,0 .0,.7 .0,.7 .85,.68 | .65,0 .65,1",
    ),
    (
        ".85,0 .2,0 .2,0 .12,.42 .12,.42 .5,.35 .9,.55 .85,.85 .45,1 .05,.9",
        ".2,0 .12,.45 .12,.45 .55,.38 .9,.6 .8,.9 .4,1 .02,.9 | .2,.02 .95,0",
        ".9,.03 .35,.02 .1,.2 .3,.42 .75,.55 .85,.8 .5,1 .05,.95",
        ".9,0 .1,0 .1,0 .1,.45 .1,.45 .9,.45 .9,.45 .9,1 .9,1 .05,1",
        ".35,0 .25,.4 .25,.4 .6,.45 .75,.7 .5,.95 0,1 | .35,.02 1,.0",
        "1,.0 .4,.05 .4,.05 .25,.4 .25,.4 .65,.5 .6,.85 .3,1 .0,.9",
        ".95,.08 .5,.0 .15,.15 .25,.4 .6,.55 .75,.75 .5,1 .15,.97 .2,.8",
        ".15,.05 .1,.5 .1,.5 .6,.4 .95,.65 .7,.95 .1,1 | .1,.05 1,.0",
    ),
    (
        ".75,0 .3,.2 .05,.6 .2,.95 .55,1 .9,.8 .75,.55 .4,.55 .1,.75",
        ".6,0 .2,.35 .05,.75 .35,1 .8,.92 .8,.62 .45,.55 .15,.75",
        ".9,.15 .6,0 .2,.2 .03,.6 .2,.95 .6,1 .92,.78 .7,.55 .3,.6 .1,.75",
        ".9,0 .1,0 .1,0 .1,1 .1,1 .9,1 .9,1 .9,.5 .9,.5 .1,.5",
        "1,.1 .7,0 .25,.25 .05,.65 .3,1 .65,.9 .6,.6 .3,.6",
        ".15,.0 .1,.5 .15,.92 .55,1 .9,.8 .65,.55 .3,.6 .12,.8",
        ".95,.0 .3,.3 .0,.75 .35,1 .75,.85 .65,.65 .3,.7 .05,.85",
        ".4,.0 .2,.5 .3,.95 .7,.95 .75,.7 .5,.6 .25,.75",
        ".95,.2 .75,.02 .3,.15 .05,.55 .25,.95 .7,.98 .95,.75 .7,.6 .3,.62 .05,.6",
    ),
    (
        ".05,.02 .95,.02 .95,.02 .4,1",
        ".05,.05 .95,0 .95,0 .45,1 | .2,.5 .85,.48",
        ".05,.2 .08,.03 .08,.03 .95,.03 .95,.03 .4,1 | .2,.5 .9,.5",
        "0,.15 .2,.02 .5,.1 .95,0 .95,0 .6,.45 .45,1 | .15,.52 .95,.45",
        ".05,.05 .9,.05 .9,.05 .6,.4 .5,1",
        "0,.2 .1,0 .4,.12 .8,0 .8,0 .55,.5 .4,1 | .1,.55 1,.5",
        "0,.25 .25,.05 .25,.05 .5,.22 .95,0 .95,0 .5,.5 .35,1 | .1,.6 .85,.5",
        ".05,.05 .9,0 .9,0 .35,1 | .2,.72 .95,.72",
        "0,.05 .35,.02 .5,.2 .4,1 | .05,.6 1,.6",
        ".1,.3 .0,.1 .0,.1 .85,.0 .85,.0 .5,.6 .45,1",
        ".0,.0 .85,.0 .85,.0 .8,.4 .75,1 | .4,.55 1,.5",
        ".0,.1 .15,.2 .35,.05 .55,.1 .9,.0 .9,.0 .4,1 | .1,.62 .85,.45",
    ),
    (
        ".8,.12 .45,0 .15,.18 .4,.42 .8,.62 .85,.88 .5,1 .12,.88 .2,.62 .6,.42 .85,.2 .7,.03",
        ".5,.45 .2,.22 .5,0 .8,.22 .5,.45 | .5,.45 .05,.72 .5,1 .95,.72 .5,.45",
        ".95,.05 .5,0 .1,.2 .5,.48 .9,.75 .5,1 .1,.78 .5,.48 .9,.15",
        ".5,.5 .15,.25 .5,0 .85,.25 .5,.5 .1,.75 .5,1 .9,.75 .5,.5",
        ".9,0 .4,.6 .15,.85 .45,1 .7,.85 .5,.55 .35,.3 .55,.02 .8,.1",
        ".85,.1 .5,.0 .3,.15 .5,.35 .85,.7 .65,1 .3,.9 .35,.65 .75,.35 .95,.05",
        ".6,.0 .35,.1 .45,.3 .65,.35 .75,.15 .55,.0 | .55,.35 .1,.6 .2,.95 .7,1 .9,.7 .55,.35",
        "1,.0 .3,.1 .1,.25 .45,.45 .8,.65 .75,.95 .35,1 .15,.8 .5,.5 .9,.2 1,.05",
    ),
    (
        ".85,.25 .5,.5 .1,.3 .4,0 .85,.1 .85,.25 .85,.25 .8,1",
        ".85,.15 .5,0 .1,.2 .3,.48 .8,.35 .88,.08 .88,.08 .85,.75 .5,1 .05,.88",
        ".9,.2 .55,0 .1,.18 .2,.45 .6,.48 .9,.2 .9,.2 .9,.6 .7,.95 .3,1 0,.9",
        ".8,.1 .35,.02 .1,.3 .45,.5 .8,.3 .85,.05 .85,.05 .9,.7 .6,1 .1,1 0,.85",
        ".85,.3 .4,.45 .1,.2 .45,0 .85,.2 .7,.7 .3,1",
        ".6,.15 .3,0 .1,.25 .35,.45 .6,.2 .5,.05 .85,.3 .95,.65 .6,1 .2,.98 0,.85",
        ".8,.05 .3,.05 .05,.3 .5,.42 .9,.05 .9,.05 .75,1",
        ".3,.05 .2,.35 .7,.42 .85,.05 .85,.05 .85,.7 .5,.97 0,1",
        ".6,.06 .4,0 .25,.12 .35,.26 .6,.2 .65,.06 .65,.06 .45,1",
        ".8,.1 .4,0 .05,.15 .3,.35 .75,.25 .8,.08 .8,.08 .6,1",
        ".9,.45 .1,.45 .1,.45 .1,0 .1,0 .9,0 .9,0 .9,1",
        ".65,.05 .35,.0 .2,.13 .35,.28 .6,.22 .68,.05 .68,.05 .5,1",
        ".6,.02 .25,.08 .3,.28 .55,.26 .65,.08 .66,.03 .66,.03 .7,1",
        ".9,.1 .5,.0 .1,.2 .3,.42 .75,.3 .9,.05 .9,.05 .85,.6 .6,1 .2,.9 .3,.75",
        ".7,.1 .35,.02 .1,.2 .35,.4 .7,.25 .75,.1 .8,.4 .65,.75 .3,.85 .0,1",
        ".9,.0 .35,.1 .1,.35 .45,.45 .9,.0 .9,.0 .6,1",
        ".75,.3 .2,.38 .15,.1 .6,.0 .8,.25 .6,.65 .1,1",
    ),
)
_JITTER: Final = (0.03, 0.085)
_SUBPIXELS: Final = 16


def draw_line(digit: int, dice: Dice) -> Line:
    """Write a digit 0..9 in one of the ways people are taught, with an unsteady hand."""
    strokes = dice.one_of(_SCHOOLS[digit]).split("|")
    narrow, jitter = dice.between(0.4, 1.1), dice.between(*_JITTER)
    canvas = np.zeros((LINE_SIDE, LINE_SIDE), np.uint8)
    margin = 3 * _MARGIN * _FINE_ZOOM
    reach = LINE_SIDE - 2 * margin
    for stroke in strokes:
        points = np.array([[float(part) for part in point.split(",")] for point in stroke.split()])
        curve = _smooth(_unsteady(points, jitter, dice)) * (reach * narrow, reach) + margin
        fixed = np.rint(curve * _SUBPIXELS).astype(np.int32)[:, None]
        cv2.polylines(canvas, [fixed], isClosed=False, color=255.0, shift=4)
    return np.asarray(cv2.GaussianBlur(distance(~canvas), (0, 0), 1.0), np.float32)


def _unsteady(points: Path, jitter: float, dice: Dice) -> Path:
    """Move points a little; the two of a corner move together."""
    moves = dice.rng.normal(0.0, jitter, points.shape)
    corners = np.flatnonzero((points[1:] == points[:-1]).all(axis=1))
    moves[corners + 1] = moves[corners]
    return points + moves


def _smooth(points: Path) -> Path:
    """Join points by Catmull-Rom curves, straight into and out of corners."""
    corners = np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1
    parts = [_curve(part) for part in np.split(points, corners)]
    return np.concatenate(parts)


def _curve(points: Path) -> Path:
    ends = np.concatenate([points[:1], points, points[-1:]])
    before, start, stop, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    t = np.linspace(0, 1, 12)[None, :, None]
    a, b, c, d = (part[:, None] for part in (before, start, stop, after))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([points[:1], curve.reshape(-1, 2), points[-1:]])
