r"""Measure bulk scoring: against a loop, bare decoding, bare `predict_proba`, other tools.

    .venv/bin/python bench/scoring.py --others /tmp/others
    .venv/bin/python bench/scoring.py --images 2000 --rows 20000 --jpegs 40 --repeats 1 \
        --table /tmp/scoring.md

`--others` names a virtual environment with torch, Dask and Pillow, to compare with; it is made
where there is none. Without it these two are left out.

Every measurement runs in a process of its own, one after the other, all of them in turn several
times; the table has medians. The champion of the home (DIGITLINE_HOME) scores. What is called ours
is listing, reading, scoring and committing the shards, without Prefect; `flow` is the whole
command. Clocks start when libraries are loaded and processes are up, everybody's but the command's.
Processor seconds and memory are those of all processes of a measurement, shared pages counted once;
memory is looked at in a round of its own, the first, for to add up its pages holds a process up.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter
from sklearn.neural_network import MLPClassifier

from digitline.home import CHECKOUT
from digitline.learning.network import new_model
from digitline.learning.recipe import Recipe
from digitline.models.bundle import Model
from digitline.models.reading import network_of, seen_by
from digitline.models.registry import Registry
from digitline.pixels.aspect import PLAIN, to_ink
from digitline.pixels.decode import DETAIL, Limits, decode
from digitline.pixels.normalise import NORMALISER
from digitline.rows import normalised_batch, normalised_schema, read_batches, write_rows
from digitline.scoring.crew import Crew
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
HEAD = """# Bulk scoring, measured

Written by `bench/scoring.py`; its docstring says how to measure again. Medians of {rounds} rounds,
{workers} processes, {cores} cores, a network of {network}; load at the end {load[0]:.1f}. *Bare*
reads each file and decodes it in full with Pillow, *scaled* lets the decoder leave out what *ours*
leaves out. *Others* is the share of the machine that other processes took meanwhile: where it is
not near nothing, the clock tells little, and CPU-seconds tell more.
"""
RATIOS = (
    ("PNG folder over the loop", "ours pngs", "loop pngs", ">= 10"),
    ("PNG folder over reading and decoding", "ours pngs", "bare pngs", ">= 0.5"),
    ("PNG folder over pandas and scikit-learn", "ours pngs", "pandas pngs", "> 1"),
    ("PNG folder over a torch DataLoader", "ours pngs", "torch pngs", "> 1"),
    ("PNG folder over Dask's `map_partitions`", "ours pngs", "dask pngs", "> 1"),
    ("rows over `predict_proba`", "ours rows", "predict tenth", ">= 0.8"),
    ("JPEG folder over reading and decoding", "ours jpegs", "bare jpegs", ">= 0.8"),
    ("JPEG folder over scaled decoding", "ours jpegs", "scaled jpegs", ""),
)
# The first word of the line with which a phase of `digitline score` ends.
ENDS = {"score": "start", "collect": "scoring", "report": "report"}
PHASES = {
    "start": "start, Prefect's mostly",
    "scoring": "listing and scoring",
    "report": "drift and report",
    "end": "artifacts, and Prefect's end",
}
TORCH = """
import json, resource, sys, time
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
    weights = np.load(sys.argv[2]); n = len(weights.files) // 2
    layers = [[torch.from_numpy(weights[f"{kind}{k}"]) for kind in "wb"] for k in range(n)]
    began, before, done = time.perf_counter(), time.process_time(), 0
    with torch.no_grad():
        for x in DataLoader(Folder(sys.argv[1]), batch_size=256, num_workers=2):
            for k, (w, b) in enumerate(layers):
                x = x @ w + b
                if k < n - 1: x = torch.relu(x)
            done += len(torch.softmax(x, 1))
    assert done == len(Folder(sys.argv[1]))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() - before
    print(json.dumps([time.perf_counter() - began, own + children.ru_utime + children.ru_stime]))
