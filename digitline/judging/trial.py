"""What challenger and champion made of the same test rows, on disk between two stages."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.rows import read_batches, write_rows

_DIGITS = 10
_CHANCES = pa.list_(pa.float32(), _DIGITS)
_SCHEMA = pa.schema(
    [
        pa.field("label", pa.int8(), nullable=False),
        pa.field("challenger", _CHANCES, nullable=False),
        pa.field("champion", _CHANCES),
        pa.field("odd", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Trial:
    """Answers on n test rows, in their order.

    `truth` (n,) int8, `challenger` (n, 10) float32 probabilities, `champion` the same or `None`
    where there is no champion that can be compared. `odd` (n,) tells which rows the challenger
    takes for no digit, and leaves to people.
    """

    truth: NDArray[np.int8]
    challenger: NDArray[np.float32]
    champion: NDArray[np.float32] | None
    odd: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Say which rows the challenger reads rightly, (n,)."""
        return np.asarray(self.challenger.argmax(axis=1) == self.truth)

    @property
    def champion_right(self) -> NDArray[np.bool_] | None:
        """Say which rows the champion reads rightly, (n,)."""
        if self.champion is None:
            return None
        return np.asarray(self.champion.argmax(axis=1) == self.truth)


def write_trial(path: Path, trial: Trial) -> None:
    """Write a trial to Parquet, atomically."""
    champion = trial.champion
    columns = [
        pa.array(trial.truth, pa.int8()),
        _to_lists(trial.challenger),
        pa.nulls(len(trial.truth), _CHANCES) if champion is None else _to_lists(champion),
        pa.array(trial.odd),
    ]
    write_rows(path, _SCHEMA, iter([pa.record_batch(columns, schema=_SCHEMA)]))


def read_trial(path: Path) -> Trial:
    """Read a trial back."""
    batches = list(read_batches(path))
    return Trial(
        truth=np.concatenate([batch.column("label").to_numpy() for batch in batches]),
        challenger=np.concatenate(list(_from_lists(batches, "challenger"))),
        champion=None
        if batches[0].column("champion").null_count
        else np.concatenate(list(_from_lists(batches, "champion"))),
        odd=np.concatenate(
            [batch.column("odd").to_numpy(zero_copy_only=False) for batch in batches]
        ),
    )


def _to_lists(chances: NDArray[np.float32]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(chances, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, _DIGITS)


def _from_lists(batches: list[pa.RecordBatch], name: str) -> Iterator[NDArray[np.float32]]:
    for batch in batches:
        yield batch.column(name).flatten().to_numpy().reshape(-1, _DIGITS)
