"""The style of the pictures and their files: colours, sizes, deterministic PNG bytes."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.disk import write_whole
from mnist_ops.errors import legible

WIDTH = 8.0  # inches
DPI = 200  # twice the 800 pixels at which a page shows a picture, for dense screens
PIXELS = round(WIDTH * DPI)
CAPTION, LINE = 9.5, 0.19  # font size of a caption in points, height of its line in inches

# Okabe and Ito 2008, "Color Universal Design": told apart by colour-blind readers. Dashes and markers tell them apart
# in print without colour.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
BLACK, GREY, PALE, ORANGE = "#000000", "#595959", "#9DB8CC", "#E69F00"
LINES: dict[str, dict[str, Any]] = {
    "train": {"color": BLUE, "linestyle": "--", "marker": "o", "markerfacecolor": "white"},
    "validation": {"color": GREEN, "linestyle": ":", "marker": "s"},
    "test": {"color": VERMILLION, "linestyle": "-", "marker": "o"},
}

LOOK: dict[str, Any] = {
    "font.size": 10, "axes.titlesize": 11, "legend.fontsize": 9.5, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#E3E3E3", "grid.linewidth": 0.8, "xtick.color": GREY, "ytick.color": GREY,
    "xtick.labelcolor": BLACK, "ytick.labelcolor": BLACK, "legend.frameon": False, "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}


@contextlib.contextmanager
def look() -> Iterator[None]:
    """The look of all pictures, independent of the user's matplotlib settings, which are restored afterwards."""
    with warnings.catch_warnings(), matplotlib.style.context(["default", LOOK]):
        # A class name in a script that the font lacks is drawn as boxes; that is not an error.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(height: float, **options: Any) -> Figure:
    """An empty figure of `height` inches, drawn by Agg. It is not a pyplot figure, so pyplot's state is not changed."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, **options)
    FigureCanvasAgg(figure)
    return figure


def title(figure: Figure, text: str) -> None:
    """The picture's first line, at its left edge; dollar signs are shown as such, long text is cut."""
    height = figure.get_figheight()
    room = (WIDTH - 0.2) / 1.15  # bold letters are wider
    figure.text(0.012, 1 - 0.10 / height, shorten(text, room, size=11), weight="bold", fontsize=11, va="top",
                parse_math=False)


def heading_height(*texts: str) -> float:
    """Height of `heading` in inches, with some space under it."""
    return 0.42 + LINE * len(_lines(texts))


def heading(figure: Figure, first: str, *texts: str) -> None:
    """The title and, under it, captions: each begins a line; empty ones are left out."""
    title(figure, first)
    figure.text(0.012, 1 - 0.33 / figure.get_figheight(), "\n".join(_lines(texts)), fontsize=CAPTION, va="top",
                linespacing=1.3, parse_math=False)


def _lines(texts: Sequence[str]) -> list[str]:
    """The captions wrapped to the width between words, or inside a word that is too long."""
    room, lines = WIDTH * 0.97, []
    for text in texts:
        line = ""
        for word in legible(text).split():
            longer = f"{line} {word}".lstrip()
            if width_of(longer, CAPTION) <= room:
                line = longer
                continue
            lines += [line] if line else []
            line = shorten(word, room, size=CAPTION)
        lines += [line] if line else []
    return lines


def paste(figure: Figure, image: NDArray[Any], corner: tuple[float, float], scale: float, **options: Any) -> None:
    """Draw an image (H, W) or (3, H, W) with each pixel as scale x scale pixels of the picture, without interpolation.

    corner: its lower left one, in inches from the figure's. options: cmap, vmin, vmax; by default 0 is black and 255
    white."""
    rows, columns = ((np.arange(round(side * scale)) / scale).astype(int) for side in image.shape[-2:])
    large = channels_last(image)[rows][:, columns]
    left, below = (round(part * DPI) for part in corner)
    shown: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "origin": "upper"} | options
    figure.figimage(large, left, below, **shown)


def channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """(3, H, W) -> (H, W, 3), as Matplotlib takes it; (H, W) as it is."""
    return np.moveaxis(image, 0, -1) if image.ndim == 3 else image


def probability_text(probability: float) -> str:
    """A probability from 0 to 1 in percent, never rounded up to certainty."""
    percent = 100 * probability
    if percent < 99.9:
        return f"{percent:.1f} %"
    return f"{percent:.2f} %" if percent < 99.995 else ">99.99 %"


def panel(figure: Figure, left: float, bottom: float, top: float) -> Axes:
    """Axes that leave that many inches free at the left, the bottom and the top of the figure."""
    height = figure.get_figheight()
    return figure.add_axes((left / WIDTH, bottom / height, 1 - (left + 0.15) / WIDTH, 1 - (bottom + top) / height))


@functools.lru_cache(maxsize=10_000)  # the same names are in several pictures, and in many places of one
def width_of(text: str, size: float) -> float:
    """The width of a label of that font size, in inches."""
    label = new_figure(1).text(0, 0, legible(text), fontsize=size, parse_math=False)
    return float(label.get_window_extent().width) / DPI


def shorten(text: str, width: float, *, size: float = LOOK["xtick.labelsize"], end: bool = False) -> str:
    """`text` on one line, cut with … if a label would be wider than `width` inches.

    With `end` the end is kept, which tells file names apart."""
    words = legible(" ".join(text.split()))
    if width_of(words, size) <= width:
        return words
    low, high = 0, len(words)  # characters kept: low fit, high do not
    while high - low > 1:
        middle = (low + high) // 2
        fits = width_of(_cut(words, middle, end), size) <= width
        low, high = (middle, high) if fits else (low, middle)
    return _cut(words, low, end)


def _cut(words: str, kept: int, end: bool) -> str:
    return "…" + words[len(words) - kept:].lstrip() if end else words[:kept].rstrip() + "…"


def write_picture(path: Path, draw: Callable[[], Figure]) -> Path:
    """Draw within the look, and write the figure as `save` does."""
    with look():
        return save(path, draw())


def save(path: Path, figure: Figure) -> Path:
    """Write the figure as PNG, atomically. The same figure gives the same bytes, as they have no date or version.

    Raises RunError if the file cannot be written."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels[:, :, :3])  # the background is opaque
    content = BytesIO()
    # A palette of 256 colours has all colours, or indistinguishable ones, at a third of the bytes.
    picture.quantize(256, dither=Image.Dither.NONE).save(content, "png", dpi=(DPI, DPI), optimize=True)
    write_whole(path, content.getvalue())
    return path