"""
DASK = """
import json, resource, sys, time
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
    began, before = time.perf_counter(), time.process_time()
    files = pd.Series(sorted(map(str, Path(sys.argv[1]).rglob("*.png"))))
    frame = dd.from_pandas(files, npartitions=32)
    done = frame.map_partitions(score, weights, meta=(None, "int64"))
    assert len(done.compute(scheduler="processes", num_workers=2)) == len(files)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() - before
    print(json.dumps([time.perf_counter() - began, own + children.ru_utime + children.ru_stime]))
"""


@dataclass(frozen=True)
class Spent:
    """Seconds that passed, and those that processors worked for us meanwhile."""

    seconds: float
    cpu_seconds: float

    def __sub__(self, other: "Spent") -> "Spent":
        """Give what was spent since."""
        return Spent(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)


@dataclass(frozen=True)
class Measurement:
    """One run: how many images, what was spent on them, and the peak of memory.

    `phases` are those of a whole command, `others` the share of the machine that other processes
    took meanwhile.
    """

    what: str
    images: int
    spent: Spent
    phases: dict[str, Spent]
    peak_mb: float
    others: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.spent.seconds

    @property
    def cpu_rate(self) -> float:
        """Images a second of processor time."""
        return self.images / self.spent.cpu_seconds


class Watch:
    """Watches this process and those it starts: their processor seconds, their peak of memory."""

    def __init__(self, *, memory: bool) -> None:
        """Begin to watch, their memory if that is wanted."""
        self._memory = memory
        self.peak_mb = 0.0
        self._watching = 0.0
        self._worked: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def now(self) -> Spent:
        """Say what has been spent so far."""
        self._look()
        return Spent(time.perf_counter(), sum(self._worked.values()) - self._watching)

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._over.wait(0.25 if self._memory else 0.5):
            self._look()
            if self._memory:
                self.peak_mb = max(self.peak_mb, sum(map(_share, _family(os.getpid()))))
            self._watching = time.thread_time()  # which is not the work that is watched

    def _look(self) -> None:
        self._worked.update({pid: _worked(pid) for pid in _family(os.getpid())})


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
    peaks = {
        (what, source): _run_child(what, source, options, memory=True).peak_mb
        for what, source in _plan(options)
    }
    for done in range(1, options.repeats + 1):
        for what, source in _plan(options):
            one = _run_child(what, source, options, memory=False)
            one = replace(one, peak_mb=peaks[what, source])
            found.setdefault(one.what, []).append(one)
            print(
                f"{what:<8}{source:<8}{one.rate:10,.0f} /s{one.cpu_rate:10,.0f} /CPU-s"
                f"{one.peak_mb:7,.0f} MB, others {one.others:.0%}",
                flush=True,
            )
        options.table.write_text(_table(found, done, options))


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
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    yield from (("loop", "pngs"), ("pandas", "pngs"), ("bare", "pngs"), ("ours", "pngs"))
    if options.others:
        yield from (("torch", "pngs"), ("dask", "pngs"))
    yield from (("bare", "jpegs"), ("scaled", "jpegs"), ("ours", "jpegs"))
    yield from (("predict", "tenth"), ("ours", "tenth"), ("ours", "rows"))
    yield from (("read", "one"), ("flow", "one"), ("flow", "rows"))


def _run_child(what: str, source: str, options: argparse.Namespace, *, memory: bool) -> Measurement:
    # As a script we would be loaded, with our libraries, by each process that a scoring starts.
    program = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; import scoring"
    command = [sys.executable, "-c", f"{program}; scoring.main()", "--one", what, source]
    for name in ("images", "rows", "jpegs", "workers", "others"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    command += ["--memory"] if memory else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    return TypeAdapter(Measurement).validate_json(done.stdout)


def _measure(what: str, source: str, options: argparse.Namespace) -> Measurement:
    place = WORK / (f"{source}.parquet" if source in {"rows", "tenth"} else source)
    if what == "loop":  # as slow as it is, a part of it tells its rate
        place = WORK / "some-pngs"
    images = _count(place)
    run: dict[str, Callable[[Path, argparse.Namespace, Watch], Spent | dict[str, Spent]]] = {
        "loop": _loop,
        "pandas": _pandas,
        "torch": _torch,
        "dask": _dask,
        "read": _read,
        "bare": _bare,
        "scaled": _scaled,
        "predict": _predict,
        "ours": _ours,
        "flow": _flow,
    }
    machine, watch = _machine_seconds(), Watch(memory=options.memory)
    before = watch.now()
    spent = run[what](place, options, watch)
    whole = watch.now() - before
    watch.stop()
    others = (_machine_seconds() - machine - whole.cpu_seconds) / whole.seconds
    phases = spent if isinstance(spent, dict) else {}
    return Measurement(
        what=f"{what} {source}",
        images=images,
        spent=whole if isinstance(spent, dict) else spent,
        phases=phases,
        peak_mb=watch.peak_mb,
        others=max(0.0, others / (os.cpu_count() or 1)),
    )


def _count(place: Path) -> int:
    if place.is_dir():
        return sum(1 for path in place.rglob("*.*") if path.is_file())
    return int(pq.read_metadata(place).num_rows)


def _model() -> Model:
    places = load_settings().places
    return Registry(places.models, places.keys).load()


def _loop(place: Path, _: argparse.Namespace, watch: Watch) -> Spent:
    estimator = _model().estimator
    aspects = seen_by(estimator)
    began = watch.now()
    for path in sorted(place.rglob("*.png")):
        estimator.predict(to_ink(_open_small(path)[np.newaxis], aspects))
    return watch.now() - began


def _network_of_pixels() -> MLPClassifier:
    """Give other tools a network of as many units as the champion's, which sees pixels alone."""
    network = network_of(_model().estimator)
    if seen_by(network) == PLAIN:
        return network
    hidden = tuple(len(biases) for biases in network.intercepts_[:-1])
    return new_model(Recipe(hidden=hidden, epochs=1), seed=0)


