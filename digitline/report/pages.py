"""One self-contained HTML file a report: no request goes out, nothing in it runs but our script."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from pydantic import BaseModel, JsonValue

from digitline.commit import Manifest, describe, withdraw, write_bytes, write_manifest
from digitline.judging.expected import ASSUMPTION
from digitline.names import printable
from digitline.report import charts, words
from digitline.report.data import Earlier, Judged, Reading, RetrainReport, ScoreReport, Tile
from digitline.report.drift import name_verdict, shape_of, show_evidence
from digitline.report.pictures import RetrainPictures, ScorePictures, Shot

REPORT_NAME = "report.html"
METRICS_NAME = "metrics.json"
MOST_WORST = 10
_MOST_ORIGINALS = 1_600_000
_MOST_EVIDENCE = 400_000
_LONGEST_NAME = 240


@dataclass(frozen=True)
class Shown:
    """A digit's picture with what is known of it."""

    image: str
    reading: Reading


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion table and the images behind it."""

    truth: int
    digit: int
    count: int
    share: float
    shown: tuple[Shown, ...]

    @property
    def right(self) -> bool:
        """Whether the digit was read as what it is."""
        return self.truth == self.digit


@dataclass(frozen=True)
class Confusion:
    """The confusion table three ways, and its cells row by row."""

    cells: tuple[tuple[Cell, ...], ...]
    counts: charts.HeatMap
    shares: charts.HeatMap
    mistakes: charts.HeatMap

    @property
    def worst(self) -> list[Shown]:
        """The most confident mistakes of all."""
        wrong = [
            item for row in self.cells for cell in row if not cell.right for item in cell.shown
        ]
        return sorted(wrong, key=lambda item: -item.reading.confidence)[:MOST_WORST]

    @property
    def first(self) -> Cell | None:
        """The commonest confusion, to show at once."""
        wrong = [cell for row in self.cells for cell in row if not cell.right and cell.shown]
        return max(wrong, key=lambda cell: cell.count, default=None)


def render_retrain(report: RetrainReport, pictures: RetrainPictures) -> str:
    """Render the page of a retraining: the same report and pictures, the same bytes."""
    judged, training = report.judged, report.training
    drawn: dict[str, object] = {"digit_counts": charts.digit_counts(report.data.images)}
    if judged is not None:
        drawn["confusion"] = _confusion(judged, pictures.readings)
        drawn["read_curve"] = charts.read_curve(judged.read_curve, judged.chosen, judged.n)
        drawn["reliability"] = charts.reliability(judged.bins)
    if training is not None and training.curve:
        drawn["losses"] = charts.losses(training.curve)
        drawn["validation_errors"] = charts.validation_errors(training.curve, training.best_epoch)
    return render_page(
        "retrain.html.j2",
        script="heatmap.js",
        report=report,
        charts=drawn,
        look=None if pictures.look is None else _look(pictures.look.examples, pictures.look.means),
        flips=_digits(pictures.flips),
        suspects=_digits(pictures.suspects),
        recipe=list(_flat(report.recipe.values)),
        weights=[] if pictures.weights is None else charts.weight_pictures(pictures.weights),
    )


def render_score(report: ScoreReport, pictures: ScorePictures) -> str:
    """Render the page of a scoring: the same report and pictures, the same bytes."""
    budget, proof = _Budget(_MOST_ORIGINALS), _Budget(_MOST_EVIDENCE)
    review = _pictured(report.review_tiles, pictures.review, budget)
    accepted = _pictured(report.accepted_tiles, pictures.accepted, budget)
    drawn = {
        "confidence": charts.confidence(report.confidence, report.threshold),
        "digit_mix": charts.digit_mix(report.accepted_digits, report.review_digits),
    }
    runs = (*report.earlier, Earlier.model_validate(report))
    if report.earlier:
        drawn["over_time"] = charts.over_time(runs)
    return render_page(
        "score.html.j2",
        script="desk.js",
        report=report,
        charts=drawn,
        runs=runs,
        accepted=accepted,
        review=review,
        evidence=show_evidence(
            report.drift, {name: _shot(each, proof) for name, each in pictures.evidence.items()}
        ),
        assumption=ASSUMPTION,
        originals_left_out=budget.refused,
    )


def write_report(
    directory: Path,
    report: RetrainReport | ScoreReport,
    pictures: RetrainPictures | ScorePictures,
) -> Path:
    """Write `report.html` and `metrics.json` into `directory`, atomically; give the page's path.

    Raises `TypeError` where the pictures are of the other kind, `StorageError` where the place
    cannot be written.
    """
    if isinstance(report, RetrainReport) and isinstance(pictures, RetrainPictures):
        page = render_retrain(report, pictures)
    elif isinstance(report, ScoreReport) and isinstance(pictures, ScorePictures):
        page = render_score(report, pictures)
    else:
        raise TypeError("a report and its pictures must be of the same kind")
    return commit_page(directory, report, page)


def commit_page(directory: Path, report: BaseModel, page: str) -> Path:
    """Write a page and its metrics into `directory`, and commit them; give the page's path."""
    withdraw(directory)
    metrics = (report.model_dump_json(indent=1) + "\n").encode()
    for name, content in ((METRICS_NAME, metrics), (REPORT_NAME, page.encode())):
        write_bytes(directory / name, content)
    shards = tuple(describe(directory / name, rows=0) for name in (METRICS_NAME, REPORT_NAME))
    write_manifest(directory, Manifest(kind="report", shards=shards))
    return directory / REPORT_NAME


