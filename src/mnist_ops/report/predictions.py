"""The picture of `mnist-ops predict --show`: each original, the network's input, and its prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_ops.pictures.sampling import shrink
from mnist_ops.report import style
from mnist_ops.score.refusal import READ, UNSURE

COLUMNS, BARS = 2, 10  # pictures side by side; bars of the most probable classes
SIDE, ROW, TOP = 1.04, 1.52, 0.42  # inches: a picture, from row to row, above the first row
NAMES_AT, END = 2.28, 3.8  # inches from a picture's left to the names of the classes, and to the end of their bars
MOST_NAMES = 0.9  # inches of the names; the bars get the rest
NAME_SIZE, TITLE_SIZE = 7.5, 9  # of the fonts, in points
LARGEST = 400  # pixels of the longer side of a drawn original


@dataclass(frozen=True, eq=False)
class Prediction:
    """One picture and its prediction."""

    name: str  # of its file
    original: NDArray[np.uint8]  # (H, W) or (H, W, 3)
    seen: NDArray[np.uint8]  # (side, side) or (3, side, side)
    probabilities: dict[str, float]  # by class
    label: str | None  # its class, if known
    verdict: str | None = None  # as of `Reading`


def draw_predictions(answers: Sequence[Prediction]) -> Figure:
    """Two pictures a row, each with the network's input and a bar for each class, the predicted one in colour."""
    rows = -(-len(answers) // COLUMNS)
    figure = style.new_figure(TOP + rows * ROW)
    style.title(figure, "The picture, the network's input, and the probability of each class")
    shown = {name for answer in answers for name in _ranked(answer.probabilities)}
    start = NAMES_AT + min(MOST_NAMES, max(style.width_of(name, NAME_SIZE) for name in shown)) + 0.1
    for number, answer in enumerate(answers):
        row, column = divmod(number, COLUMNS)
        left, top = 0.12 + column * style.WIDTH / COLUMNS, TOP + row * ROW
        best = max(answer.probabilities, key=lambda name: answer.probabilities[name])
        wrong = answer.label is not None and answer.label != best
        refused = answer.verdict not in (None, READ, UNSURE)
        colour = style.GREY if refused else style.VERMILLION if wrong else style.BLUE
        name = style.shorten(answer.name, 2 * SIDE, size=TITLE_SIZE, end=True)
        for text, at, shade in ((name, 0.0, style.BLACK), (_verdict(answer, best), NAMES_AT, colour)):
            figure.text((left + at) / style.WIDTH, 1 - (top + 0.06) / figure.get_figheight(), text,
                        fontsize=TITLE_SIZE, va="top", color=shade, parse_math=False)
        _image(_box(figure, left, top + 0.26), _small(answer.original))
        _image(_box(figure, left + SIDE + 0.08, top + 0.26), style.channels_last(answer.seen))
        _bars(_box(figure, left + start, top + 0.26, END - start), answer.probabilities, best, colour)
    return figure


def _small(original: NDArray[np.uint8]) -> NDArray[np.integer]:
    """At most LARGEST pixels wide and high."""
    if original.ndim == 2:
        return shrink(original, LARGEST)
    return np.stack([shrink(original[..., channel], LARGEST) for channel in range(3)], -1)


def _verdict(answer: Prediction, best: str) -> str:
    """The class with its probability, and the right one if it differs; only the names are cut. Or a refusal."""
    if answer.verdict not in (None, READ, UNSURE):
        return answer.verdict or ""
    told = f", {100 * answer.probabilities[best]:.1f} %{', unsure' if answer.verdict == UNSURE else ''}"
    room = END - NAMES_AT - style.width_of(told, TITLE_SIZE)
    if answer.label in (None, best):
        return style.shorten(best, room, size=TITLE_SIZE) + told
    room -= style.width_of(", is ", TITLE_SIZE)
    least = min(style.width_of(answer.label, TITLE_SIZE), room / 2)  # what the right one needs, or half
    first = style.shorten(best, room - least, size=TITLE_SIZE)
    right = style.shorten(answer.label, room - style.width_of(first, TITLE_SIZE), size=TITLE_SIZE)
    return f"{first}{told}, is {right}"


def _ranked(probabilities: dict[str, float]) -> list[str]:
    """The most probable classes, in the classes' own order."""
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])[:BARS]
    return [name for name in probabilities if name in ranked]


def _box(figure: Figure, left: float, top: float, width: float = SIDE) -> Axes:
    """Axes of that width, SIDE high, whose upper left corner is that many inches from the figure's."""
    height = figure.get_figheight()
    return figure.add_axes((left / style.WIDTH, 1 - (top + SIDE) / height, width / style.WIDTH, SIDE / height))


def _image(axes: Axes, grey: NDArray[np.integer]) -> None:
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")
    axes.grid(visible=False)


def _bars(axes: Axes, probabilities: dict[str, float], best: str, colour: str) -> None:
    names = _ranked(probabilities)
    places = range(len(names))
    axes.barh(places, [probabilities[name] for name in names], height=0.75,
              color=[colour if name == best else style.PALE for name in names])
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    labels = [style.shorten(name, MOST_NAMES, size=NAME_SIZE) for name in names]
    axes.set_yticks(places, labels, fontsize=NAME_SIZE, parse_math=False)
    axes.tick_params(length=0, pad=2)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