def _pandas(place: Path, _: argparse.Namespace, watch: Watch) -> Spent:
    estimator = _model().estimator
    aspects = seen_by(estimator)
    began = watch.now()
    frame = pd.DataFrame({"path": sorted(place.rglob("*.png"))})
    px = np.stack(list(frame["path"].map(_open_small)))
    frame["digit"] = estimator.predict(to_ink(px, aspects))
    return watch.now() - began


def _open_small(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.resize((28, 28)), np.uint8).ravel()


def _torch(place: Path, options: argparse.Namespace, _: Watch) -> Spent:
    return _other("with_torch", TORCH, place, options)


def _dask(place: Path, options: argparse.Namespace, _: Watch) -> Spent:
    return _other("with_dask", DASK, place, options)


def _other(name: str, text: str, place: Path, options: argparse.Namespace) -> Spent:
    script, weights = WORK / f"{name}.py", WORK / "weights.npz"
    script.write_text(text)
    network = _network_of_pixels()
    arrays = {f"w{k}": w.astype(np.float32) for k, w in enumerate(network.coefs_)}
    arrays |= {f"b{k}": b.astype(np.float32) for k, b in enumerate(network.intercepts_)}
    np.savez(weights, **arrays)
    command = [options.others / "bin" / "python", script, place, weights]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our script
    return Spent(*json.loads(done.stdout))


def _read(place: Path, _: argparse.Namespace, watch: Watch) -> Spent:
    command = [sys.executable, "-m", "flows.command_line", "read", "--threshold", "0.9"]
    command += map(str, place.rglob("*.png"))
    began, before = watch.now(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=CHECKOUT)  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # it may end between two looks
    worked = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Spent((watch.now() - began).seconds, worked)


def _bare(place: Path, options: argparse.Namespace, watch: Watch) -> Spent:
    return _in_processes(_read_and_decode, place, options.workers, watch)


def _scaled(place: Path, options: argparse.Namespace, watch: Watch) -> Spent:
    return _in_processes(_decode_scaled, place, options.workers, watch)


