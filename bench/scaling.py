"""Measure how scoring grows: Dask workers, the cost of a shard, ten thousand images to a million.

    .venv/bin/python bench/scaling.py
    .venv/bin/python bench/scaling.py --jpegs 50 --pngs 2000 --rows 1000 10000 --repeats 1 \
        --table /tmp/scaling.md

The champion of the home (DIGITLINE_HOME) scores. A Prefect server, a Dask cluster of one worker and
one of two, each of one thread, are started on loopback for the time of the measurement. Runs that
are compared take turns, and the table has their medians. CPU-seconds are those of every process
taking part: they hold on a busy machine, where seconds by the clock do not.

What a billion images need is computed from what was measured and from the prices below.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq

from bench.scoring import SIDE, draw_photographs
from digitline.home import CHECKOUT
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits, decode
from digitline.pixels.normalise import NORMALISER
from digitline.rows import normalised_batch, normalised_schema, write_rows
from digitline.scoring.bulk import Bulk, Engine
from digitline.scoring.worker import Duty
from digitline.settings import load_settings
from digitline.sources.listing import keep_listing, list_batches

TABLE = Path(__file__).with_suffix(".md")
# List prices in dollars, as stated: a core for an hour (general purpose, on demand), and requests
# to an object store, each thousand.
CORE_HOUR, GETS, PUTS = 0.048, 0.0004, 0.005
BILLION = 1_000_000_000
RANGE = 8 << 20  # bytes of Parquet that one request reads
TINY = 8  # rows in a shard of which next to all is cost of the shard
ENGINES: tuple[Engine, ...] = ("local", "dask")
WORKERS_ON_PAPER = (16, 64, 256)

HEAD = """\
# Scaling

Medians of {} where runs are compared; {} cores, a network with hidden layers of {} units. The load
was {:.0f} at the end: where that is above the number of cores, others were at work, and CPU-seconds
and ratios taken side by side say more than seconds.

## One Dask worker against two
"""
WORKERS = """\
Folders listed and scored to the last shard. The listing, the scheduler and Prefect's server share
the cores with the workers: together they must not want more than there are.

| folder | seconds, one worker | two | CPU-s, one | two | two are faster | turn by turn |
| --- | ---: | ---: | ---: | ---: | ---: | --- |"""
SHARDS = """\
## What a shard costs

{} rows in {} shards, less the same rows in one: a task run of Prefect's, Dask, two files
committed. CPU-seconds include Prefect's server.

| engine | ms a shard | CPU-ms a shard |
| --- | ---: | ---: |"""
LINE = """
## Ten thousand, a hundred thousand, a million

One machine, two processes; the cost of an image is the slope from the line above.

| images | shards | seconds | CPU-s | CPU-ms an image |
| ---: | ---: | ---: | ---: | ---: |"""
PAPER = """
## A billion, on paper

Computed from the above: {row:.3f} CPU-ms a normalised row, {png:.3f} a PNG file, {written:.0f}
bytes of results and {size:.0f} of row an image, {shards} shards, each with {shard:.2f} CPU-s of its
own. Prices, as stated and not measured: {core} $ a core an hour, {get} $ a thousand reads, {put} $
a thousand writes. A file is one read; rows are read, and results written, 8 MB at a time. A worker
is one core; more than {shards} would have nothing to do.

| a billion | core-hours | hours with 16 | with 64 | with 256 | requests | $ a million |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""
REST = """
Not in it: the time to list a billion files, and the network, which must bring {:.0f} MB a second
to a core that scores rows."""


