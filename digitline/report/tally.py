"""Count predictions as they stream by, and draw the images a score report shows."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from digitline.judging.drift import Drift
from digitline.judging.expected import expect
from digitline.report.data import (
    MOST_NAMES,
    Bar,
    Dropped,
    Folder,
    Lineage,
    Run,
    ScoreReport,
    Tile,
    Version,
)

BARS = 50
MOST_FOLDERS = 100
MOST_ACCEPTED = 60
MOST_REVIEW = 300
_ONE_FOLDER = r"/?[^/]*$"


@dataclass(frozen=True)
class Desk:
    """What a person should look at, in order; `drawn` of the tiles were accepted."""

    tiles: tuple[Tile, ...]
    drawn: int

    @classmethod
    def of(cls, answers: pa.Table) -> Self:
        """Put rows of predictions on the desk, in their order."""
        accepted = pc.sum(pc.equal(answers.column("status"), "accept")).as_py() or 0
        return cls(tuple(map(_tile, answers.to_pylist())), accepted)


class ScoreTally:
    """Take predictions and errors batch by batch, in listing order; give a `ScoreReport`.

    Memory does not grow with the number of images, only with the number of folders and reasons.
    """

    def __init__(self) -> None:
        """Start from nothing."""
        self._bars = {status: np.zeros(BARS, np.int64) for status in ("accept", "review")}
        self._digits = {status: np.zeros(10, np.int64) for status in ("accept", "review")}
        self._folders: Counter[tuple[str, str]] = Counter()
        self._reasons: dict[str, _Reason] = {}
        self._accepted: list[tuple[int, int, Tile]] = []
        self._sure = {"accept": 0.0, "review": 0.0}
        self._seen = 0

    def add_predictions(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `rows.PREDICTIONS`."""
        confidence = batch.column("confidence").to_numpy()
        digits = batch.column("digit").to_numpy()
        accepted = pc.equal(batch.column("status"), "accept").to_numpy(zero_copy_only=False)
        bars = np.clip((confidence * BARS).astype(np.intp), 0, BARS - 1)
        for status, inside in (("accept", accepted), ("review", ~accepted)):
            self._bars[status] += np.bincount(bars[inside], minlength=BARS)
            self._digits[status] += np.bincount(digits[inside], minlength=10)
            self._sure[status] += float(confidence[inside].sum(dtype=np.float64))
            self._count_folders(batch.column("path").filter(pa.array(inside)), status)
        self._draw_accepted(batch, np.flatnonzero(accepted))
        self._seen += len(batch)

    def add_errors(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `rows.ERRORS`."""
        self._count_folders(batch.column("path"), "error")
        columns = (batch.column(name).to_pylist() for name in ("path", "reason", "message"))
        for path, reason, message in zip(*columns, strict=True):
            self._reasons.setdefault(reason, _Reason(message)).add(path)

    def report(
        self,
        *,
        run: Run,
        model: Version,
        source: str,
        threshold: float,
        desk: Desk | None = None,
        lineage: Lineage | None = None,
        drift: Drift | None = None,
    ) -> ScoreReport:
        """Put what was counted into a report.

        The caller compares its `n_in` with the length of the listing.
        """
        accept, review = (int(self._digits[status].sum()) for status in ("accept", "review"))
        error = sum(reason.count for reason in self._reasons.values())
        folders = self._listed_folders()
        return ScoreReport(
            run=run,
            model=model,
            source=source,
            n_in=accept + review + error,
            accept=accept,
            review=review,
            error=error,
            threshold=threshold,
            folders=tuple(sorted(folders[:MOST_FOLDERS], key=lambda folder: folder.name)),
            folders_left_out=max(0, len(folders) - MOST_FOLDERS),
            accepted_digits=tuple(self._digits["accept"].tolist()),
            review_digits=tuple(self._digits["review"].tolist()),
            confidence=self._confidence(),
            failures=self._failures(),
            accepted_tiles=tuple(tile for _, _, tile in sorted(self._accepted, reverse=True)),
            review_tiles=() if desk is None else desk.tiles,
            drawn=0 if desk is None else desk.drawn,
            lineage=lineage,
            drift=drift,
            expected=expect(sum(self._sure.values()), accept + review),
            expected_accepted=expect(self._sure["accept"], accept),
        )

    def _count_folders(self, paths: pa.Array, status: str) -> None:
        folders = pc.replace_substring_regex(paths, _ONE_FOLDER, "", max_replacements=1)
        for entry in pc.value_counts(folders).to_pylist():
            self._folders[entry["values"], status] += entry["counts"]

    def _listed_folders(self) -> list[Folder]:
        """All folders, the largest first."""
        counts: dict[str, dict[str, int]] = {}
        for (name, status), count in self._folders.items():
            counts.setdefault(name, {})[status] = count
        return [
            Folder(name=name, **by_status)
            for name, by_status in sorted(
                counts.items(), key=lambda item: (-sum(item[1].values()), item[0])
            )
        ]

    def _draw_accepted(self, batch: pa.RecordBatch, rows: NDArray[np.intp]) -> None:
        """Keep the images of the smallest digests: an even sample, whatever the batches."""
        keys = _leading_bytes(batch.column("id"))[rows]
        smallest = rows[np.argsort(keys, kind="stable")[:MOST_ACCEPTED]]
        for row, tile in zip(smallest.tolist(), _tiles(batch, smallest), strict=True):
            entry = (-int(tile.id[:16], 16), -(self._seen + row), tile)
            heapq.heappush(self._accepted, entry)
            if len(self._accepted) > MOST_ACCEPTED:
                heapq.heappop(self._accepted)

    def _confidence(self) -> tuple[Bar, ...]:
        return tuple(
            Bar(
                low=index / BARS,
                high=(index + 1) / BARS,
                accept=int(self._bars["accept"][index]),
                review=int(self._bars["review"][index]),
            )
            for index in range(BARS)
        )

    def _failures(self) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(reason=reason, count=seen.count, names=tuple(seen.names), message=seen.message)
            for reason, seen in sorted(
                self._reasons.items(), key=lambda item: (-item[1].count, item[0])
            )
        )


class _Reason:
    """Failures of one kind: how many, the first names, and the first message as an example."""

    def __init__(self, message: str) -> None:
        self.count = 0
        self.message = message
        self.names: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < MOST_NAMES:
            self.names.append(name)


def _leading_bytes(ids: pa.Array) -> NDArray[np.uint64]:
    """Give the first 8 bytes of each digest as a number, (n,)."""
    width = ids.type.byte_width
    flat = np.frombuffer(ids.buffers()[1], np.uint8)[ids.offset * width :]
    digests = flat[: len(ids) * width].reshape(-1, width)
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _tiles(batch: pa.RecordBatch, rows: NDArray[np.intp]) -> Sequence[Tile]:
    return [_tile(entry) for entry in batch.take(pa.array(rows)).to_pylist()]


def _tile(row: Mapping[str, Any]) -> Tile:
    probabilities = np.array([row[f"p{digit}"] for digit in range(10)], dtype=np.float64)
    digit = row["digit"]
    probabilities[digit] = -1  # the second is the best of the others
    second = int(probabilities.argmax())
    return Tile.model_validate(
        {
            "path": row["path"],
            "id": bytes(row["id"]).hex(),
            "digit": digit,
            "confidence": row["confidence"],
            "second": second,
            "second_confidence": max(0.0, float(probabilities[second])),
        }
    )