def _in_processes(
    work: Callable[[list[Path]], int], place: Path, workers: int, watch: Watch
) -> Spent:
    """Time the work on all files in chunks, in processes that are up before the clock starts."""
    files = sorted(path for path in place.rglob("*.*") if path.is_file())
    chunks = [files[start : start + 256] for start in range(0, len(files), 256)]
    if len(chunks) < 8 * workers:
        chunks = [files[start :: 8 * workers] for start in range(8 * workers)]
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        list(pool.map(work, [[]] * workers))
        began = watch.now()
        list(pool.map(work, chunks))
        return watch.now() - began


def _read_and_decode(files: list[Path]) -> int:
    for path in files:
        with Image.open(BytesIO(path.read_bytes())) as image:
            np.asarray(image)
    return len(files)


def _decode_scaled(files: list[Path]) -> int:
    for path in files:
        with Image.open(BytesIO(path.read_bytes())) as image:
            image.draft(None, (DETAIL, DETAIL))
            np.asarray(image)
    return len(files)


def _predict(place: Path, _: argparse.Namespace, watch: Watch) -> Spent:
    """Time bare `predict_proba` on rows in memory, in the batches that suit it best."""
    estimator = _model().estimator
    aspects = seen_by(estimator)
    table = pq.read_table(place, columns=["px"])["px"].combine_chunks()
    px = np.frombuffer(table.buffers()[1], np.uint8).reshape(-1, 784)
    times = []
    for size in (32_768, 4096):
        began = watch.now()
        for start in range(0, len(px), size):
            estimator.predict_proba(to_ink(px[start : start + size], aspects))
        times.append(watch.now() - began)
    return min(times, key=lambda spent: spent.cpu_seconds)


def _ours(place: Path, options: argparse.Namespace, watch: Watch) -> Spent:
    settings = load_settings(bulk={"workers": options.workers})
    places, bulk = settings.places, settings.bulk
    registry = Registry(places.models, places.keys)
    duty = Duty(registry, registry.champion(), 0.9, settings.decoding, bulk.worker_memory)
    out = Path(tempfile.mkdtemp(dir=WORK))
    try:
        with (
            Crew(duty, bulk.processes, bulk.patience, lambda _images, _words: None) as crew,
            ThreadPoolExecutor(bulk.processes) as threads,
        ):
            first = out / "first.parquet"
            keep_listing(first, list_batches(str(WORK / "one"), NORMALISER))
            for number in range(bulk.processes):  # each process is up before the clock starts
                crew.score(Task(first, 0, 1, number, out))
            began = watch.now()
            listing = out / "listing.parquet"
            count = keep_listing(listing, list_batches(str(place), NORMALISER)).rows
            size = bulk.size_shards(count)
            tasks = [
                Task(listing, start, min(start + size, count), number, out)
                for number, start in enumerate(range(0, count, size))
            ]
            scored = sum(shard.rows for shard in threads.map(crew.score, tasks))
            spent = watch.now() - began
        assert scored == count
        return spent
    finally:
        shutil.rmtree(out)


