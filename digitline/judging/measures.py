"""What is measured of every image so that a change is noticed, and the bins it is counted in."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Group = Literal["pictures", "writing"]
Kind = Literal["mix", "rate", "spread"]

DIGITS: Final = 10


@dataclass(frozen=True)
class Measure:
    """One thing measured: of the picture as it came, or of the writing in it.

    A `mix` has a bin for each of its `names`, a `rate` two, a `spread` one more than `edges`, the
    values between which its bins lie. `title` and `unit` are for people.
    """

    name: str
    group: Group
    kind: Kind
    title: str
    names: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    unit: str = ""

    @property
    def bins(self) -> int:
        """How many bins it is counted in."""
        return len(self.names) or len(self.edges) + 1

    def place(self, values: NDArray[np.generic]) -> NDArray[np.intp]:
        """Give the bin of each of n values, -1 where one is NaN."""
        if self.names:
            return np.asarray(values, np.intp)
        bins = np.searchsorted(np.asarray(self.edges), values, side="right")
        return np.asarray(np.where(np.isnan(values), -1, bins))

    @property
    def middles(self) -> NDArray[np.float64]:
        """The middle of each bin of a spread; an end bin is taken as wide as its neighbour."""
        edges = np.asarray(self.edges)
        ends = 2 * edges[0] - edges[1], 2 * edges[-1] - edges[-2]
        walls = np.concatenate([[ends[0]], edges, [ends[1]]])
        return np.asarray((walls[1:] + walls[:-1]) / 2)


def _steps(start: float, stop: float, count: int) -> tuple[float, ...]:
    return tuple(np.round(np.linspace(start, stop, count), 4).tolist())


_SURE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999)
# What is learned from when nothing else is known; a card's reference brings edges of its own.
_ODD = tuple(float(edge) for edge in range(-20, 11, 2))

_SOFT = tuple(np.round(np.geomspace(0.01, 0.5, 29), 4).tolist())


def _mix(name: str, group: Group, title: str, names: tuple[str, ...], unit: str = "") -> Measure:
    return Measure(name, group, "mix", title, names=names, unit=unit)


def _spread(name: str, group: Group, title: str, edges: tuple[float, ...], unit: str) -> Measure:
    return Measure(name, group, "spread", title, edges=edges, unit=unit)


PICTURES: Final = (
    _mix("polarity", "pictures", "Dark or light ink", ("dark ink", "light ink")),
    _spread("contrast", "pictures", "Contrast of ink and paper", _steps(8, 248, 31), "of 255"),
    _spread("framing", "pictures", "Size in the frame", _steps(0.05, 0.95, 19), "of the frame"),
    _spread("stroke", "pictures", "Width of the strokes", _steps(0.01, 0.4, 40), "of the height"),
    _spread("focus", "pictures", "Softness of the edges", _SOFT, "of the height"),
)
WRITING: Final = (
    _mix("digits", "writing", "Digits read", tuple(map(str, range(DIGITS))), "are a "),
    _spread("ink", "writing", "Ink in the digit", _steps(0.01, 0.4, 40), "of its square"),
    _spread("confidence", "writing", "Confidence", _SURE, ""),
    Measure("review", "writing", "rate", "Left to a person", ("accepted", "to review")),
    _spread("oddness", "writing", "Unlike a digit", _ODD, "very odd"),
)
MEASURES: Final = {measure.name: measure for measure in (*PICTURES, *WRITING)}