@dataclass
class Meter:
    """Seconds by the clock, and CPU-seconds of this process and all it has started."""

    seconds: float = 0.0
    cpu: float = 0.0
    _seen: dict[tuple[int, float], float] = field(default_factory=dict)

    def look(self) -> None:
        """Note how much CPU each process has had; one that ends keeps its last note."""
        here = psutil.Process()
        for process in (here, *here.children(recursive=True)):
            try:
                times = process.cpu_times()
                self._seen[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:  # it has ended
                continue

    @property
    def total(self) -> float:
        """All CPU-seconds noted so far."""
        return sum(self._seen.values())


@contextmanager
def measuring(meter: Meter) -> Iterator[None]:
    """Measure what happens in the block."""
    over = threading.Event()
    meter.look()
    before, began = meter.total, time.perf_counter()

    def watch() -> None:
        while not over.wait(1):  # to look more often would take a tenth of a core
            meter.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        meter.seconds = time.perf_counter() - began
        over.set()
        thread.join()
        meter.look()
        meter.cpu = meter.total - before


@dataclass(frozen=True)
class Cost:
    """What scoring some images came to; `written` are bytes of results, `shards` how many."""

    images: int
    shards: int
    seconds: float
    cpu: float
    written: int


class Ground:
    """Where everything is measured: sources in a directory, a server, a cluster."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.place = place
        settings = load_settings()
        registry = Registry(settings.places.models, settings.places.keys)
        limits, memory = settings.decoding, settings.bulk.worker_memory
        self.network = registry.card(registry.champion()).recipe.get("hidden")
        self._duty = Duty(registry, registry.champion(), 0.9, limits, memory)
        self._stack = stack
        self._clusters: dict[int, str] = {}

    def start(self) -> None:
        """Start Prefect's server, a cluster of one worker and a cluster of two."""
        api = free_port()
        os.environ |= {
            "PREFECT_HOME": str(self.place / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{api}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
        }
        self._run("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(api))
        self._clusters = {workers: self._start_cluster(workers) for workers in (1, 2)}
        from flows.background import answers  # noqa: PLC0415 - after the environment

        while not answers(os.environ["PREFECT_API_URL"]):
            time.sleep(0.2)

    def _start_cluster(self, workers: int) -> str:
        from distributed import Client  # noqa: PLC0415 - after the environment

        port = str(free_port())
        address = f"tcp://127.0.0.1:{port}"
        self._run("dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        for _ in range(workers):
            options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
            self._run("dask", "worker", address, *options)
        with Client(address, timeout=300, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(workers)
        return address

    def score(self, source: Path, engine: Engine, workers: int = 2, **bulk: int) -> Cost:
        """List and score a source, as the flow does, up to the last shard."""
        from prefect import flow  # noqa: PLC0415 - after the environment

        out = Path(tempfile.mkdtemp(dir=self.place))
        address = self._clusters[workers] if engine == "dask" else ""
        wanted = Bulk(engine=engine, address=address, workers=workers, **bulk)
        meter = Meter()
        # Measured within: Prefect ends a flow at its next whole second only.
        measured = flow(persist_result=False, validate_parameters=False)(list_and_score)
        images, shards = measured(source, out, self._duty, wanted, meter)
        written = sum(path.stat().st_size for path in out.glob("*-*.parquet"))
        shutil.rmtree(out)
        cost = Cost(images, shards, meter.seconds, meter.cpu, written)
        print(
            f"{source.name:<20}{engine:<6}{workers} {images:>10,} images {cost.seconds:8.1f} s "
            f"{cost.cpu:8.1f} CPU-s",
            flush=True,
        )
        return cost

    def _run(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(  # noqa: S603 - what is installed beside us
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=CHECKOUT,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process


def list_and_score(
    source: Path, out: Path, duty: Duty, bulk: Bulk, meter: Meter
) -> tuple[int, int]:
    """Do what the flow does up to its last shard; give the numbers of images and shards."""
    from flows.score import score_all  # noqa: PLC0415 - after the environment
    from tasks.snapshot import Snapshot  # noqa: PLC0415 - the same

    with measuring(meter):
        listing = out / "listing.parquet"
        images = keep_listing(listing, list_batches(str(source), NORMALISER)).rows
        snapshot = Snapshot(listing=listing, images=images)
        return images, len(score_all(snapshot, duty, bulk, None, out))


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Measure everything and write the table."""
    options = _parse()
    place = Path(tempfile.mkdtemp(prefix="digitline-bench-scaling-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        ground = Ground(place, stack)
        ground.start()
        pngs = _write_files(place / "pngs", islice(cycle(_contents()), options.pngs), "png")
        photographs = islice(cycle(draw_photographs(_contents(), 10_000)), options.jpegs)
        jpegs = _write_files(place / "jpegs", photographs, "jpg")
        rows = [_write_rows(place / f"rows-{count}.parquet", count) for count in options.rows]
        workers = _compare_workers(ground, pngs, jpegs, options)
        shard = _price_shards(ground, options)
        line = [ground.score(source, "local") for source in rows]
        tenth = _write_files(place / "tenth", islice(cycle(_contents()), options.pngs // 10), "png")
        files = [ground.score(source, "local") for source in (tenth, pngs)]
        size = rows[-1].stat().st_size / options.rows[-1]
    options.table.write_text(_table(ground.network, workers, shard, line, files, size, options))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--jpegs", type=int, default=16_000, help=f"{SIDE} x {SIDE} JPEG files")
    parser.add_argument("--pngs", type=int, default=100_000, help="28 x 28 PNG files")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="normalised rows"
    )
    parser.add_argument("--shards", type=int, default=64, help="shards of next to nothing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--table", type=Path, default=TABLE)
    return parser.parse_args()


def _compare_workers(
    ground: Ground, pngs: Path, jpegs: Path, options: argparse.Namespace
) -> dict[str, dict[int, list[Cost]]]:
    """Score the same folders with one worker and with two, in turn, after a first time for each."""
    for workers in (1, 2):  # processes load their code
        ground.score(pngs, "dask", workers)
    found: dict[str, dict[int, list[Cost]]] = {}
    for name, folder in (
        (f"{options.pngs:,} PNG files, 28 x 28", pngs),
        (f"{options.jpegs:,} JPEG files, {SIDE} x {SIDE}", jpegs),
    ):
        costs = found.setdefault(name, {1: [], 2: []})
        for _ in range(options.repeats):
            for workers in costs:
                costs[workers].append(ground.score(folder, "dask", workers))
    return found


def _price_shards(ground: Ground, options: argparse.Namespace) -> dict[str, list[Cost]]:
    """Score next to nothing in many shards and in one, on either engine."""
    found: dict[str, list[Cost]] = {}
    source = _write_rows(ground.place / "tiny.parquet", options.shards * TINY)
    for turn in range(options.repeats + 1):
        for engine in ENGINES:
            for rows in (TINY, options.shards * TINY):
                cost = ground.score(source, engine, shard_rows=rows)
                if turn:  # the first time, processes load their code
                    found.setdefault(f"{engine} {cost.shards}", []).append(cost)
    return found


def _contents() -> list[bytes]:
    path = CHECKOUT / "data" / "mnist" / "train.parquet"
    batch = next(pq.ParquetFile(path).iter_batches(10_000, columns=["image"]))
    contents: list[bytes] = batch.column(0).field("bytes").to_pylist()
    return contents


def _write_files(folder: Path, contents: Iterable[bytes], suffix: str) -> Path:
    for number, content in enumerate(contents):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _write_rows(path: Path, count: int) -> Path:
    px = np.stack([decode(content, Limits()) for content in _contents()])

    def batches() -> Iterator[object]:
        for start in range(0, count, len(px)):
            some = px[: min(len(px), count - start)]
            ids = [(start + row).to_bytes(32, "little") for row in range(len(some))]
            yield normalised_batch(ids, np.zeros(len(some), np.int8), some, NORMALISER)

    write_rows(path, normalised_schema(NORMALISER), batches())
    return path


def _middle(costs: Sequence[Cost], what: str) -> float:
    middle: float = statistics.median(getattr(cost, what) for cost in costs)
    return middle


def _table(
    network: object,
    workers: dict[str, dict[int, list[Cost]]],
    shard: dict[str, list[Cost]],
    line: list[Cost],
    files: list[Cost],
    size: float,
    options: argparse.Namespace,
) -> str:
    return "\n".join(
        [
            HEAD.format(options.repeats, os.cpu_count(), network, os.getloadavg()[0]),
            WORKERS,
            *(_tell_workers(folder, costs) for folder, costs in workers.items()),
            "\nGoal: 1.8 times.\n",
            SHARDS.format(options.shards * TINY, options.shards),
            *(
                f"| {engine} | {1000 * _each(shard, engine, 'seconds', options.shards):.0f} "
                f"| {1000 * _each(shard, engine, 'cpu', options.shards):.0f} |"
                for engine in ENGINES
            ),
            LINE,
            *_line("normalised rows", line),
            *_line("PNG files", files),
            *_paper(line, files, size, _each(shard, "dask", "cpu", options.shards)),
            "",
        ]
    )


def _tell_workers(folder: str, costs: dict[int, list[Cost]]) -> str:
    ratios = [one.seconds / two.seconds for one, two in zip(costs[1], costs[2], strict=True)]
    seconds, cpu = (
        [_middle(costs[count], what) for count in (1, 2)] for what in ("seconds", "cpu")
    )
    turns = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    cells = [f"{cell:.1f}" for cell in (*seconds, *cpu)]
    return f"| {' | '.join([folder, *cells])} | {statistics.median(ratios):.2f} | {turns} |"


def _each(shard: dict[str, list[Cost]], engine: str, what: str, shards: int) -> float:
    many, one = (_middle(shard[f"{engine} {count}"], what) for count in (shards, 1))
    return (many - one) / (shards - 1)


def _line(what: str, costs: list[Cost]) -> Iterator[str]:
    before = None
    for cost in costs:
        each = "" if before is None else f"{1000 * _slope([before, cost]):.3f}"
        yield (
            f"| {cost.images:,} {what} | {cost.shards} | {cost.seconds:.1f} | {cost.cpu:.1f} "
            f"| {each} |"
        )
        before = cost


def _slope(costs: list[Cost]) -> float:
    """CPU-seconds an image, without what every run costs."""
    first, last = costs[0], costs[-1]
    return (last.cpu - first.cpu) / (last.images - first.images)


def _paper(line: list[Cost], files: list[Cost], size: float, shard: float) -> Iterator[str]:
    """Compute a billion from CPU-seconds a `shard` and an image; `size` are bytes of a row."""
    row, png = _slope(line), _slope(files)
    shards = -(-BILLION // Bulk().size_shards(BILLION))
    written = line[-1].written / line[-1].images
    writes = max(2 * shards, BILLION * written / RANGE)
    yield PAPER.format(
        row=1000 * row,
        png=1000 * png,
        written=written,
        size=size,
        shards=shards,
        shard=shard,
        core=CORE_HOUR,
        get=GETS,
        put=PUTS,
    )
    for what, each, reads in (
        ("normalised rows", row, BILLION * size / RANGE),
        ("PNG files, an object each", png, float(BILLION)),
    ):
        hours = (each * BILLION + shards * shard) / 3600
        money = hours * CORE_HOUR + reads / 1000 * GETS + writes / 1000 * PUTS
        spread = " | ".join(f"{hours / min(workers, shards):,.1f}" for workers in WORKERS_ON_PAPER)
        yield (
            f"| {what} | {hours:,.0f} | {spread} | {reads + writes:,.0f} "
            f"| {money * 1e6 / BILLION:.4f} |"
        )
    yield REST.format(size / row / 1e6)


if __name__ == "__main__":
    main()
