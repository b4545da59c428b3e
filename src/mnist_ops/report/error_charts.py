"""Three charts of a network's errors: confusion, precision and recall per class, reliability."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_ops.report import style
from mnist_ops.score.metrics import Calibration, ClassScore, Confused, in_words
from mnist_ops.score.statistics import wilson

ERRORS = LinearSegmentedColormap.from_list("errors", ["#FFF3E8", "#F2A66A", style.VERMILLION, "#8A3B00"])
DIAGONAL = "#DCE6EC"
NUMBERED = 40  # most classes for which the counts fit into the cells


def draw_confusion(counts: NDArray[np.int64], classes: Sequence[str], title: str, caption: str) -> Figure:
    """Rows true, columns predicted. The errors have their own scale, so that they are visible beside the diagonal."""
    number = len(counts)
    key = "Rows: true class; columns: predicted class. Blue-grey: right; orange to brown: wrong, darker for more."
    head = style.heading_height(caption, key)
    size = _name_size(number)
    wide = min(1.7, 0.1 + max(style.width_of(name, size) for name in classes))
    side = min(0.6 * number, style.WIDTH - wide - 0.75)
    figure = style.new_figure(head + 0.35 + wide * (wide > 0.5) + side + 0.1)
    style.heading(figure, title, caption, key)
    left = wide + 0.35 + max(0.0, (style.WIDTH - 0.75 - wide - side) / 2)
    axes = figure.add_axes((left / style.WIDTH, 0.1 / figure.get_figheight(), side / style.WIDTH,
                            side / figure.get_figheight()))
    wrong = counts.astype(float)
    wrong[np.eye(number, dtype=bool) | (counts == 0)] = np.nan
    axes.imshow(np.where(np.eye(number, dtype=bool), 1.0, np.nan), cmap=LinearSegmentedColormap.from_list(
        "right", [DIAGONAL, DIAGONAL]), vmin=0, vmax=1)
    most = np.nanmax(wrong) if np.isfinite(wrong).any() else 1
    axes.imshow(wrong, cmap=ERRORS, vmin=min(1, most - 1), vmax=most)
    names = [style.shorten(name, wide, size=size) for name in classes]
    axes.set_xticks(range(number), names, parse_math=False, fontsize=size, rotation=90 if wide > 0.5 else 0)
    axes.set_yticks(range(number), names, parse_math=False, fontsize=size)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=False, which="major")
    axes.grid(which="minor", color="#E3E3E3", linewidth=0.6)
    axes.spines[:].set_visible(False)
    if number <= NUMBERED:
        _write_counts(axes, counts, most)
    return figure


def _name_size(number: int) -> float:
    """Points, so that a name fits into the height of a cell."""
    return max(4.0, min(9.5, 6.4 / number * 72 * 0.7))


def _write_counts(axes: Axes, counts: NDArray[np.int64], most: float) -> None:
    """The number of images in each non-empty cell, white on the dark ones."""
    size = max(4.5, min(10.0, 6.4 / len(counts) * 72 * 0.30))
    for row, column in np.argwhere((counts > 0) | np.eye(len(counts), dtype=bool)).tolist():
        count, wrong = int(counts[row, column]), row != column
        axes.text(column, row, f"{count:,}" if size > 6 else str(count), ha="center", va="center", fontsize=size,
                  color="white" if wrong and count > 0.6 * most else style.BLACK if wrong else style.GREY,
                  weight="bold" if wrong else "normal")


def draw_classes(scores: Sequence[ClassScore], classes: Sequence[str], confused: Sequence[Confused],
                 title: str) -> Figure:
    """A line for each class with its precision and recall, and its number of images."""
    brief = [textwrap.shorten(name, 24, placeholder="…") for name in classes]
    most = "; ".join(in_words(one, brief) for one in confused[:5])
    captions = ("Recall: share of a class's images that are found. Precision: share of its predictions that are right.",
                f"Most frequent confusions: {most}." if most else "No confusions.")
    head = style.heading_height(*captions) + 0.3
    figure = style.new_figure(head + 0.26 * len(scores) + 0.52)
    style.heading(figure, title, *captions)
    wide = min(1.8, 0.1 + max(style.width_of(name, 9.5) for name in classes))
    height = figure.get_figheight()
    axes = figure.add_axes(((wide + 0.15) / style.WIDTH, 0.5 / height, 1 - (wide + 2.35) / style.WIDTH,
                            0.26 * len(scores) / height))
    places = range(len(scores))
    for name, marker, colour, face in (("precision", "D", style.BLUE, "white"),
                                       ("recall", "o", style.VERMILLION, style.VERMILLION)):
        shown = [(getattr(one, name), place) for place, one in enumerate(scores) if getattr(one, name) is not None]
        axes.plot([value for value, _ in shown], [place for _, place in shown], linestyle="", marker=marker,
                  color=colour, markerfacecolor=face, markersize=6, markeredgewidth=1.5, label=name, clip_on=False)
    for place, one in enumerate(scores):
        if one.precision is not None and one.recall is not None:
            axes.plot([one.precision, one.recall], [place, place], color=style.PALE, linewidth=2, zorder=1.5)
        text = f"{one.images:,} / {one.predictions:,} / " + ("–" if one.f1 is None else f"{one.f1:.2f}")
        axes.text(1.04, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.text(1.04, -0.85, "images / predictions / F1", transform=axes.get_yaxis_transform(), va="center", fontsize=9,
              color=style.GREY)
    _scale_shares(axes, [value for one in scores for value in (one.precision, one.recall) if value is not None])
    axes.set_yticks(places, [style.shorten(name, wide) for name in classes], parse_math=False)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("percent")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0.1)
    return figure


def _scale_shares(axes: Axes, values: Sequence[float]) -> None:
    """From a little below the lowest to 100."""
    low = min(values, default=0.0)
    room = max(0.06 * (100 - low), 0.05)
    axes.set_xlim(max(low - room, -2), 100 + room / 2)
    axes.set_xticks([tick for tick in axes.get_xticks() if low - room <= tick <= 100 + 1e-6])


def draw_calibration(shown: Calibration, title: str) -> Figure:
    """Above, the accuracy of each bin over its mean confidence with its 95 % interval; below, the images per bin."""
    caption = (f"Expected calibration error {shown.ece:.2f} points; mean confidence {shown.mean_confidence:.2f} %, "
               f"accuracy {shown.accuracy:.2f} %.")
    key = ("On the dashed line the probabilities are accurate; below it the network is overconfident, above it "
           "underconfident. Thin lines: 95 % intervals.")
    head = style.heading_height(caption, key)
    figure = style.new_figure(head + 5.6)
    style.heading(figure, title, caption, key)
    height = figure.get_figheight()
    left, wide = 0.85 / style.WIDTH, 1 - 1.05 / style.WIDTH
    upper = figure.add_axes((left, 2.15 / height, wide, (height - head - 2.25) / height))
    lower = figure.add_axes((left, 0.55 / height, wide, 1.35 / height), sharex=upper)
    upper.plot([0, 100], [0, 100], color=style.GREY, linewidth=1.1, linestyle=(0, (6, 2)), zorder=1.5)
    filled = [one for one in shown.bins if one.count]
    for one in filled:
        confidence, accuracy = one.confidence or 0.0, one.accuracy or 0.0
        low, high = wilson(round(accuracy * one.count / 100), one.count)
        upper.plot([confidence] * 2, [low, high], color=style.BLUE, linewidth=1.2, solid_capstyle="butt")
        upper.plot([confidence] * 2, [accuracy, confidence], color=style.VERMILLION, linewidth=4, alpha=0.45,
                   solid_capstyle="butt", zorder=1.8)
        upper.plot([confidence], [accuracy], "o", color=style.BLUE, markersize=6, clip_on=False)
        lower.text((one.low + one.high) / 2, one.count, f"{one.count:,}", ha="center", va="bottom", fontsize=8)
    lower.bar([one.low for one in filled], [one.count for one in filled], width=100 / len(shown.bins), align="edge",
              color=style.PALE, edgecolor="white")
    upper.set(xlim=(0, 100), ylim=(0, 100), ylabel="accuracy in the bin (%)")
    upper.tick_params(labelbottom=False)
    lower.text(0.01, 0.97, "logarithmic", transform=lower.transAxes, va="top", fontsize=8, color=style.GREY)
    lower.set(yscale="log", xlabel="probability of the predicted class (%)", ylabel="images",
              ylim=(0.7, 3.5 * max(one.count for one in filled)))
    lower.yaxis.set_major_formatter(ticker.FuncFormatter(lambda count, _: f"{count:,.0f}"))
    lower.yaxis.set_minor_locator(ticker.NullLocator())
    figure.align_ylabels()
    return figure
