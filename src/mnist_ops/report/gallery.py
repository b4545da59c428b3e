"""Sheets of small images: galleries with place, true and predicted class and probability; augmentation."""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_ops.errors import legible
from mnist_ops.report import style
from mnist_ops.report.plot_data import Augmented

COLUMNS = 8
TILE = 168  # picture pixels of a side of an image
SMALL = 140  # of an image before and after augmentation
STEP = 192  # picture pixels from one image to the next, sideways
LEFT = (style.PIXELS - (COLUMNS - 1) * STEP - TILE) // 2
SIDE = TILE / style.DPI  # of an image, inches
SIZE, LINE = 8.0, 0.155  # font size in points, height of a line in inches
EDGE = 0.02  # inches between an image and the frame around it


@dataclass(frozen=True, eq=False)
class Tile:
    """One image and its labels."""

    image: NDArray[np.uint8]  # (side, side), 0 black, or (3, side, side)
    place: str  # index, or file name
    true: str
    read_as: str
    probability: float  # 0 to 1
    marked: bool = False


def draw_gallery(tiles: Sequence[Tile], title: str, caption: str = "", *,
                 words: tuple[str, str] = ("true", "read as"), mark: str = "") -> Figure:
    """Tiles in rows of eight, in their order; at least one.

    words: what the two class names of a tile mean; mark: the meaning of a marked tile. Places too long for a line with
    the probability, such as file names, get a separate line, of which the end is kept."""
    rows = -(-len(tiles) // COLUMNS)
    form = _form(tiles)
    key = _key(form, words, mark if any(tile.marked for tile in tiles) else "")
    head = style.heading_height(caption, key)
    step = form.above + form.below + SIDE + 0.14  # inches
    figure = style.new_figure(head + rows * step)
    style.heading(figure, title, caption, key)
    for number, (tile, place) in enumerate(zip(tiles, _places(tiles), strict=True)):
        row, column = divmod(number, COLUMNS)
        top = figure.get_figheight() - head - row * step - form.above
        _draw_tile(figure, replace(tile, place=place), ((LEFT + column * STEP) / style.DPI, top), form)
    return figure


def _places(tiles: Sequence[Tile]) -> list[str]:
    """The places, shortened to fit over a tile: the end of a file name is kept, without the ending that all share."""
    names = [legible(tile.place) for tile in tiles]
    ends = zip(*(name[::-1] for name in names), strict=False)  # the last letters of all, the ones before those, ...
    shared = len(list(itertools.takewhile(lambda end: len(set(end)) == 1, ends))) if len(names) > 1 else 0
    fitting = []
    for name in names:
        long = style.width_of(name, SIZE) > SIDE
        told = f"{name[:-shared]}…" if long and 0 < shared < len(name) else name
        fitting.append(style.shorten(told, SIDE, size=SIZE, end=True))
    return fitting


@dataclass(frozen=True)
class _Form:
    """The layout of a tile's lines."""

    lone: bool  # the place is on a separate line, above the probability
    brief: bool  # both class names fit on one line

    @property
    def above(self) -> float:
        return (2 if self.lone else 1) * LINE + 0.01  # inches, as is below

    @property
    def below(self) -> float:
        return 0.2 if self.brief else 2 * LINE + 0.03


def _form(tiles: Sequence[Tile]) -> _Form:
    return _Form(lone=any(len(tile.place) > 6 for tile in tiles),
                 brief=all(len(name) <= 2 for tile in tiles for name in (tile.true, tile.read_as)))


def _key(form: _Form, words: tuple[str, str], mark: str) -> str:
    """The legend in words."""
    place = "file" if form.lone else "place in the dataset, counted from 0"
    text = f"Above: {place}; probability of the class after the arrow. Below: {words[0]} → {words[1]}."
    return f"{text} Framed: {mark}." if mark else text


def _draw_tile(figure: Figure, tile: Tile, corner: tuple[float, float], form: _Form) -> None:
    """The image with its upper left corner there, in inches from the figure's lower left, and its lines around it."""
    left, top = corner
    style.paste(figure, tile.image, (left, top - SIDE), TILE / tile.image.shape[-1])

    def write(text: str, x: float, y: float, **options: Any) -> None:
        figure.text(x / style.WIDTH, y / figure.get_figheight(), text, parse_math=False,
                    **{"fontsize": SIZE} | options)

    write(tile.place, left, top + 0.055 + form.lone * LINE, color=style.GREY)
    write(style.probability_text(tile.probability), left + (0 if form.lone else SIDE), top + 0.055,
          ha="left" if form.lone else "right")
    strong: dict[str, Any] = {"color": style.VERMILLION, "weight": "bold"}
    if form.brief:
        write(legible(tile.true), left + SIDE / 2 - 0.13, top - SIDE - 0.05, va="top", ha="right", fontsize=11)
        write(f"→ {legible(tile.read_as)}", left + SIDE / 2 - 0.09, top - SIDE - 0.05, va="top", fontsize=11,
              **strong)
    else:
        name = style.shorten(tile.read_as, SIDE - 0.15, size=SIZE)
        write(style.shorten(tile.true, SIDE, size=SIZE), left, top - SIDE - 0.05, va="top")
        write(f"→ {name}", left, top - SIDE - 0.05 - LINE, va="top", **strong)
    if tile.marked:
        box = ((left - EDGE) / style.WIDTH, (top - SIDE - EDGE) / figure.get_figheight())
        size = SIDE + 2 * EDGE
        figure.add_artist(Rectangle(box, size / style.WIDTH, size / figure.get_figheight(), fill=False,
                                    edgecolor=style.ORANGE, linewidth=2))


def draw_augmentation(shown: Augmented, title: str) -> Figure:
    """A row for each image: its class, the original, and then the draws."""
    columns, rows = shown.images.shape[:2]
    text = "; ".join(shown.parts) if shown.parts else "nothing is on: the network gets the original images"
    caption = text[0].upper() + text[1:] + "."
    head, step, names = style.heading_height(caption) + 0.2, 0.75, 0.95  # inches
    figure = style.new_figure(head + rows * step)
    style.heading(figure, f"{textwrap.shorten(title, 50, placeholder='…')}, before and after augmentation", caption)
    height = figure.get_figheight()
    low, high = shown.grey
    for column in range(columns):
        left = names + column * step + (0.1 if column else 0)  # a gap after the originals
        figure.text((left + SMALL / 2 / style.DPI) / style.WIDTH, 1 - (head - 0.05) / height,
                    f"draw {column}" if column else "original", ha="center", fontsize=SIZE)
        for row in range(rows):
            corner = (left, height - head - row * step - SMALL / style.DPI)
            image = shown.images[column, row]
            style.paste(figure, image, corner, SMALL / image.shape[-1], vmin=low, vmax=high)
    for row, name in enumerate(shown.classes):
        figure.text((names - 0.1) / style.WIDTH, 1 - (head + row * step + SMALL / 2 / style.DPI) / height,
                    style.shorten(name, names - 0.2), ha="right", va="center", parse_math=False,
                    fontsize=style.LOOK["xtick.labelsize"])
    return figure
