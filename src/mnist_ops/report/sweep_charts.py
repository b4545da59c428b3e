"""Pictures of many runs: the seeds of a sweep with their mean and interval, and the trials of a search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_ops.report import style

SEEDS_PICTURE, FRONT_PICTURE = "seeds.png", "front.png"
TITLES = {"accuracy": "validation accuracy (%)", "parameters": "parameters", "macs": "multiply-adds per image"}
PARTS = ("validation", "test")
Row = dict[str, Any]


def draw_seeds(results: Row) -> Figure:
    """A row for each evaluated split: a dot for each run, the mean, and its 95 % interval."""
    parts = [part for part in PARTS if part in results]
    texts = [_spread_text(part, results[part]) for part in parts]
    title = f"{results['recipe']} on {Path(results['dataset']).name}: accuracy of {len(results['runs'])} seeds"
    top = style.heading_height(*texts)
    figure = style.new_figure(top + 0.75 + 0.95 * len(parts))
    style.heading(figure, title, *texts)
    panel = style.panel(figure, left=1.0, bottom=0.6, top=top)
    for row, part in enumerate(parts):
        _draw_runs(panel, row, part, results)
    panel.set(ylim=(len(parts) - 0.4, -0.6), yticks=range(len(parts)), yticklabels=parts)
    panel.set_xlabel("accuracy of a run (%)")
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.margins(x=0.06)
    panel.xaxis.set_major_formatter(ticker.ScalarFormatter(useOffset=False))
    return figure


def _spread_text(part: str, found: Row) -> str:
    text = f"{part.capitalize()}: mean {found['mean']:.3f} %, n = {found['n']}"
    if found["interval"] is None:
        return text
    low, high = found["interval"]
    return f"{text}, SD {found['sd']:.3f}, 95 % interval of the mean {low:.3f} to {high:.3f} %"


def _draw_runs(panel: Axes, row: int, part: str, results: Row) -> None:
    """Dots above the line with the mean and its interval; equal ones are stacked."""
    colour, found = style.LINES[part]["color"], results[part]
    values = sorted(run[f"{part}_accuracy"] for run in results["runs"])
    room = min(0.09, 0.42 / max(values.count(value) for value in values))
    heights = [row - 0.1 - room * values[:place].count(value) for place, value in enumerate(values)]
    panel.plot(values, heights, "o", color=colour, alpha=0.6, markersize=6, markeredgewidth=0)
    if found["interval"]:
        panel.plot(found["interval"], [row + 0.16] * 2, "|-", color=colour, linewidth=2, markersize=10,
                   markeredgewidth=2)
    panel.plot([found["mean"]], [row + 0.16], "D", color=colour, markersize=8, markeredgecolor="white")


def draw_front(trials: Sequence[Row], chosen: Sequence[int], objectives: Sequence[str]) -> Figure:
    """Every trained trial as a dot; the chosen ones larger, with their numbers, and connected if they are a front.

    trials: {trial, parameters, macs, accuracy, ...}. The axes are accuracy and the second objective, by default
    parameters; a third objective is not drawn."""
    across, up = _axes_of(objectives)
    best = [row for row in trials if row["trial"] in chosen]
    counted = f"{len(trials):,} trained trials, {len(best)} chosen"
    caption = "Orange: chosen, no other trial is at least as good in every objective and better in one."
    if len(objectives) == 1:
        caption = f"Orange: chosen, the best by {TITLES[objectives[0]]}."
    top = style.heading_height(caption)
    figure = style.new_figure(4.6 + top)
    style.heading(figure, f"Search for {', '.join(TITLES[one] for one in objectives)}: {counted}", caption)
    panel = style.panel(figure, left=0.95, bottom=0.6, top=top)
    panel.plot([row[across] for row in trials], [row[up] for row in trials], "o", color=style.PALE, markersize=5,
               markeredgewidth=0, alpha=0.9)
    ordered = sorted(best, key=lambda row: (row[across], row[up]))
    panel.plot([row[across] for row in ordered], [row[up] for row in ordered], marker="o", color=style.VERMILLION,
               drawstyle="steps-post", linestyle="-" if len(objectives) == 2 else "", markersize=8, linewidth=1.4,
               markeredgecolor="white")
    _name(panel, ordered, across, up)
    panel.set(xlabel=TITLES[across], ylabel=TITLES[up])
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    panel.margins(0.07)
    return figure


def _axes_of(objectives: Sequence[str]) -> tuple[str, str]:
    """The horizontal and the vertical axis."""
    others = [one for one in objectives if one != "accuracy"]
    if "accuracy" in objectives or len(others) < 2:
        return (others or ["parameters"])[0], "accuracy"
    return others[0], others[1]


def _name(panel: Axes, ordered: Sequence[Row], across: str, up: str) -> None:
    """The numbers of the chosen trials, if they are few enough to read."""
    if len(ordered) > 20:
        return
    for row in ordered:
        panel.annotate(str(row["trial"]), (row[across], row[up]), (-5, 5), textcoords="offset points", ha="right",
                       fontsize=9, color=style.VERMILLION)
