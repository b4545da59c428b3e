"""The picture of `mnist-ops predict --show`: each original, what the network saw of it, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_ops.data.sampling import shrink
from mnist_ops.errors import legible
from mnist_ops.ship import style

COLUMNS, BARS = 2, 10  # pictures side by side; the most probable classes that get a bar
SIDE, ROW, TOP, BARS_AT = 1.04, 1.52, 0.42, 2.52  # inches: a picture, from row to row, above the first row, to the bars
LARGEST = 400  # pixels of the longer side of an original as it is drawn


@dataclass(frozen=True, eq=False)
class Answer:
    """One picture and what was read in it."""

    name: str  # of its file
    original: NDArray[np.uint8]  # (H, W)
    seen: NDArray[np.uint8]  # (28, 28)
    probabilities: dict[str, float]  # by class
    label: str | None  # its class, where it is known


def answers_picture(path: Path, answers: Sequence[Answer]) -> Path:
    """Write the sheet of all answers, at least one, to `path`. Raises RunError where that fails."""
    with style.look():
        return style.save(path, draw_answers(answers))


def draw_answers(answers: Sequence[Answer]) -> Figure:
    """Two pictures a row, each with what the network saw and a bar for each class, the read one in colour."""
    rows = -(-len(answers) // COLUMNS)
    figure = style.new_figure(TOP + rows * ROW)
    style.title(figure, "The picture, what the network saw, and how probable it finds each class")
    for number, answer in enumerate(answers):
        row, column = divmod(number, COLUMNS)
        left, top = 0.12 + column * style.WIDTH / COLUMNS, TOP + row * ROW
        best = max(answer.probabilities, key=lambda name: answer.probabilities[name])
        wrong = answer.label is not None and answer.label != best
        colour = style.VERMILLION if wrong else style.BLUE
        verdict = f"{best}, {100 * answer.probabilities[best]:.1f} %" + (f", is {answer.label}" if wrong else "")
        for text, at, width, shade in ((answer.name, 0.0, 2 * SIDE, style.BLACK), (verdict, BARS_AT, 1.3, colour)):
            figure.text((left + at) / style.WIDTH, 1 - (top + 0.06) / figure.get_figheight(),
                        style.shorten(text, width, size=9), fontsize=9, va="top", color=shade, parse_math=False)
        _image(_square(figure, left, top + 0.26), shrink(answer.original, LARGEST))
        _image(_square(figure, left + SIDE + 0.08, top + 0.26), answer.seen)
        _bars(_square(figure, left + BARS_AT, top + 0.26), answer.probabilities, best, colour)
    return figure


def _square(figure: Figure, left: float, top: float) -> Axes:
    """Axes of SIDE by SIDE whose upper left corner is so many inches from the figure's."""
    height = figure.get_figheight()
    return figure.add_axes((left / style.WIDTH, 1 - (top + SIDE) / height, SIDE / style.WIDTH, SIDE / height))


def _image(axes: Axes, grey: NDArray[np.integer]) -> None:
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")
    axes.grid(visible=False)


def _bars(axes: Axes, probabilities: dict[str, float], best: str, colour: str) -> None:
    """The most probable classes, in the classes' own order."""
    ranked = sorted(probabilities, key=lambda name: -probabilities[name])[:BARS]
    names = [name for name in probabilities if name in ranked]
    places = range(len(names))
    axes.barh(places, [probabilities[name] for name in names], height=0.75,
              color=[colour if name == best else style.PALE for name in names])
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(places, [legible(name if len(name) <= 5 else f"{name[:4]}…") for name in names], fontsize=7.5,
                    parse_math=False)
    axes.tick_params(length=0, pad=2)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
