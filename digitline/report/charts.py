"""Charts as pictures a page can embed: each drawn once for light pages and once for dark ones.

Nothing here says anything a table beside the chart does not say too.
"""

import base64
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from digitline.report.data import Bar, Bin, Earlier, Epoch, Part, ReadPoint
from digitline.rows import SIDE

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"
_DRAWN_WITH = "DejaVu Sans"
_POINTS_PER_PIXEL = 0.75
_LEAST_SHARE = 0.0005


# Colours on a light page. `MAIN` and `OTHER` differ for colour-blind eyes too (Okabe-Ito).
TEXT, QUIET, LINE, MAIN, OTHER = "#1f2328", "#59606b", "#dcd8ce", "#0067a3", "#b84a00"
# What each becomes on a dark page.
_ON_DARK = {
    TEXT: "#e9e7e2",
    QUIET: "#a5abb6",
    LINE: "#363b45",
    MAIN: "#62b8ec",
    OTHER: "#f0a33a",
}
# Perceptually uniform maps: the more, the darker on a light page, the lighter on a dark one.
_COUNTS = ("mako_r", "mako")
MISTAKES = ("rocket_r", "rocket")


@dataclass(frozen=True)
class Chart:
    """A picture for light pages and one for dark pages, as data URIs, and its size in pixels."""

    light: str
    dark: str
    width: int
    height: int


@dataclass(frozen=True)
class HeatMap:
    """The colours of a 10 x 10 table, and for each mode whether a cell wants dark writing."""

    chart: Chart
    dark_on_light_page: tuple[tuple[bool, ...], ...]
    dark_on_dark_page: tuple[tuple[bool, ...], ...]


def heat_map(values: NDArray[np.float64], *, mistakes: bool = False) -> HeatMap:
    """Colour a (10, 10) table on a logarithmic scale; cells of 0 stay clear."""
    low = max(_LEAST_SHARE, float(values[values > 0].min(initial=1.0)))
    norm = LogNorm(low, max(low * 2, float(values.max())), clip=True)
    pictures, writing = [], []
    for name in MISTAKES if mistakes else _COUNTS:
        colours = without_ends(name)
        pictures.append(_heat_picture(values, colours, norm))
        writing.append(_wants_dark(values, colours, norm, page_is_light=name.endswith("_r")))
    return HeatMap(Chart(pictures[0], pictures[1], 400, 400), writing[0], writing[1])


def read_curve(points: Sequence[ReadPoint], chosen: ReadPoint, n: int) -> Chart:
    """Draw error among the accepted against the share accepted, and the chosen threshold."""
    least = 0.5 / n  # where a logarithm shows no errors at all
    from_read = max(0.0, 2 * chosen.read_rate - 1.05)
    near = [point for point in points if point.read_rate >= from_read]
    table = pd.DataFrame(
        {
            "read": [point.read_rate for point in near],
            "error": [max(point.error, least) for point in near],
        }
    )

    def draw(axes: Axes) -> None:
        sns.lineplot(table, x="read", y="error", color=MAIN, ax=axes, errorbar=None)
        axes.plot(chosen.read_rate, max(chosen.error, least), "o", color=OTHER, ms=9)
        axes.set(xlabel="Read without a person", ylabel="Wrong among those read", yscale="log")
        _plain_logarithms(axes, _per_cent)
        axes.yaxis.set_major_locator(FixedLocator(_with_floor(least, table["error"].max())))
        axes.yaxis.set_major_formatter(
            lambda share, _: "none" if share == least else _per_cent(share, _)
        )
        axes.set_xlim(from_read, 1.01)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))

    return _chart(draw)


def reliability(bins: Sequence[Bin]) -> Chart:
    """Draw how often readings were right against how sure the model was of them."""
    table = pd.DataFrame(
        {
            "sure": [item.confidence for item in bins],
            "right": [item.accuracy for item in bins],
            "n": [item.n for item in bins],
        }
    )

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=(0, (4, 3)))
        sns.lineplot(table, x="sure", y="right", color=MAIN, ax=axes, errorbar=None, lw=1.2)
        sns.scatterplot(
            table, x="sure", y="right", size="n", sizes=(25, 160), legend=False,
            color=MAIN, ax=axes, edgecolor="none", alpha=0.85, clip_on=False,
        )  # fmt: skip
        axes.set(xlabel="How sure it was", ylabel="How often it was right")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))

    return _chart(draw)


