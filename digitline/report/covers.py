"""One picture that stands for a run where its page does not show, on light and dark alike."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from digitline.judging.drift import Drift
from digitline.report.charts import (
    LINE,
    MAIN,
    MISTAKES,
    OTHER,
    QUIET,
    TEXT,
    picture,
    style,
    without_ends,
)
from digitline.report.data import Judged, ScoreReport

_PAPER = "#fbfaf6"
_SHARPNESS = 2


@dataclass(frozen=True)
class Cover:
    """A picture as a data URI, and what it shows in words."""

    image: str
    words: str


def cover_retraining(judged: Judged) -> Cover:
    """Show which digits are taken for which."""
    counts = np.array(judged.confusion) * (1 - np.eye(10, dtype=np.int64))

    def draw(axes: Axes) -> None:
        sns.heatmap(
            counts, mask=counts == 0, annot=True, fmt="d", cbar=False, square=True, ax=axes,
            cmap=without_ends(MISTAKES[0]), norm=LogNorm(1, max(2, counts.max())),
            linewidths=1, linecolor=_PAPER,
        )  # fmt: skip
        axes.set(xlabel="Read as", ylabel="Is a")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)

    words = f"Mistakes on the test set: {judged.errors:,} of {judged.n:,} images"
    return Cover(_picture(draw, words, 420, 420), f"{words}, by digit and what it was read as.")


def cover_scoring(report: ScoreReport) -> Cover:
    """Show how often each digit was read."""
    accepted, review = np.array(report.accepted_digits), np.array(report.review_digits)

    def draw(axes: Axes) -> None:
        digits = [str(digit) for digit in range(10)]
        axes.bar(digits, accepted, color=MAIN, label="accepted")
        axes.bar(digits, review, bottom=accepted, color=OTHER, label="to review")
        axes.set(xlabel="Digit read")
        axes.grid(visible=True, axis="y", color=LINE, lw=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.legend(ncols=2, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))

    return Cover(
        _picture(draw, "Images", 520, 300),
        f"How often each digit was read: {report.accept:,} accepted, {report.review:,} to review; "
        f"{report.error:,} failed.",
    )


def cover_drift(drift: Drift) -> Cover | None:
    """Show how far each measure is from what is usual; none where nothing could be compared."""
    ruling = drift.ruling
    if ruling is None or not ruling.findings:
        return None
    findings = sorted(ruling.findings, key=lambda finding: finding.strength)

    def draw(axes: Axes) -> None:
        axes.barh(
            [finding.title for finding in findings],
            [finding.strength for finding in findings],
            color=[OTHER if finding.changed else MAIN for finding in findings],
        )
        axes.axvline(1, color=TEXT, lw=1, ls=(0, (4, 3)))
        axes.tick_params(length=0)
        axes.set(xlabel="Times the change that counts")

    return Cover(
        _picture(draw, f"Compared with {ruling.reference}", 520, 90 + 22 * len(findings)),
        "How far each measure is from what is usual; from the dashed line on a change counts.",
    )


def _picture(draw: Callable[[Axes], None], title: str, width: int, height: int) -> str:
    """Draw into a picture of so many pixels, and embed it."""
    with style():
        size = (width / 96, height / 96)
        figure = Figure(figsize=size, dpi=96 * _SHARPNESS, layout="constrained", facecolor=_PAPER)
        axes = figure.subplots()
        axes.set_facecolor(_PAPER)
        axes.set_axisbelow(True)
        draw(axes)
        axes.set_title(title, loc="left", color=QUIET, fontsize="medium")
        sns.despine(ax=axes, left=True)
        drawing = io.BytesIO()
        figure.savefig(drawing, format="png", metadata={"Software": None})
    with Image.open(drawing) as image:
        return picture(np.asarray(image.convert("RGB")))
