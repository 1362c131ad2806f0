"""A scoring killed again and again, at any moment, ends with the bytes of one left alone."""

import shutil
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from digitline.commit import check_shards, read_manifest
from digitline.home import Home
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery

KILLS = Attack(
    row=1,
    name="SIGKILL of a scoring at random moments, and again until one is left to end",
    holds="results byte-identical to an undisturbed run, every input once",
    small=20,
    full=200,
    batch=10,
)
SHARD_ROWS = "12"


def results_of(directory: Path) -> dict[str, bytes]:
    """Give the files a reader sees, by name."""
    return {path.name: path.read_bytes() for path in directory.glob("*-*.parquet")}


@pytest.fixture
def settings(home: Home, reader: Home) -> dict[str, str]:
    """Give the environment of runs in a home of this test's own, with a champion in it."""
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    return {
        "DIGITLINE_HOME": str(home.root),
        "DIGITLINE_BULK__SHARD_ROWS": SHARD_ROWS,
        "DIGITLINE_THRESHOLD": "0.9",
    }


def test_a_scoring_killed_at_any_moment(
    nursery: Nursery, images: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    def order(out: Path) -> tuple[str, ...]:
        return "score", str(images), "--out", str(out), "--workers", "2"

    undisturbed = tmp_path / "undisturbed"
    began = time.monotonic()
    alone = nursery.run(*order(undisturbed), **settings)
    lasts = time.monotonic() - began
    assert alone.code == 0, alone.said
    expected = results_of(undisturbed)
    for number, trial in enumerate(KILLS.rounds()):
        with trial as attack:
            out = tmp_path / f"killed-{number}"
            for _ in range(attack.cases):
                run = nursery.start(*order(out), **settings)
                time.sleep(attack.dice.uniform(0, lasts))
                run.kill(group=attack.dice.random() < 0.8)
                run.wait()
            damage(out)
            last = nursery.run(*order(out), **settings)
            # A kill at the very end leaves nothing to do.
            assert last.code == 0 or "are here, complete" in last.said, last.said
            assert results_of(out) == expected
            check_complete(out, images)
            shutil.rmtree(out)


def damage(out: Path) -> None:
    """Do what a disk may do besides: half a file, a file gone, a file that is another."""
    if out.exists() and read_manifest(out) is None:
        (out / ".predictions-00003.parquet.0123456789ab").write_bytes(b"half a file")
        (out / "errors-00002.parquet").unlink(missing_ok=True)
        (out / "predictions-00001.parquet").write_bytes(b"a disk that lost its memory")


def check_complete(out: Path, images: Path) -> None:
    """Raise unless every image is there once, and nothing half written is left."""
    manifest = read_manifest(out)
    assert manifest is not None
    check_shards(out, manifest)
    files = sorted(out.glob("*-*.parquet"))
    assert {path.name for path in files} <= {shard.name for shard in manifest.shards}
    tables = [pq.read_table(path, columns=["path"]) for path in files]
    names = Counter(name for table in tables for name in table["path"].to_pylist())
    assert names == Counter(path.name for path in images.iterdir())
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
