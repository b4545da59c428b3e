"""What a network sees: the filters of every convolution, and the maps of one image, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_ops.arch.arithmetic import Field, Shape, walk
from mnist_ops.arch.layers import Conv, Layer, Residual
from mnist_ops.arch.table import layer_rows
from mnist_ops.data.tensors import normalise, to_unit
from mnist_ops.model import Network
from mnist_ops.report import style

MOST = 32  # filters and channels shown per layer
TILE = 168  # picture pixels of a side of the image
SIDE = TILE / style.DPI  # of the image, inches
MARGIN, IMAGE, MAPS = 0.1, 1.55, 2.6  # start of texts, image and maps, inches from the left
ROOM = style.WIDTH - 2 * MARGIN
LABEL = 0.36  # inches above a panel
GAP = 3  # picture pixels between two kernels
SIGNED = matplotlib.colormaps["RdBu_r"]  # blue below 0, white 0, red above


@dataclass(frozen=True, eq=False)
class Filters:
    """The weights of one convolution."""

    name: str  # as in the table of layers, "Conv2d-1"
    weights: NDArray[np.float32]  # (filters, input channels of each, height, width)


@dataclass(frozen=True, eq=False)
class Maps:
    """One layer's output for one image, and its strongest unit."""

    name: str
    values: NDArray[np.float32]  # (channels, height, width)
    unit: tuple[int, int, int]  # channel, row, column of the highest value
    field: Field  # of the layer's units, along either axis
    side: int  # of the image, pixels

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """First and last row, first and last column of the image that the unit sees, without padding."""
        (row, column), last = self.unit[1:], self.side - 1
        spans = [(place * self.field.jump + self.field.first, place * self.field.jump + self.field.last)
                 for place in (row, column)]
        return (max(spans[0][0], 0), min(spans[0][1], last), max(spans[1][0], 0), min(spans[1][1], last))


def filters(network: Network, layers: Sequence[Layer], shape: Shape) -> list[Filters]:
    """Every convolution's weights, in the order of computation, including those in residuals."""
    names = [row.name for row, step in zip(layer_rows(layers, shape), walk(layers, shape), strict=True)
             if isinstance(step.layer, Conv)]
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return [Filters(name, module.weight.detach().cpu().contiguous().numpy())
            for name, module in zip(names, found, strict=True)]


def activations(network: Network, layers: Sequence[Layer], image: Tensor,
                scaling: tuple[Sequence[float], Sequence[float]]) -> list[Maps]:
    """Each block's output for one image: maps before each convolution or residual, and the logits at the end.

    image (C, H, W) uint8; scaling: the means and SDs of the training. Computed on the network's device, in evaluation
    mode, without side effects."""
    channels, height, width = image.shape
    shape = (channels, height, width)
    rows, steps = layer_rows(layers, shape), walk(layers, shape)
    outer = [(row, step) for row, step in zip(rows, steps, strict=True) if step.depth == 0]
    device = next(network.parameters()).device
    network.eval()
    found = []
    with torch.no_grad():
        values = normalise(to_unit(image[None].to(device)), *scaling)
        for place, (module, (row, step)) in enumerate(zip(network.body, outer, strict=True)):
            values = module(values)
            ends = place + 1 == len(outer) or isinstance(outer[place + 1][1].layer, Conv | Residual)
            if ends:
                grid = values[0].float().cpu().contiguous().numpy()
                channel, line, column = (int(part) for part in np.unravel_index(grid.argmax(), grid.shape))
                found.append(Maps(row.name, grid, (channel, line, column), step.field, height))
    return found


def draw_filters(shown: Sequence[Filters], title: str) -> Figure:
    """A panel for each convolution: a column for each filter, a row for each input channel."""
    caption = ("A column is one filter, a row one input channel. Red: positive, blue: negative, white: 0; "
               "each layer is scaled by its largest weight.")
    head = style.heading_height(caption)
    sheets = [_sheet(one.weights[:MOST, :MOST]) for one in shown]
    places, tall = _flow([(sheet.shape[1] / style.DPI, sheet.shape[0] / style.DPI) for sheet in sheets])
    figure = style.new_figure(head + tall)
    style.heading(figure, title, caption)
    height = figure.get_figheight()
    for one, sheet, (x, y) in zip(shown, sheets, places, strict=True):
        count, channels, size, _ = one.weights.shape
        most = float(np.abs(one.weights).max()) or 1.0
        cut = f" (first {MOST} shown)" if max(count, channels) > MOST else ""
        lines = f"{one.name}: {count} of {size}×{size}\non {channels}{cut}, largest {most:.3g}"
        figure.text(x / style.WIDTH, 1 - (head + y) / height, lines, fontsize=8.5, va="top", linespacing=1.3)
        corner = (x, height - head - y - LABEL - sheet.shape[0] / style.DPI)
        style.paste(figure, sheet, corner, 1, vmin=-most, vmax=most, cmap=SIGNED.with_extremes(bad="#A8A8A8"))
    return figure


