"""Shards scored on a real Dask cluster: a scheduler and workers in processes of their own."""

import pickle
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import Client
from distributed.protocol.pickle import dumps
from numpy.typing import NDArray
from PIL import Image

from digitline.commit import check_shards, read_manifest
from digitline.errors import (
    DigitlineError,
    IncompatibleError,
    OrchestrationError,
    SettingsError,
    StorageError,
)
from digitline.home import Home
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.scoring import outpost
from digitline.scoring.outpost import Outpost, Posting
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from flows import cluster, orchestration
from flows.score import score
from flows.score_fields import score_fields

pytestmark = pytest.mark.usefixtures("prefect_server")

SHARDS = 8
ROWS = 40
TOO_LARGE = "0133-large.png"  # takes more memory than a process may


@contextmanager
def dask(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a part of a cluster as an operator does."""
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def working(address: str, place: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of one thread."""
    options = ("--nthreads", "1", "--local-directory", str(place), *options)
    with dask("worker", address, *options) as process:
        yield process


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class Cluster:
    """A scheduler and a worker, under a nanny as is usual; begun anew after it was ended."""

    def __init__(self, stack: ExitStack, place: Path) -> None:
        self._stack = stack
        self._place = place
        self._address = ""
        self.scheduler: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        if self.scheduler is None or self.scheduler.poll() is not None:
            self._address = free_address()
            port = self._address.rpartition(":")[2]
            options = ("--host", "127.0.0.1", "--port", port)
            self.scheduler = self._stack.enter_context(dask("scheduler", *options))
            self._stack.enter_context(working(self._address, self._place))
            with Client(self._address, timeout=120, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                client.wait_for_workers(1, timeout=120)
        return self._address


@pytest.fixture(scope="module")
def a_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, tmp_path_factory.mktemp("dask"))


@pytest.fixture
def address(a_cluster: Cluster) -> str:
    return a_cluster.address


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give a home of this test's own, with a champion in it, and small shards."""
    monkeypatch.setenv("DIGITLINE_BULK__SHARD_ROWS", str(ROWS))
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


@pytest.fixture
def duty(trained: Home) -> Duty:
    registry = Registry(trained.models, trained.keys)
    return Duty(registry, registry.champion(), 0.9, Limits(), 4 << 30)


@pytest.fixture
def images(mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path) -> Path:
    """Give a folder of as many images as fill the shards, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        (folder / f"{number:04d}.png").write_bytes(content[:60] if number % ROWS == 7 else content)
    return folder


def keep_some(images: Path) -> None:
    for path in sorted(images.iterdir())[ROWS:]:
        path.unlink()


def files(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.glob("*.parquet")}


class Killer(threading.Thread):
    """Kills a worker once some shards are there, and keeps what they were like."""

    def __init__(self, victim: "subprocess.Popen[bytes]", results: Path) -> None:
        super().__init__()
        self._victim = victim
        self._results = results
        self._over = threading.Event()
        self.seen: dict[str, tuple[int, int]] = {}

    def run(self) -> None:
        while len(self.seen) < SHARDS // 4:
            if self._over.wait(0.005):
                return
            self.seen = self.look()
        self._victim.kill()

    def look(self) -> dict[str, tuple[int, int]]:
        """Tell the shards that are committed, and files that are theirs from others."""
        shards = {}
        for errors in self._results.glob("errors-*.parquet"):
            predictions = errors.with_name(errors.name.replace("errors", "predictions"))
            if predictions.exists():
                shards[errors.name] = (errors.stat().st_ino, predictions.stat().st_ino)
        return shards

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.live
def test_a_killed_worker_costs_only_its_shards_and_a_bad_image_one_row(
    address: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (10_000, 10_000)).save(images / TOO_LARGE, compress_level=1)
    monkeypatch.setenv("DIGITLINE_DECODING__MAX_PIXELS", str(300_000_000))
    monkeypatch.setenv("DIGITLINE_BULK__WORKER_MEMORY", str(256 << 20))
    here, there = tmp_path / "here", tmp_path / "there"
    done = score(str(images), out=here, threshold=0.9, workers=2)
    assert done.counts.error == SHARDS + 1
    with ExitStack() as stack:
        victim = stack.enter_context(working(address, tmp_path / "dask", "--no-nanny"))
        client = stack.enter_context(Client(address, set_as_default=False))  # type: ignore[no-untyped-call]
        client.wait_for_workers(2, timeout=120)
        killer = Killer(victim, there)
        killer.start()
        stack.callback(killer.stop)
        again = score(str(images), out=there, threshold=0.9, engine="dask", address=address)
        assert victim.wait() < 0
    assert SHARDS + 1 > len(killer.seen) >= SHARDS // 4
    assert killer.seen.items() <= killer.look().items()
    assert again.counts == done.counts
    assert files(there) == files(here)
    manifest = read_manifest(there)
    assert manifest is not None
    check_shards(there, manifest)
    assert not list(there.glob(".pred*")) + list(there.glob(".err*"))
    rows = [row for path in there.glob("errors-*") for row in pq.read_table(path).to_pylist()]
    assert {row["path"] for row in rows if row["reason"] == "crashed"} == {TOO_LARGE}


def test_a_cluster_answers_to_the_byte_as_this_machine(
    address: str, images: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    done = score(str(images), out=here, threshold=0.9)
    again = score(str(images), out=there, threshold=0.9, engine="dask", address=address)
    assert again.counts == done.counts
    assert files(there) == files(here)


def test_the_model_travels_once_a_worker_and_is_taken_back(
    address: str, images: Path, duty: Duty, tmp_path: Path
) -> None:
    sent = pickle.dumps(Outpost("digitline-test", duty, 60, []))
    model = (duty.registry.models / duty.version / "model.joblib").read_bytes()
    assert model in sent
    assert b"BEGIN PUBLIC KEY" in sent
    assert b"PRIVATE" not in sent
    task = Task(images, 0, ROWS, 0, tmp_path / "out")
    assert len(dumps((task, Posting("digitline-test")))) < len(model) / 20  # type: ignore[no-untyped-call]
    keep_some(images)
    score(str(images), threshold=0.9, engine="dask", address=address)
    with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        left = client.run(
            lambda dask_worker: [
                *(name for name in dask_worker.plugins if name.startswith("digitline-")),
                *Path(dask_worker.local_directory).glob("digitline-*"),
            ]
        )
    assert list(left.values()) == [[]]


@pytest.mark.live
def test_fields_are_read_on_a_cluster_of_this_machine(images: Path, tmp_path: Path) -> None:
    keep_some(images)
    here, there = tmp_path / "here", tmp_path / "there"
    done = score_fields(str(images), out=here, threshold=0.5, length="1")
    again = score_fields(
        str(images), out=there, threshold=0.5, length="1", engine="dask", workers=1
    )
    assert again.counts == done.counts
    assert files(there) == files(here)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 2)


def complaint(kind: type[DigitlineError], images: Path, address: str) -> str:
    with pytest.raises(kind) as caught:
        score(str(images), threshold=0.9, engine="dask", address=address)
    return str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_that_is_not_there_is_told(images: Path) -> None:
    assert "cannot be reached" in complaint(OrchestrationError, images, free_address())


def test_a_worker_that_would_answer_otherwise_is_refused(
    address: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outpost, "_software", lambda: {"the code": "that of tomorrow"})
        told = complaint(IncompatibleError, images, address)
    assert "Dask worker has the code" in told
    monkeypatch.setattr(cluster, "_needs", lambda _: [Path("/not/mounted")])
    assert "/not/mounted" in complaint(StorageError, images, address)


def test_an_address_that_makes_no_sense_is_told(images: Path) -> None:
    with pytest.raises(SettingsError, match="not an address such as"):
        score(str(images), engine="dask", address="10.0.0.7")
    with pytest.raises(SettingsError, match="no use for an address"):
        score(str(images), engine="local", address="tcp://10.0.0.7:8786")


def test_what_to_install_is_told_where_dask_is_missing(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration, "find_spec", lambda _: None)
    with pytest.raises(SettingsError) as caught:
        score(str(images), engine="dask")
    assert "pip install 'digitline[dask]'" in str(caught.value)


@pytest.mark.live
def test_a_scheduler_that_goes_is_told_and_the_run_is_taken_up_again(
    a_cluster: Cluster,
    address: str,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGITLINE_BULK__SHARD_ROWS", "5")
    out = tmp_path / "out"
    assert a_cluster.scheduler is not None
    killer = Killer(a_cluster.scheduler, out)
    killer.start()
    with pytest.raises(OrchestrationError, match="scheduler has gone"):
        score(str(images), out=out, threshold=0.9, engine="dask", address=address)
    killer.stop()
    assert score(str(images), out=out, threshold=0.9).counts.n_in == SHARDS * ROWS
    assert killer.seen.items() <= killer.look().items()