def losses(curve: Sequence[Epoch]) -> Chart:
    """Draw training and validation loss over the epochs."""
    table = pd.DataFrame([epoch.model_dump() for epoch in curve])

    def draw(axes: Axes) -> None:
        lines = (("train_loss", "training", OTHER), ("validation_loss", "validation", MAIN))
        for column, label, colour in lines:
            sns.lineplot(
                table, x="number", y=column, color=colour, label=label, ax=axes, errorbar=None
            )
        axes.set(xlabel="Epoch", ylabel="Loss", yscale="log")
        _plain_logarithms(axes, lambda loss, _: f"{loss:g}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, labelcolor=TEXT)

    return _chart(draw)


def validation_errors(curve: Sequence[Epoch], best: int | None) -> Chart:
    """Draw the validation error over the epochs and mark the best."""
    table = pd.DataFrame([epoch.model_dump() for epoch in curve])

    def draw(axes: Axes) -> None:
        sns.lineplot(table, x="number", y="validation_error", color=MAIN, ax=axes, errorbar=None)
        marked = table[table["number"] == best]
        axes.plot(marked["number"], marked["validation_error"], "o", color=OTHER, ms=9)
        axes.set(xlabel="Epoch", ylabel="Wrong on validation")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))

    return _chart(draw)


def digit_counts(parts: Sequence[Part]) -> Chart:
    """Draw how many images of each digit each part has."""
    return _digit_bars([(part.name, part.digits) for part in parts])


def digit_mix(accepted: Sequence[int], review: Sequence[int]) -> Chart:
    """Draw how often each digit was read, accepted and to review."""
    return _digit_bars([("accepted", accepted), ("to review", review)])


def confidence(bars: Sequence[Bar], threshold: float) -> Chart:
    """Draw how sure the model was of accepted images and of those to review."""
    table = pd.DataFrame(
        {
            "sure": [bar.low + (bar.high - bar.low) / 2 for bar in bars] * 2,
            "n": [bar.accept for bar in bars] + [bar.review for bar in bars],
            "status": ["accepted"] * len(bars) + ["to review"] * len(bars),
        }
    )
    edges = [bar.low for bar in bars] + [bars[-1].high]

    def draw(axes: Axes) -> None:
        if table["n"].sum():
            sns.histplot(
                table, x="sure", weights="n", hue="status", bins=edges, multiple="stack",
                palette=[MAIN, OTHER], alpha=1, edgecolor="none", ax=axes,
            )  # fmt: skip
            _restyle_legend(axes)
        axes.axvline(threshold, color=TEXT, lw=1, ls=(0, (4, 3)))
        axes.set(xlabel="How sure it was", ylabel="Images", xlim=(0, 1))
        axes.set_yscale("symlog", linthresh=10)
        axes.yaxis.set_major_formatter(_whole)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))

    return _chart(draw)


def over_time(runs: Sequence[Earlier]) -> Chart:
    """Draw what became of the images in each of some scorings, oldest first."""
    names = [run.run.id.rpartition("-")[2] for run in runs]
    totals = np.maximum([run.n_in for run in runs], 1)

    def draw(axes: Axes) -> None:
        below = np.zeros(len(runs))
        for status, label, colour in (
            ("accept", "accepted", MAIN),
            ("review", "to review", OTHER),
            ("error", "failed", QUIET),
        ):
            share = np.array([getattr(run, status) for run in runs]) / totals
            axes.bar(names, share, bottom=below, label=label, color=colour)
            below += share
        axes.set(xlabel="Run", ylabel="Images", ylim=(0, 1))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        legend = axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
        for text in legend.get_texts():
            text.set_color(TEXT)

    return _chart(draw, height=230)


def history(errors: Sequence[float], read_rates: Sequence[float]) -> tuple[Chart, Chart]:
    """Draw error and read rate over retrainings, oldest first."""

    def line(values: Sequence[float], label: str) -> Chart:
        table = pd.DataFrame({"run": range(1, len(values) + 1), "value": values})

        def draw(axes: Axes) -> None:
            sns.lineplot(
                table, x="run", y="value", color=MAIN, ax=axes, errorbar=None,
                marker="o" if len(values) <= 60 else None, mec="none",  # noqa: PLR2004 - crowded
            )  # fmt: skip
            axes.set(xlabel="Retraining", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))

        return _chart(draw, height=190)

    return line(errors, "Wrong on test"), line(read_rates, "Read alone")


def picture(image: NDArray[np.uint8]) -> str:
    """Embed an image, (h, w) or (h, w, 3), exactly as it is."""
    return _webp(Image.fromarray(image), lossless=True, quality=60)


def photograph(image: NDArray[np.uint8]) -> str:
    """Embed an image, (h, w) or (h, w, 3), for looking at: small, not exact."""
    return _webp(Image.fromarray(image), quality=72)


def weight_pictures(weights: NDArray[np.float32], most: int = 48) -> list[str]:
    """Picture what the strongest units of a first layer, (784, units), look for."""
    strength = np.linalg.norm(weights, axis=0)
    strongest = np.argsort(-strength, kind="stable")[:most]
    colours = sns.color_palette("vlag", as_cmap=True)
    pictures = []
    for unit in strongest:
        reach = float(np.abs(weights[:, unit]).max()) or 1.0
        scaled = Normalize(-reach, reach)(weights[:, unit].reshape(SIDE, SIDE))
        rgb = (np.asarray(colours(scaled))[:, :, :3] * 255).astype(np.uint8)
        pictures.append(_webp(Image.fromarray(rgb), quality=80))
    return pictures


