"""Read a field: a picture of a short row of digits, each through the one normaliser.

What is not plainly a digit is cut where it could be several, every piece and every union of
neighbours is read, and the way through them that makes the likeliest legal string is the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from digitline.models.bundle import Model
from digitline.pixels.fields import Row, find_rows
from digitline.pixels.normalise import normalise
from digitline.rows import PIXELS, SIDE
from digitline.scoring.answers import ACCEPT, REVIEW
from digitline.scoring.lattice import Edge, Lattice, Rule, Spelling

_PARTS: Final = 9  # a digit is in no more pieces than that
_SURE: Final = 0.98
_UNLIKELY: Final = 0.2
# In heights of the line: digits are rarely wider, or lower; the slacks say how rarely.
_BROAD: Final = 1.1
_WIDEST: Final = 1.5
_LOW: Final = 0.65
_SLACK: Final = 0.15
_FITTING: Final = 0.5
_NARROW: Final = 0.3
_CLOSE: Final = 0.1
# How often digits touch their neighbours, and fall into pieces, as far as anybody knows.
_TORN: Final = 0.1
_GAPPED: Final = 0.1


@dataclass(frozen=True)
class Field:
    """What a field was read as; `reason` says why a person should look, where one should.

    `confidence` is the share of `text` in all the strings that the field could legally hold;
    `seen` (n, 28, 28) uint8 is what the network saw of each digit, `sure` (n,) how sure it is.
    """

    text: str
    confidence: float
    status: str
    reason: str
    seen: NDArray[np.uint8]
    sure: tuple[float, ...]


@dataclass(frozen=True)
class _Piece:
    """What a part of a row was read as, were it a digit.

    `likely` says how much it looks like one, 0 to 1, `doubt` why it should not be trusted,
    `torn` whether it was cut from the next.
    """

    start: int
    stop: int
    seen: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    likely: float
    doubt: str
    torn: bool

    @property
    def edge(self) -> Edge:
        return Edge(self.start, self.stop, self.probabilities * self.likely)


@dataclass(frozen=True)
class _Reading:
    """The likeliest string of a row, and the pieces it is written on."""

    spelling: Spelling
    pieces: tuple[_Piece, ...]

    @property
    def text(self) -> str:
        """What is written."""
        return self.spelling.text

    @property
    def sure(self) -> tuple[float, ...]:
        """How sure the network is of each digit."""
        pairs = zip(self.pieces, self.text, strict=True)
        return tuple(float(piece.probabilities[int(digit)]) for piece, digit in pairs)

    @property
    def likely(self) -> float:
        """How likely its digits are, on average."""
        pairs = zip(self.pieces, self.sure, strict=True)
        weights = [piece.likely * sure for piece, sure in pairs]
        return float(np.exp(np.mean(np.log(weights))))


def read_field(
    picture: NDArray[np.uint8], model: Model, threshold: float, legal: Sequence[Rule] = ()
) -> Field:
    """Read a (h, w) or (h, w, 3) picture of a row of digits, of which `legal` says what fits.

    It is accepted where each digit would be, alone, from `threshold` on, and so is the whole, and
    no other way to see the picture says otherwise. Digits that had to be cut from one another are
    accepted only under a rule that would tell most mistakes.
    """
    rows = find_rows(picture)
    readings = [reading for row in rows if (reading := _read_row(row, model, legal)) is not None]
    if not readings:
        reason = "no legal string fits" if rows else "no digits found"
        return Field("", 0.0, REVIEW, reason, np.zeros((0, SIDE, SIDE), np.uint8), ())
    best = max(readings, key=lambda reading: reading.likely)
    reason = _doubt(best, threshold, told=any(rule.telling for rule in legal))
    rivals = (other for other in readings if other.likely > best.likely / 2)
    other = next((other for other in rivals if other.text != best.text), None)
    if not reason and other is not None:
        reason = f"could be {other.text}"
    return Field(
        text=best.text,
        confidence=best.spelling.confidence,
        status=REVIEW if reason else ACCEPT,
        reason=reason,
        seen=np.stack([piece.seen for piece in best.pieces]),
        sure=best.sure,
    )


def _doubt(reading: _Reading, threshold: float, *, told: bool) -> str:
    """Say why a reading is not accepted; nothing where it is."""
    for number, (piece, sure) in enumerate(zip(reading.pieces, reading.sure, strict=True), 1):
        if piece.doubt:
            return f"digit {number}: {piece.doubt}"
        if piece.torn and not told:
            return f"digit {number}: touches the next"
        if np.float32(sure) < np.float32(threshold):
            return f"digit {number}: less sure than {threshold:.2%}"
    if reading.spelling.confidence < threshold:
        return f"less sure of the whole than {threshold:.2%}"
    return ""


def _read_row(row: Row, model: Model, rules: Sequence[Rule]) -> _Reading | None:
    whole = _look(row, [(number, number + 1) for number in range(row.count)], model)
    unsure = {piece.start for piece in whole if not _is_sure(row, piece)}
    whole += _look(row, _close_pairs(row), model)
    if unsure:
        row, whole = _look_closer(row, whole, unsure, model)
    spelling = Lattice(row.count, [piece.edge for piece in whole]).spell(rules)
    if spelling is None:
        return None
    places = {(piece.start, piece.stop): piece for piece in whole}
    pieces = tuple(places[edge.start, edge.stop] for edge in spelling.edges)
    return _Reading(spelling, pieces)


def _look_closer(
    row: Row, whole: Sequence[_Piece], unsure: set[int], model: Model
) -> tuple[Row, list[_Piece]]:
    """Cut what is unsure, and read all unions of its parts and of neighbours; the sure stays."""
    wide = {place for place in unsure if row.box(place, place + 1)[2] > _NARROW * row.height}
    parts, origins = row.cut_up(wide)
    borders = [*map(origins.index, range(row.count)), parts.count]
    kept = [
        replace(piece, start=borders[piece.start], stop=borders[piece.stop])
        for piece in whole
        if unsure.isdisjoint(range(piece.start, piece.stop))
    ]
    spans = [
        (start, stop)
        for start in range(parts.count)
        for stop in range(start + 1, min(start + _PARTS, parts.count) + 1)
        if unsure.issuperset(origins[start:stop])
        and parts.box(start, stop)[2] <= _WIDEST * parts.height
    ]
    return parts, kept + _look(parts, spans, model)


def _close_pairs(row: Row) -> list[tuple[int, int]]:
    """List the neighbours so close that they could be a digit that fell into two pieces."""
    boxes = [row.box(number, number + 1) for number in range(row.count)]
    return [
        (number, number + 2)
        for number, ((left, _, wide, _), (onward, _, breadth, _)) in enumerate(pairwise(boxes))
        if onward - left - wide < _CLOSE * row.height
        and onward + breadth - left < _BROAD * row.height
    ]


def _look(row: Row, spans: Sequence[tuple[int, int]], model: Model) -> list[_Piece]:
    """Read parts of a row as if each were a digit."""
    if not spans:
        return []
    normalised = normalise([row.picture(start, stop) for start, stop in spans])
    reading = model.read(normalised.digits.reshape(-1, PIXELS))
    guarded = model.card.oddness_limit is not None
    alike = 1 / (1 + np.exp(reading.oddness.astype(np.float64))) if guarded else np.ones(len(spans))
    pieces = []
    for place, (start, stop) in enumerate(spans):
        shape = _shape(row, start, stop)
        doubt = normalised.diagnoses[place].doubt or ("odd" if reading.odd[place] else "")
        likely = float(alike[place]) * shape * (_UNLIKELY if doubt else 1.0)
        piece = _Piece(
            start,
            stop,
            seen=normalised.digits[place],
            probabilities=reading.probabilities[place].astype(np.float64),
            likely=likely * _borders(row, start, stop),
            doubt=doubt or ("of another size" if shape < _FITTING else ""),
            torn=stop < row.count and row.cut[stop - 1],
        )
        pieces.append(piece)
    return pieces


def _shape(row: Row, start: int, stop: int) -> float:
    """Say how well a digit is shaped like the others of its line, 0 to 1."""
    _, _, wide, tall = row.box(start, stop)
    too_wide = max(0.0, wide / row.height - _BROAD) / _SLACK
    too_low = max(0.0, _LOW - tall / row.height) / _SLACK
    return float(np.exp(-(too_wide**2) - too_low**2))


def _borders(row: Row, start: int, stop: int) -> float:
    """Say how usual it is that a digit ends in ink, 0 to 1, and that it has gaps."""
    torn = stop < row.count and row.cut[stop - 1]
    gaps = sum(not cut for cut in row.cut[start : stop - 1])
    return float((_TORN if torn else 1.0) * _GAPPED**gaps)


def _is_sure(row: Row, piece: _Piece) -> bool:
    sure = float(piece.probabilities.max()) >= _SURE
    return sure and not piece.doubt and _shape(row, piece.start, piece.stop) == 1.0
