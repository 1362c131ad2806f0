"""What is in a mask of ink besides the digit: specks, rulings, strokes from outside."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from digitline.pixels.planes import Plane, distance, pad
from digitline.pixels.strokes import stroke_width

# Labels of a mask of one piece: that piece's, and that of no ink.
_ONE: Final = 2
_MOST_PIECES: Final = 48
_EDGE: Final = 0.015
_FEW: Final = 2
_CROWD: Final = 15
_WINDING: Final = 1.25
_LONG: Final = 0.15
_NARROW: Final = 0.05
_LEVEL: Final = 0.7
_ALIKE: Final = 0.6
_WHOLE: Final = 0.35


@dataclass(frozen=True)
class Findings:
    """The digit's mask, its box (left, top, width, height), what went, and any doubt."""

    mask: Plane
    box: tuple[int, int, int, int]
    removed: tuple[str, ...] = ()
    doubt: str = ""
    pieces: int = 0


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces of ink, the largest first; edges and areas in units of the longer side."""

    left: NDArray[np.float64]
    top: NDArray[np.float64]
    right: NDArray[np.float64]
    bottom: NDArray[np.float64]
    area: NDArray[np.float64]
    frame: tuple[float, float]

    @property
    def width(self) -> NDArray[np.float64]:
        return self.right - self.left

    @property
    def height(self) -> NDArray[np.float64]:
        return self.bottom - self.top


def keep_one_digit(mask: Plane, traces: Plane, *, crowded: bool) -> Findings:
    """Keep the pieces of a (h, w) mask of 0 and 255, not empty, that make one digit.

    Pieces that faint `traces` (h, w) of ink join are one. A picture that may be `crowded` can
    show what belongs to others, coming in from its edges.
    """
    count, labels = _connect(mask, traces)
    if count == _ONE:  # and nothing to tell it from
        return Findings(mask, _box(mask), pieces=1)
    stats = _measure_labels(labels, count, mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    inked = np.count_nonzero(areas)
    order = np.argsort(-areas, kind="stable")[: min(inked, _MOST_PIECES)] + 1
    pieces = _measure(stats[order], mask.shape)
    coarse = _coarse(pieces, mask)
    boxes = _boxes(pieces, coarse)
    main = int(np.where(coarse & ~boxes, pieces.area * _centrality(pieces), 0).argmax())
    foreign = _foreign(pieces, main) & crowded
    cluster = _cluster(pieces, main, coarse & ~foreign & ~boxes)
    kept = np.zeros(len(stats), np.bool_)
    kept[order[cluster]] = True
    digit = np.where(kept[labels], mask, 0).astype(np.uint8)
    removed = ("box",) * bool(boxes.any())
    removed += ("edge strokes",) * bool(foreign.any())
    removed += ("specks",) * bool((~cluster & ~foreign & ~boxes).any())
    doubt = _doubt(pieces, cluster, coarse, mask)
    return Findings(digit, _box(digit), removed, doubt, int(inked))


def _box(mask: Plane) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, width, height


def _connect(mask: Plane, traces: Plane) -> tuple[int, NDArray[np.int32]]:
    """Label the pieces of a mask, (h, w), over gaps of two pixels and along traces.

    Gives how many labels there are, that of no ink among them, and the label of each pixel.
    """
    bridged = cv2.bitwise_or(cv2.dilate(mask, np.ones((3, 3), np.uint8)), traces)
    count, labels = cv2.connectedComponents(bridged, connectivity=8)
    return count, np.asarray(labels, np.int32)


def _measure_labels(labels: NDArray[np.int32], count: int, mask: Plane) -> NDArray[np.float64]:
    """Give left, top, width, height and area of each label's own ink, 0 where it has none."""
    down, across = np.nonzero(mask)
    owners = labels[down, across]
    order = np.argsort(owners, kind="stable")
    inked, starts, areas = np.unique(owners[order], return_index=True, return_counts=True)
    table = np.zeros((count, 5))
    for column, places in ((0, across[order]), (1, down[order])):
        first = np.minimum.reduceat(places, starts)
        table[inked, column] = first
        table[inked, column + 2] = np.maximum.reduceat(places, starts) - first + 1
    table[inked, 4] = areas
    return table


def _measure(stats: NDArray[np.float64], shape: tuple[int, ...]) -> _Pieces:
    longer = max(shape)
    left, top, wide, tall, area = stats.T / longer
    frame = (shape[0] / longer, shape[1] / longer)
    return _Pieces(left, top, left + wide, top + tall, area / longer, frame)


def _coarse(pieces: _Pieces, mask: Plane) -> NDArray[np.bool_]:
    """Say which pieces are as large as a blot of the pen that wrote them, not mere specks."""
    depth = float(distance(pad(mask, 1, 0)).max()) / max(mask.shape)
    least = max(0.35 * (2 * depth) ** 2, 0.004 * pieces.area[0], 1e-4)
    least = min(least, 0.05 * pieces.area[0])
    longest = np.maximum(pieces.width, pieces.height)
    return np.asarray((pieces.area >= least) | (longest > _LONG))


