import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.errors import SettingsError, TrainingError
from digitline.learning.stream import Part, ahead, count_labels, in_order, shuffled
from digitline.rows import ROW_GROUP

Write = Callable[[str, NDArray[np.uint8], NDArray[np.int8]], Path]


def numbered(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Digits whose first two pixels count them, (count, 784)."""
    pixels = np.zeros((count, 784), np.uint8)
    pixels[:, 0], pixels[:, 1] = np.divmod(np.arange(first, first + count), 256)
    return pixels


def numbers(pixels: NDArray[np.uint8]) -> list[int]:
    return list(pixels[:, 0].astype(int) * 256 + pixels[:, 1])


def test_an_epoch_gives_every_row_once_in_another_order_each_time(write: Write) -> None:
    count = 2 * ROW_GROUP + 100
    labels = (np.arange(count) % 10).astype(np.int8)
    first = Part(write("a", numbered(count), labels))
    second = Part(write("b", numbered(300, count), labels[:300]), weight=2.5)
    orders = []
    for seed in (1, 1, 2):
        chunks = list(
            shuffled([first, second], 1000, np.random.default_rng(seed), window=2 * ROW_GROUP)
        )
        assert {len(chunk) for chunk in chunks[:-1]} == {1000}
        place = [n for chunk in chunks for n in numbers(chunk.digits)]
        labelled = np.concatenate([chunk.labels for chunk in chunks])
        weights = np.concatenate([chunk.weights for chunk in chunks])
        assert sorted(place) == list(range(count + 300))
        assert np.array_equal(labelled, [(n if n < count else n - count) % 10 for n in place])
        assert np.array_equal(weights, [1 if n < count else 2.5 for n in place])
        orders.append(place)
    assert orders[0] == orders[1] != orders[2]


def test_rows_that_are_not_chosen_are_left_out(write: Write) -> None:
    count = ROW_GROUP + 100
    labels = (np.arange(count) % 10).astype(np.int8)
    parts = [
        Part(write("a", numbered(count), labels)),
        Part(write("b", numbered(300, count), labels[:300])),
    ]
    chosen = np.random.default_rng(3).random(count + 300) < 0.3
    chunks = shuffled(parts, 1000, np.random.default_rng(1), chosen=chosen)
    found = [n for chunk in chunks for n in numbers(chunk.digits)]
    assert sorted(found) == list(np.flatnonzero(chosen))
    assert [n for chunk in in_order(parts) for n in numbers(chunk.digits)] == list(
        range(count + 300)
    )


def test_rows_of_many_row_groups_mix(write: Write) -> None:
    path = write("a", numbered(7 * ROW_GROUP), np.zeros(7 * ROW_GROUP, np.int8))
    chunks = shuffled([Part(path)], ROW_GROUP, np.random.default_rng(0), window=2 * ROW_GROUP)
    groups = [{n // ROW_GROUP for n in numbers(chunk.digits)} for chunk in chunks]
    assert [len(found) >= 3 for found in groups] == [True] * 7
    assert max(len(found) for found in groups) >= 4


def test_every_order_is_as_likely_within_the_window(write: Write) -> None:
    path = write("a", numbered(4), np.arange(4, dtype=np.int8))
    rng = np.random.default_rng(0)
    orders = Counter(
        tuple(n for chunk in shuffled([Part(path)], 3, rng) for n in numbers(chunk.digits))
        for _ in range(720)
    )
    assert len(orders) == 24
    assert max(orders.values()) < 60  # 30 are expected


def test_an_empty_file_gives_nothing(write: Write) -> None:
    path = write("a", numbered(0), np.zeros(0, np.int8))
    assert list(shuffled([Part(path)], 10, np.random.default_rng(0))) == []


def test_labels_are_counted(write: Write) -> None:
    path = write("a", numbered(5), np.array([0, 3, 3, 9, 9], np.int8))
    assert list(count_labels(path)) == [1, 0, 0, 2, 0, 0, 0, 0, 0, 2]


def test_a_row_without_a_label_is_refused(write: Write) -> None:
    path = write("a", numbered(2), np.array([0, -1], np.int8))
    with pytest.raises(TrainingError, match="without a label"):
        count_labels(path)


def test_work_done_ahead_comes_in_order() -> None:
    def make(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ahead(range(20), make, workers=4, depth=3)) == [n * n for n in range(20)]


def test_no_more_is_made_ahead_than_asked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = ahead(items(), abs, workers=2, depth=3)
    next(results)
    assert len(taken) == 4


def test_a_fault_in_a_thread_reaches_the_caller_and_the_threads_end() -> None:
    def make(item: int) -> float:
        return 1 / (3 - item)

    with pytest.raises(ZeroDivisionError):
        list(ahead(range(10), make, workers=2, depth=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_weight_is_refused(weight: float) -> None:
    with pytest.raises(SettingsError, match="rows cannot weigh"):
        Part(Path("some.parquet"), weight)
