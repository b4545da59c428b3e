"""The pictures of docs/performance.md, in the style of the project's others."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.sections import speeds
from benchmarks.wording import MEGABYTE, NAMES, plural
from mnist_ops.report import style

Part = dict[str, Any]
MARKERS = (("o", "-", style.BLUE), ("s", "--", style.VERMILLION), ("D", ":", style.GREEN))


def draw_speed(part: Part) -> Figure:
    """A row for each program: a dot a round, a bar across at their median; logarithmic, as ratios are what matters."""
    contenders = part["contenders"]
    figure = style.new_figure(0.95 + 0.55 * len(contenders))
    style.title(figure, f"Training images a second, {part['rounds']} interleaved rounds")
    axes = style.panel(figure, left=1.95, bottom=0.6, top=0.4)
    for row, (name, one) in enumerate(contenders.items()):
        values = sorted(speeds(one))
        colour = style.BLUE if name in part["recipes"] else style.VERMILLION
        middle = statistics.median(values)
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=6, alpha=0.6, markeredgewidth=0)
        axes.plot([middle] * 2, [row - 0.28, row + 0.28], color=colour, linewidth=2.4)
        axes.annotate(f"{middle:,.0f}", (values[-1], row), (8, 0), textcoords="offset points", va="center")
    every = [value for one in contenders.values() for value in speeds(one)]
    axes.set(xscale="log", ylim=(len(contenders) - 0.5, -0.5), xlim=(min(every) / 2, max(every) * 1.9),
             xlabel="images/s (logarithmic)")
    axes.set_yticks(range(len(contenders)), [NAMES.get(name, name) for name in contenders])
    _plain(axes, "x")
    return figure


def draw_scaling(part: Part) -> Figure:
    """A line for each number of threads."""
    figure = style.new_figure(3.4)
    style.title(figure, f"Training images a second of recipe {part['recipe']}")
    axes = style.panel(figure, left=0.85, bottom=0.6, top=0.45)
    for place, threads in enumerate(sorted({row["threads"] for row in part["rows"]})):
        rows = [row for row in part["rows"] if row["threads"] == threads]
        _line(axes, [row["batch"] for row in rows], [row["images_per_second"] for row in rows], place,
              plural(threads, "thread"))
    batches = sorted({row["batch"] for row in part["rows"]})
    axes.set(xscale="log", xlabel="images in a batch (logarithmic)", ylabel="images/s")
    axes.set_ylim(bottom=0)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="lower right")
    return figure


def draw_cost(part: Part) -> Figure:
    """Four panels: time against images, epochs and parameters, memory against images."""
    figure = style.new_figure(6.5, layout="constrained")
    figure.suptitle(f"What training recipe {part['recipe']} costs", x=0.012, ha="left", fontsize=11, weight="bold")
    panels = figure.subplots(2, 2).ravel()
    images, epochs = part["images"], part["epochs"]
    counts = [row["images"] / 1000 for row in images]
    _line(panels[0], counts, [row["seconds"] for row in images], 0)
    panels[0].set(xlabel="training images (thousands), one epoch", ylabel="seconds")
    _line(panels[1], counts, [row["peak_bytes"] / MEGABYTE for row in images], 1)
    panels[1].set(xlabel="training images (thousands)", ylabel="peak memory (MB)")
    numbers = [row["epochs"] for row in epochs]
    _line(panels[2], numbers, [row["seconds"] for row in epochs], 0, "in all")
    _line(panels[2], numbers, [row["search_seconds"] for row in epochs], 1, "rate search")
    panels[2].set(xlabel=f"epochs of {part['epochs_images']:,} images", ylabel="seconds")
    panels[2].legend()
    for panel in panels[:3]:
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1.1 * panel.dataLim.y1)
    _draw_models(panels[3], part["models"])
    return figure


def _draw_models(axes: Axes, models: Sequence[Part]) -> None:
    """Seconds against thousands of parameters, both logarithmic: widths of one network on a line, and the zoo."""
    widths = sorted((row for row in models if row["width"] is not None), key=lambda row: row["parameters"])
    others = [row for row in models if row["width"] is None]
    _line(axes, [row["parameters"] / 1000 for row in widths], [_epoch_seconds(row) for row in widths], 0,
          "widths of its network")
    axes.plot([row["parameters"] / 1000 for row in others], [_epoch_seconds(row) for row in others], "D",
              color=style.GREEN, markersize=7, markerfacecolor="none", markeredgewidth=1.6, label="networks by name")
    axes.set(xscale="log", yscale="log", xlabel="parameters (thousands, logarithmic)",
             ylabel="seconds for 60,000 images\n(logarithmic)")
    axes.margins(0.12)
    _plain(axes, "x")
    _plain(axes, "y")
    axes.legend(loc="lower right")


def _epoch_seconds(row: Part) -> float:
    return float(60_000 / row["images_per_second"])


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], place: int, label: str | None = None) -> None:
    marker, dashes, colour = MARKERS[place % len(MARKERS)]
    axes.plot(x, y, marker=marker, linestyle=dashes, color=colour, label=label)


def _plain(axes: Axes, which: str) -> None:
    """Ordinary numbers on a logarithmic axis."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))


PICTURES: dict[str, tuple[str, Callable[[Part], Figure]]] = {
    "bench-speed.png": ("compare", draw_speed),
    "bench-scaling.png": ("scaling", draw_scaling),
    "bench-cost.png": ("cost", draw_cost),
}