def _digit_bars(series: Sequence[tuple[str, Sequence[int]]]) -> Chart:
    table = pd.DataFrame(
        [
            {"part": name, "digit": digit, "n": n}
            for name, counts in series
            for digit, n in enumerate(counts)
        ]
    )

    def draw(axes: Axes) -> None:
        palette = [MAIN, OTHER, QUIET, TEXT][: len(series)]
        sns.barplot(
            table, x="digit", y="n", hue="part", palette=palette, saturation=1, ax=axes,
            errorbar=None,
        )  # fmt: skip
        axes.set(xlabel="Digit", ylabel="Images")
        _restyle_legend(axes)

    return _chart(draw)


def _plain_logarithms(axes: Axes, write: Callable[[float, float], str]) -> None:
    """Mark a logarithmic scale at 1, 2 and 5 and write numbers out."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(write)


def _with_floor(least: float, most: float) -> list[float]:
    """Give marks of a logarithmic scale that begins where there is nothing."""
    marks = LogLocator(subs=(1, 2, 5)).tick_values(least, max(most, 2 * least))
    return [least, *(mark for mark in marks if 1.5 * least < mark <= most)]


def _whole(number: float, _: float) -> str:
    return f"{number:,.0f}"


def _per_cent(share: float, _: float) -> str:
    return f"{share * 100:g} %"


def _restyle_legend(axes: Axes) -> None:
    legend = axes.get_legend()
    assert legend is not None
    # As `sns.move_legend` does, but that has matplotlib keep each figure for ever, in a cache of
    # the methods of its legend.
    handles = [handle for handle in legend.legend_handles if handle is not None]
    labels = [text.get_text() for text in legend.get_texts()]
    axes.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False,
        labelcolor=TEXT,
    )  # fmt: skip


def _chart(draw: Callable[[Axes], None], width: int = 400, height: int = 270) -> Chart:
    with style():
        figure = Figure(figsize=(width / 96, height / 96), dpi=96, layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=True, axis="y", color=LINE, lw=0.8)
        axes.set_axisbelow(True)
        draw(axes)
        sns.despine(ax=axes, left=True)
        drawing = io.BytesIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    # The page's own fonts, which are no wider than the one the layout was measured with.
    light = drawing.getvalue().decode().replace(f"'{_DRAWN_WITH}'", _FONTS)
    dark = light
    for colour, on_dark in _ON_DARK.items():
        dark = dark.replace(colour, on_dark)
    return Chart(_svg(light), _svg(dark), width, height)


def style() -> AbstractContextManager[None]:
    """Draw as the pages are set."""
    small = 13 * _POINTS_PER_PIXEL
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "digitline",  # the same drawing, the same bytes
            "font.family": _DRAWN_WITH,
            "font.size": small,
            "axes.labelsize": small,
            "xtick.labelsize": small,
            "ytick.labelsize": small,
            "legend.fontsize": small,
            "text.color": TEXT,
            "axes.labelcolor": QUIET,
            "axes.edgecolor": LINE,
            "xtick.color": LINE,
            "ytick.color": LINE,
            "xtick.labelcolor": QUIET,
            "ytick.labelcolor": QUIET,
            "ytick.major.size": 0,
            "ytick.minor.size": 0,
            "lines.linewidth": 2,
            "axes.xmargin": 0.02,
        }
    )


def without_ends(name: str) -> Colormap:
    """Cut the near-black and near-white ends off a perceptually uniform map."""
    return ListedColormap(sns.color_palette(name, as_cmap=True)(np.linspace(0.08, 0.84, 256)))


def _heat_picture(values: NDArray[np.float64], colours: Colormap, norm: Normalize) -> str:
    figure = Figure(figsize=(4, 4), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    sns.heatmap(
        values, mask=values == 0, cmap=colours, norm=norm, vmin=norm.vmin, vmax=norm.vmax,
        cbar=False, ax=axes, xticklabels=False, yticklabels=False, linewidths=0,
    )  # fmt: skip
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", transparent=True, metadata={"Software": None})
    with Image.open(drawing) as image:
        return _webp(image, lossless=True, quality=60)


def _wants_dark(
    values: NDArray[np.float64], colours: Colormap, norm: Normalize, *, page_is_light: bool
) -> tuple[tuple[bool, ...], ...]:
    """Say, for each cell, whether black reads better on it than white, by WCAG's contrast."""
    rgb = np.asarray(colours(norm(values)))[:, :, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - sRGB's own constants
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    dark = (luminance + 0.05) ** 2 > 1.05 * 0.05
    dark[values == 0] = page_is_light
    return tuple(tuple(row) for row in dark.tolist())


def _webp(image: Image.Image, *, quality: int, lossless: bool = False) -> str:
    content = io.BytesIO()
    image.save(content, format="WEBP", lossless=lossless, quality=quality, method=4)
    return _data_uri("image/webp", content.getvalue())


def _svg(drawing: str) -> str:
    return _data_uri("image/svg+xml", drawing.encode())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
