"""A scoring that is killed, again and again, and what it leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import check_shards, read_manifest
from digitline.home import Home

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
SHARDS = 24
ROWS = 25
SCORE = """
import sys
from pathlib import Path
from flows.score import score

if __name__ == "__main__":
    score(sys.argv[1], out=Path(sys.argv[2]), threshold=0.9, workers=2)
"""


@pytest.fixture
def images(mnist: Mnist, tmp_path: Path) -> Path:
    """Give a folder of as many images as fill the shards, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        broken = number % 50 == 7
        (folder / f"{number:04d}.png").write_bytes(content[:60] if broken else content)
    return folder


@contextmanager
def scoring(images: Path, out: Path, script: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Score in a process group of its own, over the session's server."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - slow to load

    script.write_text(SCORE)
    server = str(get_current_settings().api.url)
    command = [sys.executable, str(script), str(images), str(out)]
    environment = {
        **os.environ,
        "PREFECT_API_URL": server,
        "DIGITLINE_BULK__SHARD_ROWS": str(ROWS),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        yield process


def kill_at(moment: int, images: Path, out: Path, script: Path) -> None:
    """Kill the whole process group once that many files of results are there."""
    with scoring(images, out, script) as process:
        while process.poll() is None and len(list(out.glob("*-*.parquet"))) < moment:
            time.sleep(0.001)
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)


def files(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.glob("*.parquet")}


@pytest.fixture(autouse=True)
def trained(home: Home, reader: Home) -> Home:
    """Give a home of this test's own, with a champion in it."""
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


def test_a_scoring_killed_at_any_moment_ends_with_the_same_bytes(
    images: Path, tmp_path: Path
) -> None:
    script = tmp_path / "score_images.py"
    with scoring(images, tmp_path / "undisturbed", script) as process:
        assert process.wait() == 0
    moments = sorted(np.random.default_rng().integers(0, 2 * SHARDS, 2).tolist())
    for moment in [*moments, 2 * SHARDS]:
        kill_at(moment, images, tmp_path / "killed", script)
    (tmp_path / "killed" / ".predictions-00003.parquet.0123456789ab").write_bytes(b"half a file")
    (tmp_path / "killed" / "errors-00002.parquet").unlink(missing_ok=True)
    (tmp_path / "killed" / "predictions-00001.parquet").write_bytes(b"a disk that lost its memory")
    with scoring(images, tmp_path / "killed", script) as process:
        assert process.wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed"), moments
    killed, undisturbed = (read_manifest(tmp_path / name) for name in ("killed", "undisturbed"))
    assert killed is not None
    assert undisturbed is not None
    assert killed.shards == undisturbed.shards
    assert len(killed.shards) == 2 * SHARDS
    assert killed.facts["counts"]["error"] == SHARDS * ROWS / 50
    check_shards(tmp_path / "killed", killed)
    assert not list((tmp_path / "killed").glob(".pred*")) + list(
        (tmp_path / "killed").glob(".err*")
    )
