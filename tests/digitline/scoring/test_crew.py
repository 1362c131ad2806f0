"""Shards scored by processes that are killed, stopped and starved."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from digitline.errors import TamperedError
from digitline.home import Home
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.scoring.crew import Crew, WorkerError
from digitline.scoring.results import ScoredShard
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from digitline.sources.listing import keep_listing, list_batches


def silent(steps: int, words: str) -> None:
    assert steps > 0
    assert words


@pytest.fixture
def duty(reader: Home) -> Duty:
    registry = Registry(reader.models, reader.keys)
    return Duty(registry, registry.champion(), 0.9, Limits(), 4 << 30)


def task_for(folder: Path, out: Path) -> Task:
    out.mkdir()
    shard = keep_listing(out / "listing.parquet", list_batches(str(folder), NORMALISER))
    return Task(out / "listing.parquet", 0, shard.rows, 0, out)


def scored(task: Task, duty: Duty, patience: float = 60.0) -> ScoredShard:
    with Crew(duty, 1, patience, silent) as crew:
        return crew.score(task)


def reasons(task: Task) -> dict[str, str]:
    rows = pq.read_table(task.out / "errors-00000.parquet").to_pylist()
    return {row["path"]: row["reason"] for row in rows}


BROKEN = {"010-cut.png": "truncated", "020-empty.png": "empty", "030-letter.jpg": "unsupported"}


@contextmanager
def harming(crew: Crew, place: int, signals: int, times: int) -> Iterator[None]:
    """Send a worker a signal whenever it has the image at `place` in its hands."""
    over = threading.Event()

    def wait_and_strike() -> None:
        struck: set[int] = set()
        while len(struck) < times and not over.wait(0.002):
            (member,) = crew._members
            process = member._process
            if process is None or process.pid is None or process.pid in struck:
                continue
            if member._place.in_hand == (place, place + 1):
                os.kill(process.pid, signals)
                struck.add(process.pid)

    thread = threading.Thread(target=wait_and_strike)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an image that takes a good part of a second to read."""
    path = tmp_path_factory.mktemp("slow") / "slow.png"
    Image.effect_noise((4000, 4000), 60).save(path, compress_level=1)
    return path


def test_a_shard_holds_every_image_once(folder: Path, tmp_path: Path, duty: Duty) -> None:
    task = task_for(folder, tmp_path / "out")
    shard = scored(task, duty)
    assert (shard.predictions.rows, shard.errors.rows) == (57, 3)
    assert reasons(task) == BROKEN
    table = pq.read_table(tmp_path / "out" / "predictions-00000.parquet")
    assert table["path"].to_pylist() == sorted(
        path.name for path in folder.iterdir() if path.name not in BROKEN
    )
    assert shard.accept == table["status"].to_pylist().count("accept")


def test_workers_change_no_byte(folder: Path, tmp_path: Path, duty: Duty) -> None:
    whole = task_for(folder, tmp_path / "out")
    tasks = [
        replace(whole, start=start, stop=start + 12, number=start) for start in range(0, 60, 12)
    ]
    found = []
    for size in (1, 3):
        with Crew(duty, size, 60, silent) as crew:
            threads = [threading.Thread(target=crew.score, args=(task,)) for task in tasks]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        files = sorted((tmp_path / "out").glob("*-*.parquet"))
        assert len(files) == 10
        found.append([file.read_bytes() for file in files])
        for file in files:
            file.unlink()
    assert found[0] == found[1]


@pytest.mark.parametrize(("signals", "how"), [(9, "signal 9"), (signal.SIGSTOP, "seconds")])
def test_an_image_that_ends_its_process_twice_costs_one_row(
    folder: Path,
    tmp_path: Path,
    duty: Duty,
    slow: Path,
    signals: int,
    how: str,
) -> None:
    shutil.copy(slow, folder / "005-slow.png")
    task = task_for(folder, tmp_path / "out")
    with Crew(duty, 1, 3.0, silent) as crew, harming(crew, 5, signals, times=2):
        shard = crew.score(task)
    assert shard.rows == 61
    assert reasons(task) == {**BROKEN, "005-slow.png": "crashed"}
    rows = pq.read_table(tmp_path / "out" / "errors-00000.parquet").to_pylist()
    assert how in rows[0]["message"]