def _sheet(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Enlarged kernels side by side, in picture pixels, with NaN between and around them."""
    count, channels, size, _ = weights.shape
    scale = 12 if channels == 1 or size == 1 else 6
    scale = max(1, min(scale, int((ROOM * style.DPI / count - GAP) / size)))
    step = size * scale + GAP
    sheet = np.full((channels * step + GAP, count * step + GAP), np.nan, weights.dtype)
    for column in range(count):
        for row in range(channels):
            top, left = row * step + GAP, column * step + GAP
            sheet[top:top + step - GAP, left:left + step - GAP] = np.kron(weights[column, row], np.ones((scale, scale)))
    return sheet


def _flow(sizes: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    """Upper left corners for panels of these sizes, side by side in rows, and the total height, in inches."""
    places = []
    x, y, tallest = MARGIN, 0.0, 0.0
    for wide, tall in sizes:
        wide = max(wide, 1.65)  # of the label
        if x > MARGIN and x + wide > MARGIN + ROOM:
            x, y, tallest = MARGIN, y + tallest, 0.0
        places.append((x, y))
        x, tallest = x + wide + 0.2, max(tallest, LABEL + tall + 0.2)
    return places, y + tallest


def draw_activations(image: NDArray[np.uint8], shown: Sequence[Maps], classes: Sequence[str], title: str) -> Figure:
    """A row for each block: the image with one unit's receptive field, and the block's maps with that unit framed."""
    caption = ("Left: the image with the receptive field of the row's strongest unit. "
               "Right: the maps, brighter for higher values, with that unit framed. Last row: a value for each class.")
    head = style.heading_height(caption)
    heights = [max(SIDE, lines * step) + 0.12 for _, lines, step in map(_grid, shown)]
    figure = style.new_figure(head + sum(heights) + 0.02)
    style.heading(figure, title, caption)
    top = figure.get_figheight() - head
    for one, height in zip(shown, heights, strict=True):
        _describe_row(figure, image, one, top)
        _draw_maps(figure, one, top)
        top -= height
    _name_classes(figure, shown[-1], classes, top + heights[-1])
    return figure


def _describe_row(figure: Figure, image: NDArray[np.uint8], one: Maps, top: float) -> None:
    """The block's name, and the image with the field of its strongest unit; `top` in inches from the lower edge."""
    channels, tall, wide = one.values.shape
    count = f"{MOST} of {channels}" if channels > MOST else str(channels)
    text = (f"{one.name}\n{count} maps, {tall}×{wide}\nsees {one.field.size}×{one.field.size}\n"
            f"highest {one.values.max():.3g}")
    figure.text(MARGIN / style.WIDTH, top / figure.get_figheight(), text, fontsize=8.5, va="top", linespacing=1.35)
    pixel = SIDE / one.side
    style.paste(figure, image, (IMAGE, top - SIDE), TILE / one.side)
    first, last, west, east = (edge * pixel for edge in one.seen)
    _frame(figure, (IMAGE + west, top - last - pixel), (east - west + pixel, last - first + pixel))


def _draw_maps(figure: Figure, one: Maps, top: float) -> None:
    """The maps of one block on a common scale; if some are negative, white is 0."""
    most = float(np.abs(one.values).max()) or 1.0
    signed = bool((one.values < 0).any())
    for number, values in enumerate(one.values[:MOST]):
        corner, scale = _place(one, number, top)
        style.paste(figure, values, corner, scale, vmin=-most if signed else 0, vmax=most,
                    cmap=SIGNED if signed else "viridis")
        if number == one.unit[0]:
            (row, column), pixel = one.unit[1:], scale / style.DPI
            edge = 0.01  # the frame is around the unit, not on it
            left, below = corner[0] + column * pixel - edge, corner[1] + (values.shape[0] - 1 - row) * pixel - edge
            _frame(figure, (left, below), (pixel + 2 * edge, pixel + 2 * edge))


def _grid(one: Maps) -> tuple[int, int, float]:
    """Maps per line, lines, and inches from one map to the next, chosen to make the maps as large as possible."""
    count = min(len(one.values), MOST)
    options = []
    for lines in (1, 2, 3):
        columns = -(-count // lines)
        step = min((MARGIN + ROOM - MAPS) / columns, (SIDE if lines == 1 else 1.15) / lines)
        options.append((columns, lines, step))
    return max(options, key=lambda option: option[2] / 1.25**option[1])  # a further line must be worth it


def _place(one: Maps, number: int, top: float) -> tuple[tuple[float, float], int]:
    """Lower left corner of a map, in inches, and the enlargement of its pixels."""
    columns, _, step = _grid(one)
    _, tall, wide = one.values.shape
    scale = max(1, int((step - 0.03) * style.DPI / max(tall, wide)))
    line, place = divmod(number, columns)
    return (MAPS + place * step, top - line * step - tall * scale / style.DPI), scale


def _frame(figure: Figure, corner: tuple[float, float], size: tuple[float, float]) -> None:
    height = figure.get_figheight()
    figure.add_artist(Rectangle((corner[0] / style.WIDTH, corner[1] / height), size[0] / style.WIDTH, size[1] / height,
                                fill=False, edgecolor=style.ORANGE, linewidth=1.6))


def _name_classes(figure: Figure, last: Maps, classes: Sequence[str], top: float) -> None:
    """The class's name under each value of the last row, if there is one value per class."""
    _, lines, step = _grid(last)
    if last.values.shape[1:] != (1, 1) or len(classes) != len(last.values) or lines > 1:
        return
    for number, name in enumerate(classes):
        (left, bottom), scale = _place(last, number, top)
        strong = number == last.unit[0]
        figure.text((left + scale / style.DPI / 2) / style.WIDTH, (bottom - 0.03) / figure.get_figheight(),
                    style.shorten(name, step - 0.03, size=7.5), fontsize=7.5, ha="center", va="top",
                    parse_math=False, weight="bold" if strong else "normal")
