"""Two charts: the loss over the learning rate, and a run over its epochs. Their data is in `plot_data`."""

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnist_ops.optim.tune import RangeTest
from mnist_ops.report import style
from mnist_ops.report.plot_data import Line, Mark, accuracy_limits, below, lines, loss_limits, marks, spread_labels
from mnist_ops.score.verdict import Row, reported_row


def draw_rate(test: RangeTest) -> Figure:
    """The labels are above the axes, side by side, so that they do not overlap."""
    figure = style.new_figure(4.6)
    style.title(figure, f"Learning-rate range test: peak rate {test.lr:.3g}")
    axes = style.panel(figure, left=0.7, bottom=0.55, top=1.25)
    axes.plot(test.rates, test.losses, color=style.PALE, linewidth=0.9, label="mean loss of the sweeps")
    axes.plot(test.rates, test.smoothed, color=style.BLUE, linewidth=2.2, label="smoothed")
    axes.axvline(test.lr, color=style.VERMILLION, linewidth=1.6, zorder=1.5)
    shown = marks(test)
    lowest, highest = min(test.rates[0], shown[0].rate), max(test.rates[-1], shown[-1].rate)
    axes.set(xscale="log", xlim=(lowest / 1.08, highest * 1.08), ylim=loss_limits(test),
             xlabel="learning rate (logarithmic)", ylabel="training loss (nats)")
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.grid(visible=False, axis="x")
    axes.legend(loc="lower left")
    _label(axes, shown)
    return figure


def _label(axes: Axes, shown: Sequence[Mark]) -> None:
    """Each mark as a point on the curve or a line, with a label above the axes and a thin line between the two."""
    low, high = np.log(axes.get_xlim())
    places = [float((np.log(mark.rate) - low) / (high - low)) for mark in shown]
    for mark, place, centre in zip(shown, places, spread_labels(places, 0.2), strict=True):
        strong = mark.kind in ("used", "peak")
        colour = style.VERMILLION if strong else style.GREY
        axes.annotate("\n".join(mark.text), (place, 1.0), (centre, 1.09), "axes fraction", parse_math=False,
                      ha="center", va="bottom", fontsize=9, color=colour, weight="bold" if strong else "normal",
                      arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0,
                                  "relpos": (0.5, 0), "patchA": None})
        if mark.kind == "diverged":
            axes.axvline(mark.rate, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
        if mark.loss is not None:
            axes.plot([mark.rate] * 2, [mark.loss, axes.get_ylim()[1]], color=colour, linewidth=0.9)
            axes.plot([mark.rate], [mark.loss], "o", markersize=9 if strong else 6.5, zorder=4 if strong else 5,
                      markeredgewidth=1.6, color=colour, markerfacecolor=colour if strong else "white")


def draw_curves(history: Sequence[Row], target: float) -> Figure:
    """Three panels over one axis of epochs."""
    figure = style.new_figure(6.4, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2.2, 1.2]})
    accuracies, losses = lines(history, "accuracy"), lines(history, "loss")
    _draw_lines(top, accuracies)
    _draw_lines(middle, losses)
    epochs = [row["epoch"] for row in history]
    bottom.plot(epochs, [row["last_lr"] for row in history], color=style.GREY, clip_on=False,
                marker="o" if len(epochs) <= 30 else None)
    bottom.set(xlabel="epoch", ylabel="learning rate\n(end of epoch)", xlim=(epochs[0] - 0.4, epochs[-1] + 0.4))
    bottom.set_ylim(0, 1.12 * max(row["last_lr"] for row in history) or 1)
    bottom.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, nbins=15, min_n_ticks=1))
    bottom.yaxis.set_major_formatter(ticker.FuncFormatter(lambda rate, _: f"{rate:.3g}"))
    middle.set_ylabel("loss (nats)")
    scale_loss(middle)
    top.set_ylabel("accuracy (%)")
    low, high = accuracy_limits(accuracies, target)
    top.set_ylim(low, high)
    top.set_yticks([tick for tick in top.get_yticks() if low <= tick <= min(high, 100)])
    top.set_title(below(accuracies, low), loc="right", color=style.GREY, fontsize=9)
    figure.align_ylabels()
    _draw_key(figure, (top, middle, bottom), history, target)
    return figure


def _draw_lines(axes: Axes, shown: Sequence[Line]) -> None:
    """A point per epoch, unless there are too many."""
    for line in shown:
        marker = {"marker": None} if len(line.epochs) > 30 else {}
        axes.plot(line.epochs, line.values, **style.LINES[line.part] | marker, label=line.part)


def scale_loss(axes: Axes) -> None:
    """A logarithmic axis if the losses span more than a factor of five: the end is what matters."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    if values.min() > 0 and values.max() > 5 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _draw_key(figure: Figure, panels: Sequence[Axes], history: Sequence[Row], target: float) -> None:
    """One legend for all panels: splits with their last accuracy, target, reported epoch."""
    handles = []
    for line in lines(history, "accuracy"):
        handles.append(Line2D([], [], **style.LINES[line.part], label=f"{line.part} ({line.values[-1]:.2f} % last)"))
    if target > 0:
        handles.append(panels[0].axhline(target, color=style.BLACK, linewidth=1.1, linestyle=(0, (6, 2)), zorder=1.5,
                                         label=f"target {target:g} %"))
    kept = reported_row(history)
    if kept is not history[-1]:
        for axes in panels:
            mark = axes.axvline(kept["epoch"], color=style.GREY, linewidth=1.1, linestyle=(0, (1, 2)), zorder=1.5,
                                label=f"weights kept: epoch {kept['epoch']}")
        handles.append(mark)
    figure.legend(handles=handles, loc="outside upper left", ncols=3 if len(handles) > 4 else 4, handlelength=2.6,
                  title="Accuracy, loss and learning rate after each epoch", alignment="left",
                  title_fontproperties={"weight": "bold", "size": 11})
