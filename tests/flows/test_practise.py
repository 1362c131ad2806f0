"""Practice rows are made once, the same by any number of processes, and are part of the plan."""

import os
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import read_manifest
from digitline.home import CHECKOUT, Home
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.practice import practise_lesson
from digitline.rows import normalised_batch, normalised_schema, read_labelled, write_rows
from flows.retrain import retrain
from tasks import practise
from tasks.practise import _choose, practise_rows

Mnist = tuple[list[bytes], NDArray[np.int64]]


@pytest.fixture(scope="module")
def train(mnist: Mnist, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write two files of 300 training rows each."""
    folder = tmp_path_factory.mktemp("train")
    paths = []
    for name, rows in (("one", slice(0, 300)), ("two", slice(300, 600))):
        digits = [cv2.imdecode(np.frombuffer(png, np.uint8), 0) for png in mnist[0][rows]]
        labels = mnist[1][rows].astype(np.int8)
        ids = [bytes([number % 256]) * 32 for number in range(300)]
        batch = normalised_batch(ids, labels, np.asarray(digits, np.uint8), NORMALISER)
        paths.append(folder / f"train-{name}.parquet")
        write_rows(paths[-1], normalised_schema(NORMALISER), iter([batch]))
    return paths


def test_processes_make_what_one_would_have_made(
    train: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practise, "_LESSON", 40)
    practised = practise_rows.fn(train, "digest", 100, 3, tmp_path)
    made = [practise_lesson(lesson, 3) for lesson in _choose(train, 100)]
    assert len(made) == 4
    digits, labels = read_labelled(practised.path)
    np.testing.assert_array_equal(
        digits, np.concatenate([one.digits for one in made]).reshape(-1, 784)
    )
    np.testing.assert_array_equal(labels, np.concatenate([one.labels for one in made]))
    assert practised.rows.rows == len(labels) <= 2 * 100
    written = practised.path.stat().st_mtime_ns
    assert practise_rows.fn(train, "digest", 100, 3, tmp_path) == practised
    assert practised.path.stat().st_mtime_ns == written
    assert read_manifest(practised.path.parent) is not None
    assert practised.digits == tuple(np.bincount(labels, minlength=10))


PRACTISE = """
import sys
from multiprocessing import active_children
from pathlib import Path
from tasks import practise

if __name__ == "__main__":
    practise._LESSON = 20
    made = practise._make([Path(name) for name in sys.argv[1:]], 600, 0)
    next(made)
    print(*(child.pid for child in active_children()), flush=True)
    sys.stdin.read()
"""


def test_processes_end_with_the_one_that_started_them(train: list[Path], tmp_path: Path) -> None:
    script = tmp_path / "practise.py"
    script.write_text(PRACTISE)
    command = [sys.executable, str(script), *map(str, train)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment) as practising:
        assert practising.stdout is not None
        children = [Path("/proc", pid) for pid in practising.stdout.readline().split()]
        assert children
        assert all(child.exists() for child in children)
        practising.kill()
    left = 60.0
    while left > 0 and any(map(_runs, children)):
        time.sleep(0.1)
        left -= 0.1
    assert not any(map(_runs, children))


def _runs(process: Path) -> bool:
    """Say whether a process has not ended; one that nobody has asked after yet has."""
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("count", [1, 7, 599, 600, 5000])
def test_rows_are_taken_evenly_and_once(train: list[Path], count: int) -> None:
    lessons = list(_choose(train, count))
    taken = np.concatenate([lesson.digits for lesson in lessons])
    assert len(taken) == min(count, 600)
    assert [lesson.number for lesson in lessons] == list(range(len(lessons)))
    rows = np.concatenate([read_labelled(path)[0] for path in train]).reshape(-1, 28, 28)
    if count >= 600:
        np.testing.assert_array_equal(taken, rows)


@pytest.mark.usefixtures("prefect_server")
def test_practice_rows_and_what_they_count_are_part_of_the_plan(
    mnist: Mnist, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = home.root / "tiny.toml"
    recipe.write_text("hidden = [32]\nepochs = 3\nbatch = 25\nrate = 0.01\n")
    folder = home.root / "digits"
    for number in range(600):
        place = folder / str(mnist[1][number]) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(mnist[0][number])
    monkeypatch.setenv("DIGITLINE_GATE__MIN_ACCURACY", "0.1")
    monkeypatch.setenv("DIGITLINE_MAX_ERROR", "70%")
    verdicts = []
    for count, weight in (("40", "1"), ("40", "1"), ("40", "2"), ("0", "2")):
        monkeypatch.setenv("DIGITLINE_PRACTICE", count)
        monkeypatch.setenv("DIGITLINE_PRACTICE_WEIGHT", weight)
        verdicts.append(retrain([str(folder)], recipe=str(recipe), promote="force"))
    assert [one.verdict == "unchanged" for one in verdicts] == [False, True, False, False]
    registry = Registry(home.models, home.keys)
    first, _, weighed, without = (registry.card(verdict.version) for verdict in verdicts)
    assert first.data.practice is not None
    assert 60 <= first.data.practice.rows <= 80
    assert (first.data, first.weights) == (weighed.data, {})
    assert weighed.weights == {"practice": 2}
    assert (without.data.practice, without.weights) == (None, {})
