"""Measure how large reports are, what making one costs and how soon it opens; write a table.

    python -m bench.report [--home DIRECTORY] [--images 1000000]

The champion of the home reads MNIST's test images; its answers, repeated under other names and
ids, are the results of a scoring of so many images, from which a report is made as `score` makes
it. The heaviest page has as many tiles as there can be, of noise, which no codec makes small. The
index is over 1,000 runs. Pages are opened in Chromium, where there is one, six times each in a
window of its own; what its main thread works until the page is loaded, laid out and interactive
counts, at its least, for the machine is shared. `bench/report.md` is the table.
"""

import argparse
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from digitline.home import CHECKOUT, Home
from digitline.models.bundle import Model
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.report.data import Dropped, Lineage, Run, ScoreReport, Version
from digitline.report.index import rebuild_index
from digitline.report.pages import METRICS_NAME, REPORT_NAME, write_report
from digitline.report.pictures import ScorePictures, Shot
from digitline.rows import (
    ERRORS,
    PREDICTIONS,
    normalised_batch,
    normalised_schema,
    read_labelled,
    write_rows,
    writing,
)
from digitline.scoring.answers import answer
from digitline.scoring.results import shard_files
from digitline.sources.listing import LISTING
from tasks.render import render_score

SHARD = 50_000
FOLDERS = 40
RUNS = 1_000
DRAWN = 30
OPENINGS = 6
LISTED = "listing.parquet"


@dataclass(frozen=True)
class Page:
    """A page that was made: what it is, and the CPU and wall seconds that took, if measured."""

    what: str
    path: Path
    cpu: float | None = None
    wall: float | None = None


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Measure the reports.")
    parser.add_argument("--home", type=Path, default=CHECKOUT)
    parser.add_argument("--images", type=int, default=1_000_000)
    given = parser.parse_args()
    home = Home(given.home)
    registry = Registry(home.models, home.keys)
    model = registry.load(registry.champion())
    with tempfile.TemporaryDirectory() as place:
        pages = list(make_pages(home, model, given.images, Path(place)))
        table = "\n".join(tabulate(pages, model))
    print(table)
    (CHECKOUT / "bench" / "report.md").write_text(table)


def make_pages(home: Home, model: Model, images: int, place: Path) -> Iterator[Page]:
    """Make every kind of page in `place`."""
    recipe = model.card.recipe["name"]
    retrained = home.reports / model.card.run / REPORT_NAME
    yield Page(f"retrain report, recipe {recipe}, as its run made it", retrained)
    _write_results(home, model, images, place)
    yield _timed(f"score report of {images:,} images", lambda: _render(model, place))
    metrics = place / "reports" / "score-0001" / METRICS_NAME
    report = ScoreReport.model_validate_json(metrics.read_bytes())
    yield _timed("score report, the heaviest there can be", lambda: _heaviest(report, place))
    _many_runs(metrics, home.reports / model.card.run / METRICS_NAME, place / "many")
    yield _timed(f"index of {RUNS:,} runs", lambda: rebuild_index(place / "many"))


def tabulate(pages: list[Page], model: Model) -> Iterator[str]:
    """Put what was measured into Markdown."""
    yield "# How heavy reports are\n"
    yield "Written by `bench/report.py`; its docstring says what is measured."
    yield f"Champion: {model.card.metrics.error:.2%} test error.\n"
    yield "| page | MB | CPU s to make | s to make | CPU s to open |"
    yield "|---|---|---|---|---|"
    opened = _open([page.path for page in pages])
    for page in pages:
        size = page.path.stat().st_size / 1e6
        made = " | ".join("-" if each is None else f"{each:.1f}" for each in (page.cpu, page.wall))
        ready = opened.get(page.path)
        yield f"| {page.what} | {size:.2f} | {made} | {'-' if ready is None else f'{ready:.2f}'} |"
    yield ""


def _timed(what: str, make: Callable[[], Path]) -> Page:
    cpu, wall = time.process_time(), time.perf_counter()
    path = make()
    return Page(what, path, time.process_time() - cpu, time.perf_counter() - wall)


