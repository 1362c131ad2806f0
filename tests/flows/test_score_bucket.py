"""Scoring from a bucket into a bucket: the same as on disk, killed, failing, and raced for."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import MANIFEST_NAME, Manifest
from digitline.errors import BusyError, StorageError
from digitline.home import Home
from digitline.objects import Address, create_object, find_content, list_objects, read_object
from digitline.records import from_bytes
from flows.score import score
from tests.conftest import KEY_ID, SECRET, Endpoint

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
ROOT = Path(__file__).resolve().parents[2]
SCORE = """
import sys
from digitline.records import from_bytes
from flows.score import score

if __name__ == "__main__":
    score(sys.argv[1], out=sys.argv[2], threshold=0.9, workers=2)
"""


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give a home of this test's own, with a champion in it, and small shards."""
    monkeypatch.setenv("DIGITLINE_BULK__SHARD_ROWS", "12")
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


@pytest.fixture
def images(mnist: Mnist, tmp_path: Path, store: Endpoint) -> Path:
    """Give a folder of images, some broken, and the same in the bucket under `scans`."""
    folder = tmp_path / "images"
    for number, content in enumerate(mnist[0][:60]):
        path = folder / f"box-{number % 3}" / f"scan-{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[:60] if number % 20 == 7 else content)
        create_object(store.place / f"scans/{path.relative_to(folder)}", path.read_bytes())
    return folder


def published(place: Address) -> dict[str, bytes]:
    """Give the files that a manifest lists, and see that nothing else lies there."""
    manifest = from_bytes(read_object(place / MANIFEST_NAME).data, Manifest)
    held = {one.key.removeprefix(place.prefix) for one in list_objects(place)}
    assert held == {*manifest.names, MANIFEST_NAME, "plan.json"}
    return {name: read_object(place / name).data for name in manifest.names}


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.live)])
def test_from_bucket_to_bucket_is_as_from_disk_to_disk(
    images: Path,
    store: Endpoint,
    home: Home,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    engine: Literal["local", "dask"],
) -> None:
    local = score(str(images), out=tmp_path / "out", threshold=0.9)
    store.use("failing")
    bucket = (str(store.place / "scans"), str(store.place / "out"))
    done = score(*bucket, threshold=0.9, engine=engine, workers=2)
    assert done.published == str(store.place / "out")
    assert done.counts == local.counts
    assert done.counts.error == 3
    names = [path.name for path in (tmp_path / "out").glob("*-*.parquet")]
    assert published(store.place / "out") == {
        name: (tmp_path / "out" / name).read_bytes() for name in names
    }
    with pytest.raises(StorageError, match="the place is not empty"):
        score(*bucket, threshold=0.9)
    told = "".join(capfd.readouterr())
    written = [path.read_bytes() for path in home.root.rglob("*") if path.is_file()]
    kept = [read_object(store.place / one.key).data for one in list_objects(store.place)]
    for secret in (KEY_ID, SECRET):
        assert secret not in told
        assert not [one for one in (*written, *kept) if secret.encode() in one]


@pytest.mark.live
def test_a_job_scores_what_is_new_in_the_bucket(
    images: Path, store: Endpoint, mnist: Mnist
) -> None:
    source = str(store.place / "scans")
    first = score(source, threshold=0.9, job="post")
    assert first.changes == "60 new, 0 changed, 0 unchanged"
    create_object(store.place / "scans/box-1/late.png", mnist[0][500])
    second = score(source, threshold=0.9, job="post", out=str(store.place / "second"))
    assert second.changes == "1 new, 0 changed, 60 unchanged"
    assert second.counts.n_in == 61
    assert published(store.place / "second")


@contextmanager
def scoring(source: str, out: str, script: Path, home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Score in a process group of its own, over the session's server."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to load

    script.write_text(SCORE)
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "DIGITLINE_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(script), source, out]
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.live
def test_killed_while_it_publishes_it_goes_on_and_another_home_is_kept_out(
    images: Path, store: Endpoint, home: Home, reader: Home, tmp_path: Path
) -> None:
    source, place = str(store.place / "scans"), store.place / "out"
    with scoring(source, str(place), tmp_path / "job.py", home.root) as process:
        while process.poll() is None and find_content(place / "errors-00000.parquet") is None:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
    assert find_content(place / MANIFEST_NAME) is None
    other = Path(shutil.copytree(reader.root, tmp_path / "other"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITLINE_HOME", str(other))
        with pytest.raises(BusyError, match="another run writes its results there"):
            score(source, out=str(place), threshold=0.9, workers=2)
    again = score(source, out=str(place), threshold=0.9, workers=2)
    assert again.results.parent.name == "score-0001"
    assert len(published(place)) == 10
