"""How the pictures look, and how they become files: colours, sizes, deterministic PNG bytes. Knows nothing of a run."""

import contextlib
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_ops.disk import write_whole

WIDTH = 8.0  # inches
DPI = 200  # twice the 800 pixels at which a page shows a picture, so that text stays crisp on a dense screen

# Okabe and Ito 2008, "Color Universal Design": told apart by colour-blind readers. Dashes and markers tell them apart
# in print without colour.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
BLACK, GREY, PALE = "#000000", "#595959", "#9DB8CC"
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
    """The look of all pictures, whatever the user's own matplotlib settings are; those are back afterwards."""
    with warnings.catch_warnings(), matplotlib.style.context(["default", LOOK]):
        # A class name in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(height: float, **options: Any) -> Figure:
    """An empty figure of `height` inches, drawn by Agg. It is no pyplot figure, so pyplot's state stays as it is."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, **options)
    FigureCanvasAgg(figure)
    return figure


def title(figure: Figure, text: str) -> None:
    """The picture's first line, at its left edge. `text` is shown as it is, dollar signs included."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.10 / height, text, weight="bold", fontsize=11, va="top", parse_math=False)


def panel(figure: Figure, left: float, bottom: float, top: float) -> Axes:
    """Axes that leave so many inches free at the left, the bottom and the top of the figure."""
    height = figure.get_figheight()
    return figure.add_axes((left / WIDTH, bottom / height, 1 - (left + 0.15) / WIDTH, 1 - (bottom + top) / height))


def shorten(figure: Figure, text: str, width: float) -> str:
    """`text` on one line, cut and ended by … where a label of it would be wider than `width` inches."""
    words = " ".join(text.split())
    label = figure.text(0, 0, words, fontsize=LOOK["xtick.labelsize"], parse_math=False)
    kept = words
    while kept and label.get_window_extent().width > width * figure.dpi:
        kept = kept[:-1]
        label.set_text(kept.rstrip() + "…")
    label.remove()
    return str(label.get_text())


def save(path: Path, figure: Figure) -> Path:
    """Write the figure as PNG, whole or not at all. The same figure gives the same bytes: no date, no version in them.

    Raises RunError where the file cannot be written."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    write_whole(path, content.getvalue())
    return path
