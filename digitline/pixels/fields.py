"""A row of digits in one picture, cut into pieces that are a digit each, or a part of one.

Pieces of ink that hang together are one piece; one that is too wide for a digit is cut where its
strokes are thinnest, along a path of least ink from top to bottom (over-segmentation: Casey &
Lecolinet 1996). Which of the cuts are right is for whoever reads the pieces to say.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, grey, pad, resize
from digitline.pixels.views import View, view_evenly

_HEIGHT: Final = 96
_LONGEST: Final = 40  # times the height: a row of so many digits is none
_MOST_PIECES: Final = 24
# All in heights of the line.
_SPECK: Final = 0.22
_SHORT: Final = 0.45
_FLAT: Final = 0.2
_APART: Final = 0.1
_DRIFT: Final = 0.14
_STEEP: Final = 0.35
_CUTS: Final = 6
_LINE: Final = 0.07
_TALLER: Final = 1.25
_LONGER: Final = 2.5
_FAINT: Final = 0.15
_STRAY: Final = 4
_PLUMB: Final = 3.0  # pixels
_MARGIN: Final = 0.25
_TURN: Final = 0.1


@dataclass(frozen=True)
class Row:
    """Pieces of ink in a row, the first at the left; all (h, w) at a working size.

    `ink` is how dark each pixel is, white on black; `pieces` numbers the piece a pixel belongs
    to from 1 on, 0 is paper. `height` is the height of the line. `cut` says of each border
    between two pieces whether it is a cut through ink.
    """

    ink: Plane
    pieces: NDArray[np.int32]
    height: float
    cut: tuple[bool, ...]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(self.cut) + 1

    def picture(self, start: int, stop: int) -> Plane:
        """Show the pieces `start` to `stop` alone, white on black, with a margin."""
        left, top, wide, tall = self.box(start, stop)
        inside = (self.pieces > start) & (self.pieces <= stop)
        part = np.where(inside, self.ink, 0)[top : top + tall, left : left + wide]
        return pad(part.astype(np.uint8), max(2, round(_MARGIN * max(wide, tall))), 0)

    def box(self, start: int, stop: int) -> tuple[int, int, int, int]:
        """Give the box around the pieces `start` to `stop`: left, top, width, height."""
        inside = (self.pieces > start) & (self.pieces <= stop)
        left, top, wide, tall = cv2.boundingRect(inside.astype(np.uint8))
        return left, top, wide, tall

    def cut_up(self, chosen: AbstractSet[int]) -> tuple["Row", list[int]]:
        """Cut the `chosen` pieces where they may be several digits; say whence each part came."""
        pieces = np.zeros_like(self.pieces)
        cut: list[bool] = []
        origins: list[int] = []
        for number in range(self.count):
            mask = self.pieces == number + 1
            parts = list(_cut(mask, self.height)) if number in chosen else [mask]
            if number:
                cut.append(self.cut[number - 1])
            cut += [True] * (len(parts) - 1)
            for part in parts:
                pieces[part] = len(origins) + 1
                origins.append(number)
        return replace(self, pieces=pieces, cut=tuple(cut)), origins


def find_rows(image: NDArray[np.uint8]) -> list[Row]:
    """Find the row of digits in a (h, w) or (h, w, 3) picture, in each of the ways to see it.

    Dark or light ink, and with or without the lines that cross it; none for a blank picture.
    """
    sheet = grey(image)
    height, width = sheet.shape
    if width > _LONGEST * height:
        return []
    scale = _HEIGHT / height
    work = resize(sheet, width * scale, height * scale)
    rows = (_find_row(view, work) for view in view_evenly(work, rulings=True))
    return [row for row in rows if row is not None]


def _find_row(view: View, work: Plane) -> Row | None:
    mask, ink = view.inked, _ink(view, work)
    if view.erased and view.rulings is not None:
        mask = np.where(view.rulings.ink > 0, 0, mask).astype(np.uint8)
    bridged, labels, boxes = _find_pieces(mask)
    if not len(boxes):
        return None
    height = _line_height(boxes)
    lines = _find_lines(_cut_faint(ink, view), height)
    if lines.any():
        bridged, labels, boxes = _find_pieces(np.where(lines > 0, 0, mask).astype(np.uint8))
    if not len(boxes):
        return None
    kept = _is_writing(boxes, height, work.shape[0])
    groups = _group(boxes, kept, height)
    if not groups or len(groups) > _MOST_PIECES:
        return None
    numbers = np.zeros(len(boxes) + 1, np.int32)
    for number, group in enumerate(groups):
        numbers[[1 + member for member in group]] = number + 1
    pieces = np.where(bridged > 0, numbers[labels], 0).astype(np.int32)
    return Row(ink, pieces, height, (False,) * (len(groups) - 1))


def _find_pieces(mask: Plane) -> tuple[Plane, NDArray[np.int32], NDArray[np.float64]]:
    """Find what hangs together, small gaps bridged: the mask, its pieces by number, their boxes."""
    bridged = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    _, found, stats, _ = cv2.connectedComponentsWithStats(bridged, connectivity=8)
    return bridged.astype(np.uint8), np.asarray(found), np.asarray(stats)[1:].astype(np.float64)


def _cut_faint(ink: Plane, view: View) -> Plane:
    """Cut where faint lines still show, and paper does not."""
    least = 255 * max(_FAINT, _STRAY * view.noise / max(1.0, view.level))
    return np.where(ink > least, 255, 0).astype(np.uint8)


def _find_lines(faint: Plane, height: float) -> Plane:
    """Find the lines of boxes: straight, thin, longer than any stroke of a digit.

    What crosses a line is none of it.
    """
    upright = _find_upright(faint, round(_TALLER * height), height)
    turned = np.ascontiguousarray(faint.T)
    level = _find_upright(turned, round(_LONGER * height), height).T
    return np.maximum(upright, level)


def _find_upright(mask: Plane, long: int, height: float) -> Plane:
    whole = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 3), np.uint8))
    straight = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((long, 1), np.uint8))
    _, found, stats, _ = cv2.connectedComponentsWithStats(np.asarray(straight), connectivity=8)
    _, _, _, tall, area = np.asarray(stats).T
    thick = area / np.maximum(1, tall)
    thin = thick <= _LINE * height + 1
    thin[0] = False
    if not thin.any():
        return np.zeros_like(mask)
    lines = cv2.dilate(thin[np.asarray(found)].astype(np.uint8) * 255, np.ones((1, 3), np.uint8))
    reach = 2 * round(float(thick[thin].max())) + 5
    crossing = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, reach), np.uint8))
    return np.where(np.asarray(crossing) > 0, 0, np.asarray(lines)).astype(np.uint8)


def _ink(view: View, work: Plane) -> Plane:
    """Bring ink to white and paper to black."""
    relief = view.paper - work if view.polarity == "dark" else work - view.paper
    shown: Plane = (relief * (255 / max(1.0, view.level))).clip(0, 255).astype(np.uint8)
    return shown


def _line_height(boxes: NDArray[np.float64]) -> float:
    """Measure how tall the digits are: most of the ink stands in digits."""
    tall = boxes[:, cv2.CC_STAT_HEIGHT]
    order = np.argsort(tall)
    drawn = _is_line(boxes) | _is_frame(boxes)
    ink = np.cumsum(np.where(drawn, 0, boxes[:, cv2.CC_STAT_AREA])[order])
    return float(tall[order][np.searchsorted(ink, 0.6 * ink[-1])])


def _is_line(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which pieces are as thin as a printed line between two digits."""
    return np.asarray(boxes[:, cv2.CC_STAT_WIDTH] < _LINE * boxes[:, cv2.CC_STAT_HEIGHT])