def _flow(place: Path, options: argparse.Namespace, watch: Watch) -> dict[str, Spent]:
    """Time the command: its phases end where it names the run, has counted, and has reported."""
    command = [sys.executable, "-m", "flows.command_line", "score", str(place)]
    command += ["--workers", str(options.workers), "--threshold", "0.9"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    last, phases, ends = watch.now(), {}, dict(ENDS)
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, cwd=CHECKOUT, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            word = line.strip().partition(" ")[0].partition("-")[0]
            if word in ends:
                now = watch.now()
                phases[ends.pop(word)] = now - last
                last = now
    assert process.returncode == 0
    return {**phases, "end": watch.now() - last}


def _family(root: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{root}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [root, *(pid for child in children for pid in _family(int(child)))]


def _worked(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, and is remembered as it was
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _share(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _machine_seconds() -> float:
    """Give the processor seconds that the whole machine has worked, idle and waiting left out."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupt, soft, _stolen = ticks
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


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
    _write_files(WORK / "some-pngs", contents[: min(options.images, 300)], "png")
    _write_files(WORK / "one", contents[:1], "png")
    _write_files(WORK / "jpegs", draw_photographs(contents, options.jpegs), "jpg")
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


def draw_photographs(contents: list[bytes], count: int) -> Iterator[bytes]:
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


def _table(found: dict[str, list[Measurement]], rounds: int, options: argparse.Namespace) -> str:
    lines = [
        "| measured | images | images/s | images/CPU-s | peak MB | others |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_line(name, runs) for name, runs in found.items()),
        "",
        "| ratio of medians | by the clock | by CPU-seconds | goal |",
        "| --- | ---: | ---: | ---: |",
        *(_ratio(found, *words) for words in RATIOS if {*words[1:3]} <= {*found}),
        "",
        "| beside | by the clock | in CPU-seconds | goal |",
        "| --- | ---: | ---: | ---: |",
        *_beside(found),
    ]
    grown = _median(found["ours rows"], "peak_mb") / _median(found["ours tenth"], "peak_mb")
    lines += [f"| peak memory of {options.rows:,} rows over a tenth | {grown:.2f} | | <= 1.2 |"]
    head = HEAD.format(
        rounds=rounds,
        workers=options.workers,
        cores=os.cpu_count(),
        load=os.getloadavg(),
        network="-".join(map(str, _layers())),
    )
    return "\n".join([head, *lines, ""])


def _layers() -> list[int]:
    first, *others = (weights.shape for weights in network_of(_model().estimator).coefs_)
    return [*first, *(width for _, width in others)]


def _line(name: str, runs: list[Measurement]) -> str:
    rates = f"{_median(runs, 'rate'):,.0f} | {_median(runs, 'cpu_rate'):,.0f}"
    others = 100 * _median(runs, "others")
    peak = _median(runs, "peak_mb")
    return f"| {name} | {runs[0].images:,} | {rates} | {peak:,.0f} | {others:.0f} % |"


def _ratio(found: dict[str, list[Measurement]], words: str, one: str, other: str, goal: str) -> str:
    reached = (
        _median(found[one], which) / _median(found[other], which) for which in ("rate", "cpu_rate")
    )
    return f"| {words} | {' | '.join(f'{value:.2f}' for value in reached)} | {goal} |"


def _beside(found: dict[str, list[Measurement]]) -> Iterator[str]:
    one, rows = found["flow one"], found["flow rows"]
    pairs = [
        ("`digitline read` on one image", _spent(found["read one"]), "< 1 s"),
        ("`digitline score` on one image", _spent(one), ""),
        *((f"of these, {words}", _phase(one, phase), "") for phase, words in PHASES.items()),
        ("`digitline score` on all rows", _spent(rows), ""),
        *((f"of these, {words}", _phase(rows, phase), "") for phase, words in PHASES.items()),
    ]
    for words, spent, goal in pairs:
        yield f"| {words} | {spent.seconds:.2f} s | {spent.cpu_seconds:.2f} s | {goal} |"
    # What one image takes is no orchestration of the others: processes that start, Prefect's end.
    scoring = _phase(rows, "scoring") - _phase(one, "scoring") - _spent(found["ours rows"])
    ending = _phase(rows, "end") - _phase(one, "end")
    shares = (
        (scoring.seconds + ending.seconds) / _spent(rows).seconds,
        (scoring.cpu_seconds + ending.cpu_seconds) / _spent(rows).cpu_seconds,
    )
    share = " | ".join(f"{100 * value:.1f} %" for value in shares)
    yield f"| orchestration beyond that of one image, share of all | {share} | <= 5 % |"


def _spent(runs: list[Measurement]) -> Spent:
    return _middle([run.spent for run in runs])


def _phase(runs: list[Measurement], phase: str) -> Spent:
    return _middle([run.phases[phase] for run in runs])


def _middle(each: list[Spent]) -> Spent:
    return Spent(
        statistics.median(spent.seconds for spent in each),
        statistics.median(spent.cpu_seconds for spent in each),
    )


def _median(runs: list[Measurement], which: str) -> float:
    return float(statistics.median(getattr(run, which) for run in runs))


if __name__ == "__main__":
    main()
