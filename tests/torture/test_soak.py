"""Long runs: memory, descriptors and speed stay what they were."""

import json
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from digitline.commit import check_shards, read_manifest
from digitline.home import Home
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.rows import normalised_batch, normalised_schema, write_rows
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery, Run

MANY = Attack(
    row=20,
    name="soak: images through one scoring",
    holds="flat memory and descriptors, every row once",
    small=0,
    full=2_000_000,
    batch=2_000_000,
)
CYCLES = Attack(
    row=21,
    name="soak: retrainings and scorings, one after the other in one process",
    holds="flat memory and descriptors, constant speed, registry and index healthy",
    small=0,
    full=200,
    batch=200,
)
GROWTH = 300 << 20  # bytes that a scoring's processes may take more in its last third
# What a cycle of the last third may take more than one of the second: bytes, and CPU time (a busy
# machine says nothing by its wall clock).
CREEP, SLOWDOWN = 50 << 20, 1.5


@pytest.mark.skipif(not MANY.cases, reason="takes minutes: `make torture`")
def test_many_images(nursery: Nursery, reader: Home, home: Home, tmp_path: Path) -> None:
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    for trial in MANY.rounds():
        with trial as attack:
            source = tmp_path / "rows.parquet"
            write_rows(source, normalised_schema(NORMALISER), draw_rows(attack.cases))
            out = tmp_path / "out"
            began = time.monotonic()
            run = nursery.start(
                *("score", str(source), "--out", str(out)),
                DIGITLINE_HOME=str(home.root),
                DIGITLINE_THRESHOLD="0.9",
            )
            seen = watch(run)
            assert run.wait() == 0, run.said
            manifest = read_manifest(out)
            assert manifest is not None
            check_shards(out, manifest)
            assert manifest.facts["counts"]["n_in"] == attack.cases
            rows = [shard.rows for shard in manifest.shards if "-" in shard.name]
            assert sum(rows) == attack.cases
            attack.remark(
                f"{attack.cases / (time.monotonic() - began):,.0f} images/s, "
                f"at most {max(memory for memory, _ in seen) / 1e6:,.0f} MB in all processes"
            )
            check_flat(seen)


def draw_rows(count: int) -> Iterator[pa.RecordBatch]:
    """Give that many normalised rows of noise: what they show matters not."""
    dice = np.random.default_rng(0)
    for start in range(0, count, 8192):
        size = min(8192, count - start)
        px = dice.integers(0, 256, (size, 784), np.uint8) * (dice.random((size, 784)) < 0.2)
        ids = [dice.bytes(32) for _ in range(size)]
        yield normalised_batch(ids, np.full(size, -1, np.int8), px.astype(np.uint8), NORMALISER)


def watch(run: Run) -> list[tuple[int, int]]:
    """Note the private memory and the descriptors of all its processes, until it ends."""
    seen = []
    while processes := run.left_behind(0):
        seen.append((sum(map(memory_of, processes)), sum(map(descriptors_of, processes))))
        time.sleep(0.5)
    return seen


def memory_of(pid: int) -> int:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty"))


def descriptors_of(pid: int) -> int:
    try:
        return len(list(Path("/proc", str(pid), "fd").iterdir()))
    except OSError:
        return 0


def check_flat(seen: list[tuple[int, int]]) -> None:
    """Raise where more was taken in the last third than in the second by more than caches do."""
    third = len(seen) // 3
    assert third > 1, "too short to tell"
    middle, last = seen[third : 2 * third], seen[2 * third :]
    assert max(each[0] for each in last) < max(each[0] for each in middle) + GROWTH
    assert max(each[1] for each in last) < max(each[1] for each in middle) + 20


def cpu_seconds() -> float:
    """Give what this process and its children that have ended took of the processors."""
    return sum(os.times()[:4])


def go_round(arguments: list[str]) -> int:
    """Retrain and score again and again, as the nursery calls it; a line of JSON a cycle."""
    from flows.retrain import retrain
    from flows.score import score

    labelled, images, cycles = arguments
    for cycle in range(int(cycles)):
        began, spent = time.monotonic(), cpu_seconds()
        retrained = retrain([labelled], seed=cycle, promote="force")
        scored = score(images, threshold=0.9)
        line = {
            "version": retrained.version,
            "images": scored.counts.n_in,
            "seconds": time.monotonic() - began,
            "cpu": cpu_seconds() - spent,
            "memory": memory_of(os.getpid()),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
            "descriptors": descriptors_of(os.getpid()),
        }
        print(f"CYCLE {json.dumps(line)}", flush=True)
    return 0


@pytest.mark.skipif(not CYCLES.cases, reason="takes hours: `make torture`")
def test_many_cycles(
    nursery: Nursery,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    images: Path,
    home: Home,
    tmp_path: Path,
) -> None:
    for row in range(600):
        path = tmp_path / "labelled" / str(mnist[1][row]) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mnist[0][row])
    (tmp_path / "tiny.toml").write_text("hidden = [32]\nepochs = 6\nbatch = 50\nrate = 0.01\n")
    for trial in CYCLES.rounds():
        with trial as attack:
            run = nursery.start(
                *(str(tmp_path / "labelled"), str(images), str(attack.cases)),
                call="tests.torture.test_soak:go_round",
                DIGITLINE_HOME=str(home.root),
                DIGITLINE_RECIPE=str(tmp_path / "tiny.toml"),
                DIGITLINE_GATE__MIN_ACCURACY="0.1",
                DIGITLINE_MAX_ERROR="0.9",
                DIGITLINE_PRACTICE="0",
            )
            assert run.wait(24 * 3600) == 0, run.said
            lines = [line for line in run.said.splitlines() if line.startswith("CYCLE ")]
            cycles = [json.loads(line.removeprefix("CYCLE ")) for line in lines]
            assert len(cycles) == attack.cases
            first, last = cycles[1], cycles[-1]
            attack.remark(
                f"from {first['memory'] / 1e6:,.0f} to {last['memory'] / 1e6:,.0f} MB, "
                f"{first['descriptors']} to {last['descriptors']} descriptors, "
                f"{first['cpu']:.1f} to {last['cpu']:.1f} CPU-s a cycle"
            )
            check_cycles(cycles, home)


def check_cycles(cycles: list[dict[str, Any]], home: Home) -> None:
    registry = Registry(home.models, home.keys)
    assert len(registry.versions()) == len(cycles)
    assert all(finding.sound for finding in registry.verify())
    assert registry.champion() == cycles[-1]["version"]
    index = (home.reports / "index.html").read_text()
    for cycle in range(1, len(cycles) + 1):
        assert f"retrain-{cycle:04d}" in index
        assert f"score-{cycle:04d}" in index
    assert typical(cycles, "memory", 2) < typical(cycles, "memory", 1) + CREEP
    assert typical(cycles, "descriptors", 2) < typical(cycles, "descriptors", 1) + 5
    assert typical(cycles, "cpu", 2) < typical(cycles, "cpu", 1) * SLOWDOWN


def typical(cycles: list[dict[str, Any]], what: str, third: int) -> float:
    """Give the median over the first, second or last third (0, 1, 2) of the cycles."""
    size = len(cycles) // 3
    assert size > 0, "too few to tell"
    return float(median(cycle[what] for cycle in cycles[third * size : (third + 1) * size]))