def render_page(template: str, *, script: str | None = None, **content: object) -> str:
    """Render a packaged template with style and script inlined, under a policy for just those."""
    style = _asset("style.css")
    code = _asset(script) if script else ""
    page = _environment().get_template(template)
    return page.render(policy=_policy(style, code), style=style, script=code, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("digitline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        count=words.count,
        duration=words.duration,
        images=words.images,
        limit=words.limit,
        minute=words.minute,
        moment=words.moment,
        name=_name,
        number=words.number,
        percent=_percent,
        said=lambda text: words.said(_name(text)),
    )
    environment.globals.update(
        verdict=words.verdict,
        drift_verdict=name_verdict,
        shape_of=shape_of,
        retrain_headline=words.retrain_headline,
        score_headline=words.score_headline,
    )
    return environment


def _percent(share: float, decimals: int = 2) -> str:
    """Say a share in per cent, on one line."""
    return words.percent(share, decimals).replace(" ", "\N{NO-BREAK SPACE}")


def _name(text: str) -> str:
    """Make outside text printable, and shorten what no page has room for."""
    shown = printable(text)
    if len(shown) <= _LONGEST_NAME:
        return shown
    half = _LONGEST_NAME // 2
    return f"{shown[:half]} … {shown[-half:]}"


def _policy(style: str, script: str) -> str:
    sources = {"style-src": style, "script-src": script}
    hashed = [f"{kind} '{_hash(text)}'" for kind, text in sources.items() if text]
    closed = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join([*closed, *hashed])


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return resources.files("digitline.report").joinpath(name).read_text(encoding="utf-8")


def _confusion(judged: Judged, px: NDArray[np.uint8] | None) -> Confusion:
    counts = np.array(judged.confusion, dtype=np.float64)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    behind: dict[tuple[int, int], list[Shown]] = {}
    for reading, image in zip(judged.readings, _digits(px), strict=False):
        behind.setdefault((reading.truth, reading.digit), []).append(Shown(image, reading))
    cells = tuple(
        tuple(
            Cell(
                truth=truth,
                digit=digit,
                count=judged.confusion[truth][digit],
                share=float(counts[truth, digit] / totals[truth, 0]),
                shown=tuple(behind.get((truth, digit), ())),
            )
            for digit in range(10)
        )
        for truth in range(10)
    )
    return Confusion(
        cells=cells,
        counts=charts.heat_map(counts),
        shares=charts.heat_map(counts / totals),
        mistakes=charts.heat_map(counts * (1 - np.eye(10)), mistakes=True),
    )


def _flat(values: Mapping[str, JsonValue], within: str = "") -> Iterator[tuple[str, JsonValue]]:
    """List values by name; those of a group by the group's name and their own."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _digits(px: NDArray[np.uint8] | None) -> Sequence[str]:
    """Embed digits, (n, 784)."""
    return [] if px is None else [charts.picture(row.reshape(28, 28)) for row in px]


def _look(examples: NDArray[np.uint8], means: NDArray[np.float32]) -> list[Mapping[str, object]]:
    """Embed, for each digit, its mean and its examples that are not blank."""
    return [
        {
            "digit": digit,
            "mean": charts.picture(means[digit].round().astype(np.uint8).reshape(28, 28)),
            "examples": _digits(examples[digit][examples[digit].any(axis=1)]),
        }
        for digit in range(10)
    ]


class _Budget:
    """Characters that pictures may still take, so that no run makes a heavy page."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.refused = 0

    def spend(self, picture: str) -> str | None:
        """Give the picture back, or `None` where it does not fit any more."""
        if len(picture) > self.left:
            self.refused += 1
            return None
        self.left -= len(picture)
        return picture


def _pictured(
    tiles: Sequence[Tile], shots: Sequence[Shot | None], budget: _Budget
) -> list[tuple[Tile, tuple[str | None, str | None]]]:
    """Put each tile beside its pictures; no shots at all means a page without."""
    together = zip(tiles, shots or [None] * len(tiles), strict=True)
    return [(tile, _shot(shot, budget)) for tile, shot in together]


def _shot(shot: Shot | None, budget: _Budget) -> tuple[str | None, str | None]:
    """Embed the original, where there is one, and the digit the network saw."""
    if shot is None:
        return None, None
    original = None if shot.original is None else budget.spend(charts.photograph(shot.original))
    return original, charts.picture(shot.seen)