def _write_results(home: Home, model: Model, images: int, place: Path) -> None:
    """Write so many images and the results of scoring them, as the scorer does."""
    px, truth = read_labelled(next(home.normalised.glob("mnist-*/test.parquet")))
    reading = model.read(px)
    schema = normalised_schema(NORMALISER)
    digits = place / "digits.parquet"
    with writing(digits, schema) as rows, writing(place / LISTED, LISTING) as listing:
        for number, first in enumerate(range(0, images, SHARD)):
            places = np.arange(first, min(first + SHARD, images))
            again = places % len(px)
            ids = [hashlib.sha256(each.tobytes()).digest() for each in places]
            names = pa.array([f"folder {each % FOLDERS}/{each}.png" for each in places.tolist()])
            batch = answer(
                names,
                np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32),
                reading.probabilities[again],
                reading.odd[again],
                model.card.threshold,
                model.card.version,
            )
            predictions, errors = shard_files(place, number)
            write_rows(predictions, PREDICTIONS, iter([batch]))
            write_rows(errors, ERRORS, iter(()))
            rows.write(normalised_batch(ids, truth[again], px[again], NORMALISER))
            listing.write(_list(names, places, digits))


def _list(names: pa.Array, places: NDArray[np.int64], digits: Path) -> pa.RecordBatch:
    n = len(places)
    opened = [["normalised"] * n, [str(digits).encode()] * n]
    columns = [names, *map(pa.array, opened), pa.array(places), *[pa.array([""] * n)] * 3]
    return pa.record_batch(columns, schema=LISTING)


def _render(model: Model, place: Path) -> Path:
    card = model.card
    render_score.fn(
        run=Run(id="score-0001", when="2026-01-02T03:04:05+00:00", seconds=60),
        model=Version(version=card.version, error=card.metrics.error),
        source="/srv/scans",
        job="",
        threshold=card.threshold,
        lineage=Lineage(normaliser=NORMALISER),
        results=place,
        listing=place / LISTED,
        limits=Limits(),
        drawn=DRAWN,
        corrections=place / "corrections",
        reports=place / "reports",
    )
    return place / "reports" / "score-0001" / REPORT_NAME


def _heaviest(report: ScoreReport, place: Path) -> Path:
    """Fill every place for a picture with noise."""
    rng = np.random.default_rng(0)

    def shots(number: int) -> list[Shot | None]:
        noise = rng.integers(0, 256, (number, 144, 144, 3), dtype=np.uint8)
        return [Shot.of(image, image[:28, :28, 0]) for image in noise]

    names = tuple(f"{'deep/' * 40}{number}.png" for number in range(20))
    many = [Dropped(reason=f"reason-{number}", count=20, names=names) for number in range(8)]
    heavy = report.model_copy(update={"failures": tuple(many)})
    pictures = ScorePictures(shots(len(heavy.accepted_tiles)), shots(len(heavy.review_tiles)))
    return write_report(place / "heaviest", heavy, pictures)


def _many_runs(scored: Path, retrained: Path, reports: Path) -> None:
    """Lay down the metrics of many runs, of both kinds."""
    for number in range(RUNS // 2):
        for kind, metrics in (("score", scored), ("retrain", retrained)):
            text = metrics.read_text()
            run = f"{kind}-{number:04d}"
            directory = reports / run
            directory.mkdir(parents=True)
            before = f'"id": "{metrics.parent.name}"'
            (directory / METRICS_NAME).write_text(text.replace(before, f'"id": "{run}"', 1))


def _open(pages: list[Path]) -> dict[Path, float]:
    """Give the processor seconds until each page is interactive; nothing without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        return {}
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - needed only with a browser

    quickest: dict[Path, float] = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for path in pages * OPENINGS:
            context = chromium.new_context()
            page = context.new_page()
            session = context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(path.as_uri())
            told = session.send("Performance.getMetrics")["metrics"]
            busy = next(each["value"] for each in told if each["name"] == "TaskDuration")
            quickest[path] = min(quickest.get(path, np.inf), busy)
            context.close()
        chromium.close()
    return quickest


if __name__ == "__main__":
    main()