def _boxes(pieces: _Pieces, coarse: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which pieces are boxes drawn around another piece of some size."""
    holds = (
        (pieces.left[:, None] < pieces.left)
        & (pieces.right[:, None] > pieces.right)
        & (pieces.top[:, None] < pieces.top)
        & (pieces.bottom[:, None] > pieces.bottom)
        & (pieces.height > 0.35 * pieces.height[:, None])
        & coarse
    )
    hollow = pieces.area < 0.3 * pieces.width * pieces.height
    large = (pieces.width > 0.6 * pieces.frame[1]) & (pieces.height > 0.6 * pieces.frame[0])
    return np.asarray(holds.any(axis=1) & hollow & large)


def _foreign(pieces: _Pieces, main: int) -> NDArray[np.bool_]:
    """Say which pieces come in from an edge of the frame that the main one keeps off."""
    height, width = pieces.frame
    sides = (
        pieces.left < _EDGE,
        pieces.right > width - _EDGE,
        pieces.top < _EDGE,
        pieces.bottom > height - _EDGE,
    )
    foreign = np.zeros(len(pieces.area), np.bool_)
    for touching in sides:
        if not touching[main]:
            foreign |= touching
    # A bar above or below is the digit's own, cut by a tight frame.
    shared = np.minimum(pieces.right, pieces.right[main]) - np.maximum(
        pieces.left, pieces.left[main]
    )
    own = shared > 0.4 * np.minimum(pieces.width, pieces.width[main])
    close = _gaps(pieces)[main] < 0.16 * pieces.height[main]
    tight = pieces.height[main] > 0.5 * height
    return np.asarray(foreign & ~(own & close & tight))


def _centrality(pieces: _Pieces) -> NDArray[np.float64]:
    height, width = pieces.frame
    across = (pieces.left + pieces.right) / (2 * width) - 0.5
    down = (pieces.top + pieces.bottom) / (2 * height) - 0.5
    return np.asarray(np.exp(-(across**2 + down**2) / (2 * 0.25**2)))


def _cluster(pieces: _Pieces, main: int, eligible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow a digit from its main piece: what lies close to what is in already."""
    gaps = _gaps(pieces)
    inside = np.zeros(len(pieces.area), np.bool_)
    inside[main] = True
    while True:
        height = pieces.bottom[inside].max() - pieces.top[inside].min()
        width = pieces.right[inside].max() - pieces.left[inside].min()
        near = gaps[inside].min(axis=0) < max(0.22 * max(height, width), 0.07)
        joins = eligible & near & ~inside & ~_beside(pieces, inside)
        if not joins.any():
            return inside
        inside |= joins


def _gaps(pieces: _Pieces) -> NDArray[np.float64]:
    across = np.maximum(pieces.left[:, None] - pieces.right, pieces.left - pieces.right[:, None])
    down = np.maximum(pieces.top[:, None] - pieces.bottom, pieces.top - pieces.bottom[:, None])
    return np.asarray(np.hypot(np.maximum(across, 0), np.maximum(down, 0)))


def _beside(pieces: _Pieces, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which pieces stand beside the digit, as a neighbour does, and are no part of it.

    Such a piece is as tall and as high up, and clear of it; or it would pull a digit that
    stands in the middle of the frame out of it.
    """
    left, right = pieces.left[inside].min(), pieces.right[inside].max()
    top, bottom = pieces.top[inside].min(), pieces.bottom[inside].max()
    alike = _level(pieces, top, bottom) > _LEVEL
    clear = np.maximum(left - pieces.right, pieces.left - right) > 0.04 * (bottom - top)
    middle = pieces.frame[1] / 2
    centred = abs((left + right) / 2 - middle) < 0.04 * pieces.frame[1]
    pulled = (np.minimum(pieces.left, left) + np.maximum(pieces.right, right)) / 2 - middle
    pulls = np.abs(pulled) > 0.07 * pieces.frame[1]
    sizeable = pieces.height > 0.2 * (bottom - top)
    aside = (pieces.right < left + 0.2 * (right - left)) | (
        pieces.left > right - 0.2 * (right - left)
    )
    return np.asarray((alike & clear) | (sizeable & aside & centred & pulls))


def _doubt(pieces: _Pieces, kept: NDArray[np.bool_], coarse: NDArray[np.bool_], mask: Plane) -> str:
    """Name what else than one digit the pieces may be."""
    margin = pieces.frame[1] - _EDGE
    inner = coarse & (pieces.left > _EDGE) & (pieces.right < margin)
    if int(inner.sum()) > _FEW and _is_page(pieces, inner, mask):
        return "page"
    top, bottom = pieces.top[kept].min(), pieces.bottom[kept].max()
    left, right = pieces.left[kept].min(), pieces.right[kept].max()
    apart = np.minimum(pieces.right, right) - np.maximum(pieces.left, left) < 0
    tall = pieces.height > 0.5 * (bottom - top)
    line = (pieces.width < _NARROW) & (pieces.height > 0.5 * pieces.frame[0])
    # What comes in from the sides is mostly a part of a neighbour; this may be all of it.
    alike = _level(pieces, top, bottom) > _ALIKE
    whole = pieces.width > _WHOLE * (bottom - top)
    rivals = (inner & tall & (~line | alike)) | (coarse & alike & whole)
    return "several" if (rivals & apart & ~kept).any() else ""


def _level(pieces: _Pieces, top: float, bottom: float) -> NDArray[np.float64]:
    """Tell how far pieces stand on one line with what lies between `top` and `bottom`, up to 1."""
    shared = np.minimum(pieces.bottom, bottom) - np.maximum(pieces.top, top)
    return np.asarray(shared / (np.maximum(pieces.bottom, bottom) - np.minimum(pieces.top, top)))


def _is_page(pieces: _Pieces, inner: NDArray[np.bool_], mask: Plane) -> bool:
    """Say whether three pieces or more are written like digits of their own, or there is a crowd.

    A glyph's stroke runs to and fro: it is longer than the piece is across. A dash's is not.
    """
    stroke = stroke_width(mask) / max(mask.shape)
    across = np.hypot(pieces.width, pieces.height)
    glyphs = inner & (pieces.area > _WINDING * stroke * across)
    glyphs &= pieces.height > 0.3 * pieces.height.max()
    return bool(int(glyphs.sum()) > _FEW or int(inner.sum()) > _CROWD)
