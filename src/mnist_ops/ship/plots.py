"""The pictures of a run folder: learning-rate curve, training curves, augmentation. `views` says what they show."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mnist_ops.config import Config
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.tensors import Dataset
from mnist_ops.errors import RunError
from mnist_ops.optim.tune import RangeTest, Suggestion
from mnist_ops.run.folder import RANGE_TEST, read_config, read_history, read_json
from mnist_ops.score.verdict import Row
from mnist_ops.ship import style
from mnist_ops.ship.charts import draw_curves, draw_rate
from mnist_ops.ship.views import Augmented, augmented

RATE_PICTURE, CURVES_PICTURE, AUGMENTATION_PICTURE = "lr.png", "curves.png", "augmentation.png"
GAP = 3  # pixels of an image between two images


def write_pictures(path: Path, data: Dataset) -> list[Path]:
    """Draw what the run folder `path` has the files for, and say which pictures were written.

    A run whose rate was given has no range test, one without a finished epoch no curves. Raises RunError where a file
    of the run is damaged or a picture cannot be written."""
    config = read_config(path)
    history = read_history(path)
    written = []
    if (path / RANGE_TEST).exists():
        written.append(rate_picture(path / RATE_PICTURE, read_range_test(path / RANGE_TEST)))
    if history:
        target = 0.0 if config.target == "auto" else config.target
        written.append(curves_picture(path / CURVES_PICTURE, history, target))
    return [*written, augmentation_picture(path / AUGMENTATION_PICTURE, data, config)]


def read_range_test(path: Path) -> RangeTest:
    """The range test that lr.json holds. Raises RunError, naming the file, where it is missing or damaged."""
    content = read_json(path)
    del content["format"]
    try:
        found = {name: Suggestion(**one) for name, one in content.pop("suggestions").items()}
        rates, losses, smoothed = (tuple(map(float, content.pop(name))) for name in ("rates", "losses", "smoothed"))
        test = RangeTest(rates, losses, smoothed, found, **content)
        if not len(rates) == len(losses) == len(smoothed) > 1 or test.used not in found:
            raise ValueError("its parts do not fit together")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged, no range test ({error}); restore it, or train again") from error
    return test


def rate_picture(path: Path, test: RangeTest) -> Path:
    """Write the learning-rate curve with its suggestions to `path`. Raises RunError where that fails."""
    with style.look():
        return style.save(path, draw_rate(test))


def curves_picture(path: Path, history: Sequence[Row], target: float) -> Path:
    """Write accuracy, loss and learning rate per epoch to `path`; target in percent, 0 for none.

    `history` holds at least one epoch. Raises RunError where writing fails."""
    with style.look():
        return style.save(path, draw_curves(history, target))


def augmentation_picture(path: Path, data: Dataset, config: Config) -> Path:
    """Write training images before and after augmentation to `path`. Raises RunError where that fails."""
    title = CATALOG[data.name].title if data.name in CATALOG else Path(data.name).name
    with style.look():
        return style.save(path, draw_augmentation(augmented(data, config), title))


def draw_augmentation(shown: Augmented, title: str) -> Figure:
    """A row for the originals, one for each draw below it, a column for each image."""
    rows, columns, side, _ = shown.images.shape
    text = "; ".join(shown.parts) if shown.parts else "no part is on: the network gets the images as they are"
    caption = textwrap.wrap(text[0].upper() + text[1:] + ".", 110)
    tops = [0, *(row * (side + GAP) + 2 * GAP for row in range(1, rows))]
    sheet = np.full((tops[-1] + side, columns * (side + GAP) - GAP), np.nan)
    for row, top in enumerate(tops):
        for column in range(columns):
            left = column * (side + GAP)
            sheet[top:top + side, left:left + side] = shown.images[row, column]
    above = 0.62 + 0.19 * len(caption)
    figure = style.new_figure(above + 0.1 + (style.WIDTH - 1.0) * sheet.shape[0] / sheet.shape[1])
    style.title(figure, f"{textwrap.shorten(title, 50, placeholder='…')}, before and after augmentation")
    figure.text(0.012, 1 - 0.33 / figure.get_figheight(), "\n".join(caption), fontsize=9.5, va="top", linespacing=1.3)
    axes = style.panel(figure, left=0.85, bottom=0.1, top=above)
    axes.imshow(sheet, cmap="gray", vmin=shown.grey[0], vmax=shown.grey[1], interpolation="nearest")
    step = (style.WIDTH - 1.0) * (side + GAP) / sheet.shape[1]  # inches
    labels = [style.shorten(figure, name, step - 0.08) for name in shown.classes]
    axes.set_xticks([column * (side + GAP) + side / 2 - 0.5 for column in range(columns)], labels, parse_math=False)
    axes.set_yticks([top + side / 2 - 0.5 for top in tops], ["original", *(f"draw {row}" for row in range(1, rows))])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure
