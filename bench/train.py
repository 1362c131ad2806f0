"""Measure training side by side: our recipes, scikit-learn's own fit, a small net, PyTorch.

    .venv/bin/python bench/train.py --sklearn --small --recipes quick default --torch default
    .venv/bin/python bench/train.py --recipes best --seeds 0 1
    .venv/bin/python bench/train.py --memory

Every measurement runs in a process of its own, one after the other; with `--jobs 2`, two at a
time with one thread each, where CPU-seconds alone can be compared. Results are collected in a
JSON-lines file, so that a long table can be measured in pieces; each call writes the table anew
from all of them. Networks see the 60,000 training images of MNIST (ours hold 5,000 of them out
to choose the best epoch); the 10,000 test images are looked at once, after training.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info

from digitline.home import CHECKOUT
from digitline.learning.committee import aspect_of, member_seed
from digitline.learning.feed import Feed
from digitline.learning.fit import Part, fit
from digitline.learning.optimiser import Schedule
from digitline.learning.recipe import Recipe, load_recipe
from digitline.learning.split import Shares, assign
from digitline.learning.stream import count_labels
from digitline.pixels.aspect import Aspect, aspects_of, to_ink, width
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.pixels.reading import read_images
from digitline.rows import (
    digests,
    labels,
    normalised_batch,
    normalised_schema,
    pixels,
    read_batches,
    write_rows,
)

TABLE = Path(__file__).with_suffix(".md")
WORK = Path(tempfile.gettempdir()) / "digitline-bench-train"
TORCH = "torch==2.13.0"
# Together they slow OpenBLAS down; alone, one contradicts the other.
UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# The network of the memory measurement need not be good, only fed.
SMALL_FEED = Recipe(hidden=(64,), epochs=1, averaging=0)


@dataclass(frozen=True)
class Measurement:
    """One training. `others` is the share of the machine that other processes took meanwhile."""

    what: str  # kind:name
    plan: str  # digest of the recipe, where there is one
    seed: int
    rows: int
    epochs: int
    error: float
    seconds: float
    cpu_seconds: float
    peak_mb: float
    others: float
    threads: int = 1


@dataclass(frozen=True)
class Result:
    """What a training came to."""

    epochs: int
    predict: Callable[[NDArray[np.uint8]], NDArray[np.int64]]


def main() -> None:
    """Measure what is asked for and write the table."""
    options = _parse()
    if options.one:
        kind, name, seed = options.one
        print(json.dumps(asdict(_measure(kind, name, int(seed)))))
        return
    if options.fresh:
        options.results.unlink(missing_ok=True)
    _prepare_mnist()
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(_run_child, *run, options.jobs) for run in _plan(options)]
        for run in as_completed(runs):
            found = run.result()
            with options.results.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            print(_describe(found), flush=True)
    _write_table(_read_results(options.results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--recipes", nargs="*", default=[], help="our recipes, by name or file")
    parser.add_argument("--torch", nargs="*", default=[], help="the same recipes in PyTorch")
    parser.add_argument("--warm", nargs="*", default=[], help="recipes, from an earlier model")
    parser.add_argument("--sklearn", action="store_true", help="MLPClassifier().fit")
    parser.add_argument("--small", action="store_true", help="784-50-50-10, fitted likewise")
    parser.add_argument("--memory", action="store_true", help="peak memory at 60 thousand and 1 M")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="at once, each with one thread if > 1")
    parser.add_argument("--results", type=Path, default=WORK / "results.jsonl")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    for seed in options.seeds:
        if options.sklearn:
            yield "sklearn", "100", seed
        if options.small:
            yield "sklearn", "50-50", seed
        for name in options.recipes:
            yield "recipe", name, seed
        for name in options.torch:
            yield "torch", name, seed
        for name in options.warm:
            yield "warm", name, seed
    if options.memory:
        for rows in (60_000, 1_000_000):
            yield "memory", str(rows), 0


def _run_child(kind: str, name: str, seed: int, jobs: int) -> Measurement:
    environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    if jobs > 1:
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if kind == "torch":
        environment["PYTHONPATH"] = str(_install_torch())
    if kind == "memory":
        _write_many(int(name))
    if kind == "warm":
        _fit_champion(name)
    command = [sys.executable, __file__, "--one", kind, name, str(seed)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    return Measurement(**json.loads(done.stdout))


def _measure(kind: str, name: str, seed: int) -> Measurement:
    run = {
        "recipe": _fit_recipe,
        "warm": _fit_warm,
        "torch": _fit_torch,
        "sklearn": _fit_sklearn,
        "memory": _fit_many,
    }[kind]
    plan = _recipe_digest(name) if kind in {"recipe", "warm", "torch"} else ""
    began, cpu, machine = time.perf_counter(), time.process_time(), _machine_seconds()
    result = run(name, seed)
    seconds, own = time.perf_counter() - began, time.process_time() - cpu
    others = (_machine_seconds() - machine - own) / (seconds * (os.cpu_count() or 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    digits, truth = _load("test")
    return Measurement(
        what=f"{kind}:{name}",
        plan=plan,
        seed=seed,
        rows=int(name) if kind == "memory" else 60_000,
        epochs=result.epochs,
        error=float(np.mean(result.predict(digits) != truth)),
        seconds=seconds,
        cpu_seconds=own,
        peak_mb=peak,
        others=max(0.0, others),
        threads=max(pool["num_threads"] for pool in threadpool_info()),
    )


def _fit_recipe(name: str, seed: int) -> Result:
    checkpoint = WORK / f"checkpoint-{os.getpid()}.npz"
    fitted = fit(
        load_recipe(name),
        [Part(WORK / "train.parquet")],
        WORK / "validation.parquet",
        seed=seed,
        checkpoint=checkpoint,
    )
    for path in WORK.glob(f"{checkpoint.stem}*.npz"):
        path.unlink()
    return Result(len(fitted.curve), partial(_predict, fitted.model))


def _fit_champion(name: str) -> None:
    """Fit a model to all but the last 5,000 training rows, for `_fit_warm` to go on from."""
    if not _champion(name).exists():
        rows = pa.Table.from_batches(read_batches(WORK / "train.parquet"))
        _write(WORK / "earlier.parquet", iter(rows.slice(0, len(rows) - 5_000).to_batches()))
        parts = [Part(WORK / "earlier.parquet")]
        fitted = fit(load_recipe(name), parts, WORK / "validation.parquet", seed=0)
        joblib.dump(fitted.model, _champion(name))


def _champion(name: str) -> Path:
    return WORK / f"champion-{name}-{_recipe_digest(name)}.joblib"


def _fit_warm(name: str, seed: int) -> Result:
    parts, champion = [Part(WORK / "train.parquet")], joblib.load(_champion(name))
    validation = WORK / "validation.parquet"
    fitted = fit(load_recipe(name), parts, validation, seed=seed, start=champion)
    return Result(len(fitted.curve), partial(_predict, fitted.model))


def _fit_sklearn(name: str, seed: int) -> Result:
    parts = [_load("train"), _load("validation")]
    ink = to_ink(np.concatenate([part[0] for part in parts]))
    truth = np.concatenate([part[1] for part in parts])
    layers = tuple(map(int, name.split("-")))
    model = MLPClassifier(layers, random_state=seed).fit(ink, truth)
    return Result(model.n_iter_, partial(_predict, model))


def _predict(model: MLPClassifier, digits: NDArray[np.uint8]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = model.predict(to_ink(digits, aspects_of(model)))
    return found


def _fit_many(name: str, seed: int) -> Result:
    parts = [Part(_many(int(name)))]
    fitted = fit(SMALL_FEED, parts, WORK / "validation.parquet", seed=seed)
    return Result(len(fitted.curve), partial(_predict, fitted.model))


def _fit_torch(name: str, seed: int) -> Result:
    """Do in PyTorch what `fit` does: the same members side by side, the same feed for each."""
    torch = import_module("torch")
    recipe = load_recipe(name)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // recipe.members))
    torch.manual_seed(seed)
    seeds = [member_seed(seed, member) for member in range(recipe.members)]
    seen = [aspect_of(recipe, member) for member in range(recipe.members)]
    with ThreadPoolExecutor(recipe.members) as pool:
        networks = list(pool.map(partial(_train_torch, torch, recipe), seeds, seen))

    def predict(digits: NDArray[np.uint8]) -> NDArray[np.int64]:
        inks = (torch.from_numpy(to_ink(digits, (aspect,))) for aspect in seen)
        with torch.no_grad():
            answers = sum(network(ink) for network, ink in zip(networks, inks, strict=True))
        found: NDArray[np.int64] = answers.argmax(dim=1).numpy()
        return found

    return Result(recipe.epochs, predict)


def _train_torch(torch: ModuleType, recipe: Recipe, seed: int, aspect: Aspect) -> Any:  # noqa: ANN401 - torch is optional
    """Train one network: the same feed, architecture, optimiser, schedule and averaging."""
    averaging, cost = import_module("torch.optim.swa_utils"), torch.nn.functional.cross_entropy
    parts = [Part(WORK / "train.parquet")]
    feed = Feed(recipe, parts, count_labels(parts[0].path), seed, aspect)
    steps = feed.steps()
    network = _torch_network(torch, recipe, aspect)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, fused=True)
    schedule = Schedule(
        recipe.rate, round(recipe.warm_up * steps[0]), sum(steps), recipe.final_rate
    )
    decay = 1 - 1 / max(1.0, recipe.averaging * steps[-1])
    averaged = averaging.AveragedModel(
        network, multi_avg_fn=averaging.get_ema_multi_avg_fn(decay), use_buffers=False
    )
    validation, labelled = _load("validation")
    held_out, truth = map(torch.from_numpy, (to_ink(validation, (aspect,)), labelled))
    best, kept, step = float("inf"), averaged.state_dict(), 0
    for number in range(1, recipe.epochs + 1):
        if feed.hardness.is_due(number):
            _look(torch, averaged, feed, number)
        for meal in feed.epoch(number):
            digits, targets = torch.from_numpy(meal.digits), torch.from_numpy(meal.labels).long()
            for start in range(0, len(digits), recipe.batch):
                optimiser.param_groups[0]["lr"] = schedule.rate(step)
                step += 1
                rows = slice(start, start + recipe.batch)
                optimiser.zero_grad()
                cost(network(digits[rows]), targets[rows]).backward()
                optimiser.step()
                averaged.update_parameters(network)
        with torch.no_grad():
            loss = cost(averaged(held_out), truth).item()
        if loss < best:
            best = loss
            kept = {key: value.clone() for key, value in averaged.state_dict().items()}
    averaged.load_state_dict(kept)
    return averaged


def _look(torch: ModuleType, network: Any, feed: Feed, number: int) -> None:  # noqa: ANN401 - torch is optional
    """Look up how hard each training row is, as `fit` does."""
    first = 0
    with torch.no_grad():
        for meal in feed.look(number):
            digits, targets = torch.from_numpy(meal.digits), torch.from_numpy(meal.labels).long()
            losses = torch.nn.functional.cross_entropy(network(digits), targets, reduction="none")
            feed.hardness.note(first, losses.numpy())
            first += len(targets)


def _torch_network(torch: ModuleType, recipe: Recipe, aspect: Aspect) -> Any:  # noqa: ANN401 - torch is optional
    layers = []
    for before, after in pairwise([width((aspect,)), *recipe.hidden, 10]):
        linear = torch.nn.Linear(before, after)
        torch.nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _install_torch() -> Path:
    target = WORK / "torch"
    if not (target / "torch").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
        subprocess.run([*command, TORCH], check=True, stderr=subprocess.DEVNULL)  # noqa: S603 - pip
    return target


def _prepare_mnist() -> None:
    """Normalise the embedded MNIST and hold out by digest what `retrain` does to validate, once."""
    WORK.mkdir(parents=True, exist_ok=True)
    if (WORK / "test.parquet").exists():
        return
    raw = CHECKOUT / "data" / "mnist"
    whole = pa.Table.from_batches(_normalise(raw / "train.parquet"))
    part = assign(digests(whole.combine_chunks().to_batches()[0]), Shares(), own_test=True)
    held_out = part == "validation"
    for name, chosen in (("train", ~held_out), ("validation", held_out)):
        _write(WORK / f"{name}.parquet", iter(whole.filter(pa.array(chosen)).to_batches()))
    _write(WORK / "test.parquet", _normalise(raw / "test.parquet"))


def _normalise(path: Path) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(path):
        contents = batch.column("image").field("bytes").to_pylist()
        ids = [hashlib.sha256(content).digest() for content in contents]
        digits = read_images(contents, Limits()).digits
        yield normalised_batch(ids, labels(batch), digits, NORMALISER)


def _many(rows: int) -> Path:
    return WORK / f"many-{rows}.parquet"


def _write_many(rows: int) -> None:
    """Write `rows` rows: those of MNIST, over and over, each time with other ids."""
    if not _many(rows).exists():
        _write(_many(rows), _repeat(rows))


def _repeat(rows: int) -> Iterator[pa.RecordBatch]:
    done = 0
    while done < rows:
        for batch in read_batches(WORK / "train.parquet"):
            some = batch.slice(0, rows - done)
            ids = [hashlib.sha256(b"%d" % (done + n)).digest() for n in range(some.num_rows)]
            yield normalised_batch(ids, labels(some), pixels(some), NORMALISER)
            done += some.num_rows
            if done == rows:
                return


def _write(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    write_rows(path, normalised_schema(NORMALISER), batches)


def _load(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batches = list(read_batches(WORK / f"{part}.parquet"))
    digits = np.concatenate([pixels(batch) for batch in batches])
    return digits, np.concatenate([labels(batch) for batch in batches]).astype(np.int64)


def _machine_seconds() -> float:
    """Give the processor seconds that the whole machine has worked, idle and waiting left out."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupt, soft, _stolen = ticks
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