def _is_broken_line(boxes: NDArray[np.float64], height: float) -> NDArray[np.bool_]:
    """Say which pieces are upright lines, or parts of one: thin, above one another, too tall."""
    left, top, wide, tall, _ = boxes.T
    middle, thin = left + wide / 2, wide <= _LINE * height + 1
    found = np.zeros(len(boxes), np.bool_)
    for place in np.flatnonzero(thin).tolist():
        line = thin & (np.abs(middle - middle[place]) < _PLUMB)
        span = (top + tall)[line].max() - top[line].min()
        found[place] = span > _TALLER * height and tall[line].sum() > span / 2
    return found


def _is_frame(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which pieces are drawn around another: hollow, and it lies well inside."""
    left, top, wide, tall, area = boxes.T
    inside = (
        (left[:, None] < left)
        & ((left + wide)[:, None] > left + wide)
        & (top[:, None] < top)
        & ((top + tall)[:, None] > top + tall)
        & (tall > 0.4 * tall[:, None])
    )
    return np.asarray(inside.any(axis=1) & (area < 0.35 * wide * tall))


def _is_writing(boxes: NDArray[np.float64], height: float, frame: int) -> NDArray[np.bool_]:
    """Say which pieces are no specks, dots, dashes, or strokes from the lines above or below."""
    top, wide, tall = (
        boxes[:, cv2.CC_STAT_TOP],
        boxes[:, cv2.CC_STAT_WIDTH],
        boxes[:, cv2.CC_STAT_HEIGHT],
    )
    speck = np.maximum(wide, tall) < _SPECK * height
    dash = (tall < _FLAT * height) & (wide > height)
    outside = ((top <= 1) | (top + tall >= frame - 1)) & (tall < _SHORT * height)
    line = _is_line(boxes) & (tall > _TALLER * height)
    drawn = line | _is_broken_line(boxes, height) | _is_frame(boxes)
    return np.asarray(~(speck | dash | outside | drawn))


def _group(boxes: NDArray[np.float64], kept: NDArray[np.bool_], height: float) -> list[list[int]]:
    """Put together what stands above one another, left to right: a 5 and its bar."""
    left = boxes[:, cv2.CC_STAT_LEFT]
    right = left + boxes[:, cv2.CC_STAT_WIDTH]
    tall = boxes[:, cv2.CC_STAT_HEIGHT]
    groups: list[list[int]] = []
    for place in sorted(
        np.flatnonzero(kept).tolist(), key=lambda place: left[place] + right[place]
    ):
        last = groups[-1] if groups else []
        reach = max((right[member] for member in last), default=0.0)
        begin = min((left[member] for member in last), default=0.0)
        shared = min(right[place], reach) - max(left[place], begin)
        narrower = min(right[place] - left[place], reach - begin)
        both_tall = (
            tall[place] > 0.6 * height and max((tall[m] for m in last), default=0) > 0.6 * height
        )
        if last and shared > (0.8 if both_tall else 0.4) * narrower:
            last.append(place)
        else:
            groups.append([place])
    return groups


def _cut(mask: NDArray[np.bool_], height: float) -> Iterator[NDArray[np.bool_]]:
    """Cut a piece of ink into parts, left to right, along paths from its top to its bottom."""
    left, top, wide, tall = cv2.boundingRect(mask.astype(np.uint8))
    inner = mask[top : top + tall, left : left + wide]
    rest = inner.copy()
    columns = np.arange(wide)
    for path in _paths(inner, height):
        part = rest & (columns < path[:, None])
        if np.count_nonzero(part) and np.count_nonzero(rest & ~part):
            yield _place(part, mask.shape, left, top)
            rest &= ~part
    yield _place(rest, mask.shape, left, top)


def _place(
    part: NDArray[np.bool_], shape: tuple[int, ...], left: int, top: int
) -> NDArray[np.bool_]:
    whole = np.zeros(shape, np.bool_)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def _paths(inner: NDArray[np.bool_], height: float) -> list[NDArray[np.intp]]:
    """Find where to cut (h, w) ink: for each row of pixels the first column right of the cut."""
    apart = max(2, round(_APART * height))
    columns = np.arange(apart, inner.shape[1] - apart, max(1, apart // 3))
    if not len(columns):
        return []
    paths, costs = _least_ink(inner, columns, max(1, round(_DRIFT * height)))
    middles = paths.mean(axis=1)
    most = max(1, round(_CUTS * inner.shape[1] / height) - 1)
    chosen: list[int] = []
    for place in np.argsort(costs, kind="stable").tolist():
        if costs[place] > _STEEP * height or len(chosen) == most:
            break
        if all(abs(middles[place] - middles[other]) >= apart for other in chosen):
            chosen.append(place)
    return [paths[place] for place in sorted(chosen, key=lambda place: float(middles[place]))]


def _least_ink(
    inner: NDArray[np.bool_], columns: NDArray[np.intp], drift: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find, near each of n columns, the path from top to bottom that crosses the least ink.

    Gives the paths, (n, h), and how many pixels of ink each crosses, about, (n,).
    """
    tall = len(inner)
    ways = np.arange(-drift, drift + 1)
    walled = np.pad(inner.astype(np.float64), ((0, 0), (drift, drift)), constant_values=tall)
    # (h, n, ways); a little for leaving the column, so that paths through no ink run straight.
    sums = walled[:, columns[:, None] + ways + drift] + 0.02 * np.abs(ways) / drift
    for row in range(1, tall):
        sums[row] += _cheapest(sums[row - 1])
    paths = np.empty((len(columns), tall), np.intp)
    each = np.arange(len(columns))
    paths[:, -1] = sums[-1].argmin(axis=1)
    steps = np.arange(-1, 2)
    for row in range(tall - 2, -1, -1):
        near = (paths[:, row + 1, None] + steps).clip(0, len(ways) - 1)
        turns = sums[row, each[:, None], near] + _TURN * np.abs(steps)
        paths[:, row] = near[each, turns.argmin(axis=1)]
    return paths + columns[:, None] - drift, np.asarray(sums[-1].min(axis=1))


def _cheapest(above: NDArray[np.float64]) -> NDArray[np.float64]:
    """Come from above, or from either side of it."""
    best = above.copy()
    best[:, 1:] = np.minimum(best[:, 1:], above[:, :-1] + _TURN)
    best[:, :-1] = np.minimum(best[:, :-1], above[:, 1:] + _TURN)
    return best
