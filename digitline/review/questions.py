"""Which answers of a scoring people should look at, and in which order."""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.rows import digests
from digitline.scoring.answers import ACCEPT

Kind = Literal["queue", "audit"]
COLUMNS = ("id", "digit", "confidence", "margin", *(f"p{digit}" for digit in range(10)), "status")
_DOUBT = np.dtype([("row", "<i8"), ("kind", "u1"), ("confidence", "<f4"), ("margin", "<f4")])
_DRAWN = np.dtype([("rank", "<u8"), ("row", "<i8"), ("done", "?")])


@dataclass(frozen=True)
class Question:
    """One answer to look at: its row among the predictions, and what it is looked at for."""

    row: int
    kind: Kind


class Questions:
    """Take predictions batch by batch, in order; say which of them to look at.

    What is left to people comes most telling first. Among it, evenly, stand `audit` accepted
    answers drawn at random by image and run, so that people look at both alike. Images whose id
    is `known` are left out of the former. Not of the draw, which would leave out the hard ones:
    there only what is `done`, for this very run, is not asked again.
    """

    def __init__(
        self,
        run: str,
        threshold: float,
        audit: int,
        known: AbstractSet[bytes] = frozenset(),
        done: AbstractSet[bytes] = frozenset(),
    ) -> None:
        """Draw for that run, whose answers are accepted from `threshold` on."""
        self._key = np.uint64(int.from_bytes(hashlib.sha256(run.encode()).digest()[:8]))
        self._threshold = threshold
        self._audit = audit
        self._known = known
        self._done = done
        self._doubts = [np.empty(0, _DOUBT)]
        self._drawn = np.empty(0, _DRAWN)
        self._seen = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the columns `COLUMNS` of some predictions."""
        accepted = pc.equal(batch.column("status"), ACCEPT).to_numpy(zero_copy_only=False)
        fresh = ~_among(batch, self._known)
        self._doubts.append(self._doubt(batch, np.flatnonzero(~accepted & fresh)))
        self._draw(batch, np.flatnonzero(accepted))
        self._seen += batch.num_rows

    @property
    def waiting(self) -> int:
        """How many answers were left to people."""
        return sum(map(len, self._doubts))

    @property
    def drawn(self) -> frozenset[int]:
        """The rows of the accepted answers drawn at random."""
        return frozenset(self._drawn["row"].tolist())

    def ask(self, most: int | None = None) -> list[Question]:
        """Give the first `most` of what is left to people, and all that were drawn among them."""
        doubts = np.concatenate(self._doubts)
        order = most_telling(doubts, self._threshold)[:most]
        queue = [Question(row, "queue") for row in doubts["row"][order].tolist()]
        open_rows = self._drawn["row"][~self._drawn["done"]]
        drawn = [Question(row, "audit") for row in open_rows.tolist()]
        return _mixed(queue, drawn)

    def _doubt(self, batch: pa.RecordBatch, rows: NDArray[np.intp]) -> NDArray[np.void]:
        doubts = np.empty(len(rows), _DOUBT)
        doubts["row"] = self._seen + rows
        doubts["confidence"] = batch.column("confidence").to_numpy()[rows]
        doubts["margin"] = batch.column("margin").to_numpy()[rows]
        chances = [batch.column(f"p{digit}").to_numpy()[rows] for digit in range(10)]
        last = np.argsort(np.stack(chances, axis=1), axis=1)[:, -2:] if len(rows) else None
        doubts["kind"] = 0 if last is None else last[:, 1] * 10 + last[:, 0]
        # Sure of the digit, but not that it is one: a kind of doubt of its own.
        doubts["kind"][doubts["confidence"] >= np.float32(self._threshold)] += 100
        return doubts

    def _draw(self, batch: pa.RecordBatch, rows: NDArray[np.intp]) -> None:
        """Keep the images whose digests lie nearest to the run's own, each image once.

        A SHA-256 is an even draw, and so is it after an exclusive or with a key: a sample that
        anybody can draw again, another one in every run.
        """
        leading = np.ascontiguousarray(digests(batch)[rows, :8]).view(">u8").reshape(-1)
        drawn = np.empty(len(rows), _DRAWN)
        drawn["rank"] = leading.astype(np.uint64) ^ self._key
        drawn["row"] = self._seen + rows
        drawn["done"] = _among(batch, self._done)[rows]
        both = np.concatenate([self._drawn, drawn])
        _, first = np.unique(both["rank"], return_index=True)
        self._drawn = both[first[: self._audit]]


def _among(batch: pa.RecordBatch, ids: AbstractSet[bytes]) -> NDArray[np.bool_]:
    if not ids:
        return np.zeros(batch.num_rows, np.bool_)
    return np.array([each in ids for each in batch.column("id").to_pylist()], np.bool_)


def most_telling(doubts: NDArray[np.void], threshold: float) -> NDArray[np.intp]:
    """Order doubtful answers so that the first few tell most, whatever their number.

    Uncertain: the smallest margin between the two likeliest digits first (margin sampling:
    Scheffer, Decomain & Wrobel 2001), in turn with the answers nearest to the threshold, which
    say whether it could be lower. Unlike: one of each kind (the two digits in doubt) after the
    other, rare kinds first, so that no common confusion crowds out the others (the round robin
    over clusters of Citovsky et al. 2021, "Batch active learning at scale").
    """
    kinds = doubts["kind"].astype(np.intp)
    by_margin = _rank_within(kinds, doubts["margin"])
    by_threshold = _rank_within(kinds, np.abs(doubts["confidence"] - np.float32(threshold)))
    rank = _rank_within(kinds, np.minimum(2 * by_margin, 2 * by_threshold + 1))
    common = np.bincount(kinds, minlength=1)[kinds]
    return np.lexsort((doubts["row"], kinds, common, rank))


def _rank_within(groups: NDArray[np.intp], values: NDArray[np.generic]) -> NDArray[np.intp]:
    """Rank `values` within their groups, the smallest first, (n,)."""
    order = np.lexsort((values, groups))
    ends = np.cumsum(np.bincount(groups, minlength=1))
    starts = np.concatenate([[0], ends[:-1]])
    ranks = np.empty(len(groups), np.intp)
    ranks[order] = np.arange(len(groups)) - starts[groups[order]]
    return ranks


def _mixed(queue: list[Question], drawn: list[Question]) -> list[Question]:
    """Spread what was drawn evenly over the queue: whoever stops early has seen its share."""
    if not drawn:
        return queue
    step = len(queue) / len(drawn)
    cuts = [round(place * step) for place in range(len(drawn) + 1)]
    pieces = [
        [*queue[start:stop], one]
        for one, start, stop in zip(drawn, cuts[:-1], cuts[1:], strict=True)
    ]
    return list(chain.from_iterable(pieces))