def _recipe_digest(name: str) -> str:
    return hashlib.sha256(load_recipe(name).model_dump_json().encode()).hexdigest()[:12]


def _read_results(path: Path) -> list[Measurement]:
    """Read the results, without those of recipes that have changed since."""
    found = [Measurement(**json.loads(line)) for line in path.read_text().splitlines()]
    return [
        one for one in found if not one.plan or one.plan == _recipe_digest(one.what.split(":")[1])
    ]


def _write_table(results: Sequence[Measurement]) -> None:
    lines = []
    for threads in sorted({one.threads for one in results}, reverse=True):
        group = [one for one in results if one.threads == threads]
        base = [one for one in group if one.what == "sklearn:100"]
        lines += [_line([one for one in group if one.what == what], base) for what in _order(group)]
    TABLE.write_text(_HEAD + "\n".join(lines) + "\n" + _memory_lines(results))


def _order(results: Sequence[Measurement]) -> list[str]:
    """Name what was measured, by kind, the cheapest first."""
    kinds = ("sklearn", "recipe", "warm", "torch")
    cost = {one.what: one.cpu_seconds for one in results}
    names = sorted(cost, key=lambda what: cost[what])
    return [what for kind in kinds for what in names if what.startswith(f"{kind}:")]


def _line(group: Sequence[Measurement], base: Sequence[Measurement]) -> str:
    cells = [
        _title(group[0].what),
        str(group[0].threads),
        str(len(group)),
        _spread([100 * one.error for one in group], 2),
        _spread([one.seconds for one in group], 0),
        _ratio([one.seconds for one in group], [one.seconds for one in base]),
        _spread([one.cpu_seconds for one in group], 0),
        _ratio([one.cpu_seconds for one in group], [one.cpu_seconds for one in base]),
        f"{max(one.peak_mb for one in group):.0f}",
        _spread([one.epochs for one in group], 0),
        f"{100 * statistics.mean(one.others for one in group):.0f} %",
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(numbers: Sequence[float], base: Sequence[float]) -> str:
    return f"{statistics.mean(numbers) / statistics.mean(base):.2f}" if base else ""


def _spread(numbers: Sequence[float], places: int) -> str:
    mean = f"{statistics.mean(numbers):.{places}f}"
    low, high = (f"{bound:.{places}f}" for bound in (min(numbers), max(numbers)))
    return mean if low == high else f"{mean} ({low} to {high})"


def _title(what: str) -> str:
    kind, name = what.split(":")
    if kind == "sklearn":
        usual = "`MLPClassifier().fit`" if name == "100" else "`MLPClassifier((50, 50)).fit`"
        return f"scikit-learn, {usual}, 784-{name}-10"
    recipe = load_recipe(name)
    layers = "-".join(map(str, (*recipe.hidden, 10)))
    layers = f"{recipe.members} x {layers}, {' and '.join(recipe.aspects)}"
    titles = {
        "recipe": f"**{name}**, {layers}",
        "warm": f"{name}, from a model that knew 50,000 of the rows",
        "torch": f"PyTorch, as {name}, {layers}",
    }
    return titles[kind]


def _memory_lines(results: Sequence[Measurement]) -> str:
    rows = [one for one in results if one.what.startswith("memory:")]
    if not rows:
        return ""
    lines = [f"| {one.rows:,} | {one.peak_mb:.0f} | {one.seconds:.0f} |" for one in rows]
    return _MEMORY_HEAD + "\n".join(lines) + "\n"


def _describe(one: Measurement) -> str:
    return (
        f"{one.what} seed {one.seed}: {100 * one.error:.2f} % in {one.seconds:.0f} s, "
        f"{one.cpu_seconds:.0f} CPU-s, {one.peak_mb:.0f} MB, others {100 * one.others:.0f} %"
    )


_HEAD = """# Training, measured

Written by `bench/train.py`; its docstring says how to measure again. Means over the seeds, with
the lowest and highest in brackets. The *error* is that of the 10,000 MNIST test images; no recipe
was chosen by comparing it. *Ratio* is over scikit-learn's default fit with as many threads. Our
times include the validation after every epoch and a checkpoint on disk. *Others* is the share of
the machine that other processes took meanwhile: where it is not near nothing, wall times are too
long and the CPU-seconds tell more.

| network | threads | seeds | error % | wall s | ratio | CPU s | ratio | peak MB | epochs | others |
|---|---|---|---|---|---|---|---|---|---|---|
"""

_MEMORY_HEAD = """
## Memory as data grows

One epoch of a small network over so many rows of normalised Parquet.

| rows | peak MB | wall, s |
|---|---|---|
"""


if __name__ == "__main__":
    main()
