"""Two pictures of several recipes: their training curves, and the accuracy of every run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnist_ops.comparison.runs import Recipe
from mnist_ops.errors import legible
from mnist_ops.report import style
from mnist_ops.report.charts import scale_loss
from mnist_ops.report.plot_data import Line, accuracy_limits, below

# Okabe and Ito's colours in an order that keeps neighbours apart; from the eighth recipe on the dashes change.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
PANELS = {  # key of a row of the history -> label of its axis
    "train_loss": "training loss\n(nats)", "train_accuracy": "training\naccuracy (%)",
    "validation_accuracy": "validation\naccuracy (%)", "test_accuracy": "test\naccuracy (%)",
}
LONGEST = 60  # characters of a recipe's name in a picture


def look_of(place: int) -> tuple[str, Any]:
    """Colour and dashes of the recipe with that number."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def label(recipe: Recipe) -> str:
    """A recipe's name on one line, cut if it is long."""
    name = legible(recipe.name)
    return name if len(name) <= LONGEST else name[:LONGEST - 1] + "…"


def panels(recipes: Sequence[Recipe]) -> list[str]:
    """The keys that a run has recorded for more than its last epoch, in the order of their panels."""
    return [key for key in PANELS if any(key in row for recipe in recipes for run in recipe.runs
                                         for row in run.history[:-1] or run.history)]


def mean_course(recipe: Recipe, key: str) -> tuple[list[int], list[float]]:
    """Epochs and the mean over the runs that have recorded the key there."""
    values: dict[int, list[float]] = {}
    for run in recipe.runs:
        for row in run.history:
            if key in row:
                values.setdefault(row["epoch"], []).append(row[key])
    epochs = sorted(values)
    return epochs, [float(np.mean(values[epoch])) for epoch in epochs]


def draw_courses(recipes: Sequence[Recipe]) -> Figure:
    """A panel for each key over one axis of epochs: a thin line for each run, a thick one for a recipe's mean."""
    keys = panels(recipes)
    figure = style.new_figure(1.0 + 2.0 * len(keys) + 0.2 * len(recipes), layout="constrained")
    axes: list[Axes] = list(figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0])
    for name, panel in zip(keys, axes, strict=True):
        for place, recipe in enumerate(recipes):
            _draw_course(panel, recipe, name, place)
        panel.set_ylabel(PANELS[name])
        if name.endswith("loss"):
            scale_loss(panel)
        else:
            _from_where_it_matters(panel, recipes, name)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=15, min_n_ticks=1))
    figure.align_ylabels()
    handles = [Line2D([], [], color=look_of(place)[0], linestyle=look_of(place)[1], linewidth=2.4,
                      label=f"{label(recipe)}, n = {len(recipe.runs)}") for place, recipe in enumerate(recipes)]
    key = figure.legend(handles=handles, loc="outside upper left", handlelength=3,
                        ncols=2 if len(recipes) > 1 and max(len(label(recipe)) for recipe in recipes) <= 32 else 1)
    for text in key.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_course(panel: Axes, recipe: Recipe, key: str, place: int) -> None:
    colour, dashes = look_of(place)
    for run in recipe.runs if len(recipe.runs) > 1 else ():
        points = [(row["epoch"], row[key]) for row in run.history if key in row]
        if points:
            panel.plot(*zip(*points, strict=True), color=colour, linewidth=0.7, alpha=0.35)
    epochs, means = mean_course(recipe, key)
    panel.plot(epochs, means, color=colour, linestyle=dashes, linewidth=2.2, markersize=3.5,
               marker="o" if len(epochs) <= 30 else None)


def _from_where_it_matters(panel: Axes, recipes: Sequence[Recipe], key: str) -> None:
    """First epochs far below the rest may leave the panel, with a note; no run's last epoch does."""
    runs = [run.history for recipe in recipes for run in recipe.runs]
    points = [[(row["epoch"], row[key]) for row in history if key in row] for history in runs]
    shown = [Line(key, *zip(*line, strict=True)) for line in points if line]
    low, high = accuracy_limits(shown, min(line.values[-1] for line in shown))
    panel.set_ylim(low, high)
    panel.set_title(below(shown, low), loc="right", color=style.GREY, fontsize=9)


def draw_figures(recipes: Sequence[Recipe]) -> Figure:
    """A row for each recipe with accuracies: a dot for each run, the mean, and its 95 % interval."""
    shown = [(place, recipe, spread) for place, recipe in enumerate(recipes) if (spread := recipe.spread)]
    figure = style.new_figure(0.8 + 0.85 * len(shown))
    panel = style.panel(figure, left=0.15, bottom=0.55, top=0.15)
    for row, (place, recipe, spread) in enumerate(shown):
        colour, _ = look_of(place)
        values = sorted(recipe.accuracies.values())
        panel.plot(values, _piled(values, row), "o", color=colour, alpha=0.55, markersize=6, markeredgewidth=0)
        if spread.interval:
            panel.plot(spread.interval, [row, row], color=colour, linewidth=2)
        panel.plot([spread.mean], [row], "D", color=colour, markersize=8, markeredgecolor="white")
        known = "" if spread.sd is None else f", SD {spread.sd:.3f}"
        panel.annotate(f"{label(recipe)}: mean {spread.mean:.3f} %{known}, n = {spread.n}", (0, row - 0.36),
                       xycoords=("axes fraction", "data"), va="center", fontsize=9.5, parse_math=False,
                       bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    panel.set(ylim=(len(shown) - 0.45, -0.6), yticks=[], xlabel="test accuracy of a run (%)")
    panel.margins(x=0.06)
    panel.xaxis.set_major_formatter(ticker.ScalarFormatter(useOffset=False))
    panel.spines["left"].set_visible(False)
    return figure


def _piled(values: Sequence[float], row: int) -> list[float]:
    """Heights of the dots: equal values are stacked downwards."""
    return [row + 0.14 + 0.08 * values[:number].count(value) for number, value in enumerate(values)]