def test_a_process_that_ends_once_is_forgiven(
    folder: Path, tmp_path: Path, duty: Duty, slow: Path
) -> None:
    shutil.copy(slow, folder / "005-slow.png")
    task = task_for(folder, tmp_path / "out")
    with Crew(duty, 1, 60, silent) as crew, harming(crew, 5, signal.SIGKILL, times=1):
        shard = crew.score(task)
    assert reasons(task) == BROKEN
    assert shard.predictions.rows == 58


def test_an_image_too_large_for_the_memory_is_a_row(
    folder: Path, tmp_path: Path, duty: Duty
) -> None:
    Image.new("RGB", (10_000, 10_000)).save(folder / "005-large.png", compress_level=1)
    task = task_for(folder, tmp_path / "out")
    roomy = Limits(max_pixels=300_000_000)
    shard = scored(task, replace(duty, limits=roomy, memory=256 << 20))
    assert shard.rows == 61
    assert reasons(task) == {**BROKEN, "005-large.png": "crashed"}


def test_a_model_that_was_changed_scores_nothing(folder: Path, tmp_path: Path, duty: Duty) -> None:
    task = task_for(folder, tmp_path / "out")
    models = shutil.copytree(duty.registry.models, tmp_path / "models")
    path = models / "m0001" / "model.joblib"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TamperedError):
        scored(task, replace(duty, registry=Registry(models, duty.registry.keys)))
    assert not list((tmp_path / "out").glob("predictions*"))


def test_leaving_ends_who_works_and_tells_who_waits(
    folder: Path, tmp_path: Path, duty: Duty, slow: Path
) -> None:
    for number in range(10):
        shutil.copy(slow, folder / f"000-slow-{number}.png")
    task = task_for(folder, tmp_path / "out")
    told: list[WorkerError] = []

    def try_to_score(crew: Crew) -> None:
        try:
            crew.score(task)
        except WorkerError as error:
            told.append(error)

    with Crew(duty, 1, 60, silent) as crew:
        threads = [threading.Thread(target=try_to_score, args=(crew,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while crew._members[0]._place.in_hand == (-1, -1):
            time.sleep(0.01)
        member = crew._members[0]
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert member._process is None or not member._process.is_alive()
    assert not list((tmp_path / "out").glob("predictions*"))


def test_workers_that_cannot_be_started_are_told_of(
    folder: Path, tmp_path: Path, duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Ctrl-C, or whoever wants memory, ends the server that they are forked from."""

    def refuse(_: object) -> None:
        raise EOFError

    monkeypatch.setattr(multiprocessing.context.ForkServerProcess, "start", refuse)
    task = task_for(folder, tmp_path / "out")
    with Crew(duty, 1, 60, silent) as crew:
        with pytest.raises(WorkerError, match="could not be started"):
            crew.score(task)
        monkeypatch.undo()
        assert crew.score(task).rows == 60


SCORE = """
import pickle, sys
from digitline.scoring.crew import Crew

if __name__ == "__main__":
    task, duty = pickle.load(sys.stdin.buffer)
    with Crew(duty, 1, 60, lambda steps, words: None) as crew:
        member = crew._members[0]
        print(member._begin()[0].pid, flush=True)
        crew.score(task)
"""


def test_a_worker_ends_with_whoever_started_it(
    folder: Path, tmp_path: Path, duty: Duty, slow: Path
) -> None:
    for number in range(10):
        shutil.copy(slow, folder / f"000-slow-{number}.png")
    task = task_for(folder, tmp_path / "out")
    script = tmp_path / "score.py"
    script.write_text(SCORE)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(pickle.dumps((task, duty)))
        child.stdin.close()
        worker = Path("/proc") / child.stdout.readline().decode().strip()
        while not list((tmp_path / "out").glob(".predictions-*")):
            time.sleep(0.01)
        child.kill()
    deadline = time.monotonic() + 30
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not worker.exists()
    assert not list((tmp_path / "out").glob("predictions*"))
