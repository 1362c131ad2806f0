r"""Measure bulk scoring: against a loop, the bare decoder, bare `predict_proba`, other tools.

    .venv/bin/python bench/scoring.py --others /tmp/others
    .venv/bin/python bench/scoring.py --images 2000 --rows 20000 --jpegs 40 --repeats 1 \
        --table /tmp/scoring.md

`--others` names a virtual environment with torch, Dask and Pillow, to compare with; it is made
where there is none. Without it these two are left out.

Every measurement runs in a process of its own, one after the other, each several times in turn;
the table has medians. The champion of the home (DIGITLINE_HOME) scores. What is called ours is
listing, reading, scoring and committing the shards, without Prefect; `flow` is the whole command,
whose report is timed apart. Peak memory is the sum over all processes, shared pages counted once.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from digitline.home import CHECKOUT
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits, decode
from digitline.pixels.normalise import NORMALISER
from digitline.progress import showing
from digitline.rows import normalised_batch, normalised_schema, read_batches, write_rows
from digitline.scoring.crew import Crew, warm_up
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from digitline.settings import load_settings
from digitline.sources.listing import keep_listing, list_batches

TABLE = Path(__file__).with_suffix(".md")
WORK = Path(tempfile.gettempdir()) / "digitline-bench-scoring"
# Together they slow OpenBLAS down; alone, one contradicts the other.
UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS")
OTHERS = ("torch==2.13.0", "dask[dataframe]==2026.8.0", "pillow", "numpy")
SIDE = 1000
TORCH = """
import io, sys
from pathlib import Path
import numpy as np, torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
class Folder(Dataset):
    def __init__(self, root): self.files = sorted(Path(root).rglob("*.png"))
    def __len__(self): return len(self.files)
    def __getitem__(self, i):
        with Image.open(self.files[i]) as image:
            return torch.from_numpy(np.array(image.resize((28, 28)), np.float32).ravel() / 255)
if __name__ == "__main__":
    weights = np.load(sys.argv[2]); n = len(weights.files) // 2; layers = []
    for k in range(n):
        w, b = torch.from_numpy(weights[f"w{k}"]), torch.from_numpy(weights[f"b{k}"])
        layers.append((w, b))
    done = 0
    with torch.no_grad():
        for x in DataLoader(Folder(sys.argv[1]), batch_size=256, num_workers=2):
            for k, (w, b) in enumerate(layers):
                x = x @ w + b
                if k < n - 1: x = torch.relu(x)
            done += len(torch.softmax(x, 1))
"""


DASK = """
import sys
from pathlib import Path
import dask, numpy as np, pandas as pd, dask.dataframe as dd
from PIL import Image
def score(part, weights):
    if not len(part): return pd.Series([], dtype="int64")
    x = np.stack([np.asarray(Image.open(p).resize((28, 28)), np.float32).ravel() for p in part])
    x /= np.float32(255)
    for k, (w, b) in enumerate(weights):
        x = x @ w + b
        if k < len(weights) - 1: x = np.maximum(x, 0)
    return pd.Series(x.argmax(1))
if __name__ == "__main__":
    arrays = np.load(sys.argv[2]); n = len(arrays.files) // 2
    weights = [(arrays[f"w{k}"], arrays[f"b{k}"]) for k in range(n)]
    files = pd.Series(sorted(map(str, Path(sys.argv[1]).rglob("*.png"))))
    frame = dd.from_pandas(files, npartitions=32)
    done = frame.map_partitions(score, weights, meta=(None, "int64"))
    assert len(done.compute(scheduler="processes", num_workers=2)) == len(files)
"""


@dataclass(frozen=True)
class Measurement:
    """One run: how many images in how many seconds, and the peak of memory.

    `apart` are seconds among them that are told apart: those of the report.
    """

    what: str
    images: int
    seconds: float
    peak_mb: float
    apart: float = 0.0

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def main() -> None:
    """Measure what is asked for and write the table."""
    options = _parse()
    if options.one:
        what, source = options.one
        print(json.dumps(asdict(_measure(what, source, options))))
        return
    for name in UNWANTED:
        os.environ.pop(name, None)
    _prepare(options)
    found: dict[str, list[Measurement]] = {}
    for _ in range(options.repeats):
        for what, source in _plan(options):
            one = _run_child(what, source, options)
            found.setdefault(f"{what} {source}", []).append(one)
            print(f"{what:<14}{source:<14}{one.rate:12,.0f} /s {one.peak_mb:8,.0f} MB", flush=True)
    options.table.write_text(_table(found, options))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=100_000, help="28 x 28 PNG files")
    parser.add_argument("--rows", type=int, default=1_000_000, help="normalised rows")
    parser.add_argument("--jpegs", type=int, default=1000, help="1000 x 1000 JPEG files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--others", type=Path, help="environment with torch and Dask, made if none")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    yield from (("loop", "pngs"), ("pandas", "pngs"), ("decode", "pngs"), ("ours", "pngs"))
    if options.others:
        yield from (("torch", "pngs"), ("dask", "pngs"))
    yield from (("plain", "jpegs"), ("decode", "jpegs"), ("ours", "jpegs"))
    yield from (("predict", "tenth"), ("ours", "tenth"), ("ours", "rows"))
    yield from (("read", "one"), ("flow", "one"), ("flow", "rows"))


def _run_child(what: str, source: str, options: argparse.Namespace) -> Measurement:
    command = [sys.executable, __file__, "--one", what, source]
    for name in ("images", "rows", "jpegs", "workers", "others"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    return Measurement(**json.loads(done.stdout))


def _measure(what: str, source: str, options: argparse.Namespace) -> Measurement:
    place = WORK / (f"{source}.parquet" if source in {"rows", "tenth"} else source)
    if what == "loop":  # as slow as it is, a part of it tells its rate
        place = WORK / "some-pngs"
    count = _count(place)
    run: dict[str, Callable[[Path, argparse.Namespace], float | tuple[float, float]]] = {
        "loop": _loop,
        "pandas": _pandas,
        "torch": _torch,
        "dask": _dask,
        "read": _read,
        "plain": _plain,
        "decode": _decode,
        "predict": _predict,
        "ours": _ours,
        "flow": _flow,
    }
    with _watching() as peak:
        seconds = run[what](place, options)
    whole, apart = seconds if isinstance(seconds, tuple) else (seconds, 0.0)
    return Measurement(f"{what} {source}", count, whole, max(peak), apart)


def _count(place: Path) -> int:
    if place.is_dir():
        return sum(1 for path in place.rglob("*.*") if path.is_file())
    return int(pq.read_metadata(place).num_rows)


def _model() -> Model:
    places = load_settings().places
    return Registry(places.models, places.keys).load()


def _loop(place: Path, _: argparse.Namespace) -> float:
    estimator = _model().estimator
    began = time.perf_counter()
    for path in sorted(place.rglob("*.png")):
        with Image.open(path) as image:
            digit = np.asarray(image.resize((28, 28)), np.float32) / np.float32(255)
        estimator.predict(digit.reshape(1, -1))
    return time.perf_counter() - began


def _pandas(place: Path, _: argparse.Namespace) -> float:
    estimator = _model().estimator
    began = time.perf_counter()
    frame = pd.DataFrame({"path": sorted(place.rglob("*.png"))})
    ink = np.stack(list(frame["path"].map(_open_small))).astype(np.float32) / np.float32(255)
    frame["digit"] = estimator.predict(ink)
    return time.perf_counter() - began


def _open_small(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.resize((28, 28)), np.uint8).ravel()


def _torch(place: Path, options: argparse.Namespace) -> float:
    return _other("with_torch", TORCH, place, options)


def _dask(place: Path, options: argparse.Namespace) -> float:
    return _other("with_dask", DASK, place, options)


def _other(name: str, text: str, place: Path, options: argparse.Namespace) -> float:
    script, weights = WORK / f"{name}.py", WORK / "weights.npz"
    script.write_text(text)
    network = _model().estimator
    while not hasattr(network, "coefs_"):  # inside its calibration
        network = getattr(network, "estimator", None) or network.calibrated_classifiers_[0]
    arrays = {f"w{k}": w.astype(np.float32) for k, w in enumerate(network.coefs_)}
    arrays |= {f"b{k}": b.astype(np.float32) for k, b in enumerate(network.intercepts_)}
    np.savez(weights, **arrays)
    began = time.perf_counter()
    python = options.others / "bin" / "python"
    subprocess.run([python, script, place, weights], check=True)  # noqa: S603 - our script
    return time.perf_counter() - began


def _read(place: Path, _: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "flows.command_line", "read", "--threshold", "0.9"]
    began = time.perf_counter()
    command += map(str, place.rglob("*.png"))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=CHECKOUT)  # noqa: S603 - ours
    return time.perf_counter() - began


def _plain(place: Path, options: argparse.Namespace) -> float:
    return _in_processes(_plain_files, place, options.workers)


def _decode(place: Path, options: argparse.Namespace) -> float:
    return _in_processes(_decode_files, place, options.workers)


def _in_processes(work: Callable[[list[Path]], int], place: Path, workers: int) -> float:
    """Time the work on all files in chunks, in processes that are up before the clock starts."""
    files = sorted(path for path in place.rglob("*.*") if path.is_file())
    chunks = [files[start : start + 256] for start in range(0, len(files), 256)]
    if len(chunks) < 2 * workers:
        chunks = [files[start::8] for start in range(8)]
    with ProcessPoolExecutor(workers, get_context("fork"), cv2.setNumThreads, (1,)) as pool:
        list(pool.map(work, [[]] * workers))
        began = time.perf_counter()
        list(pool.map(work, chunks))
        return time.perf_counter() - began


def _plain_files(files: list[Path]) -> int:
    for path in files:
        with Image.open(path) as image:
            image.load()
    return len(files)


def _decode_files(files: list[Path]) -> int:
    limits = Limits()
    for path in files:
        decode(path.read_bytes(), limits)
    return len(files)


def _predict(place: Path, _: argparse.Namespace) -> float:
    """Time bare `predict_proba` on rows in memory, in the batches that suit it best."""
    estimator = _model().estimator
    table = pq.read_table(place, columns=["px"])["px"].combine_chunks()
    ink = np.frombuffer(table.buffers()[1], np.uint8).reshape(-1, 784) / np.float32(255)
    times = []
    for size in (32_768, 4096):
        began = time.perf_counter()
        for start in range(0, len(ink), size):
            estimator.predict_proba(ink[start : start + size])
        times.append(time.perf_counter() - began)
    return min(times)


def _ours(place: Path, options: argparse.Namespace) -> float:
    settings = load_settings(bulk={"workers": options.workers})
    places, bulk = settings.places, settings.bulk
    registry = Registry(places.models, places.keys)
    duty = Duty(registry, registry.champion(), 0.9, settings.decoding, bulk.worker_memory)
    out = Path(tempfile.mkdtemp(dir=WORK))
    try:
        began = time.perf_counter()
        warm_up()
        listing = out / "listing.parquet"
        count = keep_listing(listing, list_batches(str(place), NORMALISER)).rows
        size = bulk.size_shards(count)
        tasks = [
            Task(listing, start, min(start + size, count), number, out)
            for number, start in enumerate(range(0, count, size))
        ]
        with (
            showing("score", count) as advance,
            Crew(duty, bulk.processes, bulk.patience, advance) as crew,
            ThreadPoolExecutor(bulk.processes) as threads,
        ):
            scored = sum(shard.rows for shard in threads.map(crew.score, tasks))
            seconds = time.perf_counter() - began
        assert scored == count
        return seconds
    finally:
        shutil.rmtree(out)


def _flow(place: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Time the command, and apart from it what lies between counting and the report's end."""
    command = [sys.executable, "-m", "flows.command_line", "score", str(place)]
    command += ["--workers", str(options.workers), "--threshold", "0.9"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    began, at = time.perf_counter(), {"collect": 0.0, "report": 0.0}
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, cwd=CHECKOUT, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            at.update({word: time.perf_counter() for word in at if line.split()[:1] == [word]})
    assert process.returncode == 0
    return time.perf_counter() - began, at["report"] - at["collect"]


@contextmanager
def _watching() -> Iterator[list[float]]:
    """Watch how much memory this process and those it starts take, in MB."""
    over, peaks = threading.Event(), [0.0]

    def watch() -> None:
        while not over.wait(0.1):
            peaks.append(sum(map(_share, _family(os.getpid()))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _family(root: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{root}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [root, *(pid for child in children for pid in _family(int(child)))]


def _share(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _prepare(options: argparse.Namespace) -> None:
    """Write the files to score, unless an earlier run has."""
    if options.others and not options.others.exists():
        subprocess.run([sys.executable, "-m", "venv", options.others], check=True)  # noqa: S603 - Python
        python = options.others / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *OTHERS], check=True)  # noqa: S603 - pip
    stamp = WORK / "made.json"
    wanted = json.dumps([options.images, options.rows, options.jpegs, NORMALISER])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(WORK, ignore_errors=True)
    contents = _mnist()
    _write_files(WORK / "pngs", islice(cycle(contents), options.images), "png")
    _write_files(WORK / "some-pngs", contents[: min(options.images, 5000)], "png")
    _write_files(WORK / "one", contents[:1], "png")
    _write_files(WORK / "jpegs", _photographs(contents, options.jpegs), "jpg")
    px = np.stack([decode(content, Limits()) for content in contents[: min(10_000, options.rows)]])
    _write_rows(WORK / "rows.parquet", px, options.rows)
    _write_rows(WORK / "tenth.parquet", px, options.rows // 10)
    stamp.write_text(wanted)


def _mnist() -> list[bytes]:
    batches = read_batches(CHECKOUT / "data" / "mnist" / "train.parquet", ["image"])
    return [content for batch in batches for content in batch.column(0).field("bytes").to_pylist()]


def _write_files(folder: Path, contents: Iterator[bytes] | list[bytes], suffix: str) -> None:
    for number, content in enumerate(contents):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _photographs(contents: list[bytes], count: int) -> Iterator[bytes]:
    """Draw digits large, dark on a paper with some grain, as JPEG."""
    grain = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE))
    for content in contents[:count]:
        digit = cv2.resize(decode(content, Limits()), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        page = (215 + grain - 0.7 * digit).clip(0, 255).astype(np.uint8)
        colour = cv2.merge([page, page, cv2.subtract(page, np.full_like(page, 9))])
        yield bytes(cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, 88])[1])


def _write_rows(path: Path, px: NDArray[np.uint8], count: int) -> None:
    def batches() -> Iterator[object]:
        for start in range(0, count, len(px)):
            some = px[: min(len(px), count - start)]
            ids = [(start + row).to_bytes(32, "little") for row in range(len(some))]
            yield normalised_batch(ids, np.zeros(len(some), np.int8), some, NORMALISER)

    write_rows(path, normalised_schema(NORMALISER), batches())


def _table(found: dict[str, list[Measurement]], options: argparse.Namespace) -> str:
    rate = {name: statistics.median(one.rate for one in runs) for name, runs in found.items()}
    peak = {name: statistics.median(one.peak_mb for one in runs) for name, runs in found.items()}
    lines = ["| measured | images | images/s | peak MB |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {name} | {runs[0].images:,} | {rate[name]:,.0f} | {peak[name]:,.0f} |"
        for name, runs in found.items()
    ]
    ratios = [
        ("PNG folder against the loop", "ours pngs", "loop pngs", "10"),
        ("PNG folder against reading and decoding", "ours pngs", "decode pngs", "0.5"),
        ("PNG folder against pandas and scikit-learn", "ours pngs", "pandas pngs", "1"),
        ("PNG folder against a torch DataLoader", "ours pngs", "torch pngs", "1"),
        ("PNG folder against Dask's `map_partitions`", "ours pngs", "dask pngs", "1"),
        ("normalised rows against `predict_proba`", "ours rows", "predict tenth", "0.8"),
        ("JPEG against decoding in full", "ours jpegs", "plain jpegs", "0.8"),
        ("JPEG against scaled decoding", "ours jpegs", "decode jpegs", ""),
    ]
    lines += ["", "| ratio of medians | reached | goal |", "| --- | ---: | ---: |"]
    lines += [
        f"| {words} | {rate[one] / rate[other]:.2f} | {goal} |"
        for words, one, other, goal in ratios
        if one in rate and other in rate
    ]
    growth = peak["ours rows"] / peak["ours tenth"]
    lines += [f"| peak memory, all rows against a tenth | {growth:.2f} | at most 1.2 |"]
    start, read = (_seconds(found[name]) for name in ("flow one", "read one"))
    whole, report = _seconds(found["flow rows"]), _seconds(found["flow rows"], apart=True)
    beyond = (whole - start - report - _seconds(found["ours rows"])) / whole
    lines += [
        f"| `digitline read` on one image | {read:.2f} s | under 1 s |",
        f"| `digitline score` on one image: Prefect's start, mostly | {start:.1f} s | |",
        f"| `digitline score` on all rows | {whole:.1f} s | |",
        f"| of these, drift and report | {report:.1f} s | |",
        f"| orchestration beyond start, scoring and report, share of all | {beyond:.1%} | 5% |",
    ]
    head = (
        f"# Bulk scoring\n\nMedians of {options.repeats} runs, {options.workers} processes, "
        f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}.\n"
    )
    return "\n".join([head, *lines, ""])


def _seconds(runs: list[Measurement], *, apart: bool = False) -> float:
    return statistics.median(one.apart if apart else one.seconds for one in runs)


if __name__ == "__main__":
    main()
