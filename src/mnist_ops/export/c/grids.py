"""What the integers of a map stand for: grids of even steps for values, for grey values as they are, for logits."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import RunError
from mnist_ops.export.c.int8 import Grid
from mnist_ops.export.c.steps import Dot, Stage
from mnist_ops.export.fold_norms import Convolution
from mnist_ops.export.forward import Maps

BYTE = 255   # largest integer of a map
BINS = 8192  # of the values of a map, 32 for each integer of the widest grid
SMALLEST_CLIP, CLIPS = 0.4, 31  # shares of the largest value tried as the end of a grid
LOGIT_UNIT = 2.0**-12  # of the integer logits, coarser only if they would not fit in 31 bits


def best_grid(maps: Maps, high: int = BYTE) -> Grid:
    """The grid of integers 0..high with the lowest mean squared distance to the values of `maps`."""
    least, most = min(0.0, float(maps.min())), max(0.0, float(maps.max()))
    if not math.isfinite(most - least):
        raise RunError("the network's own values on training images are not finite; train again")
    if most == least:
        return Grid(1.0, 0, high)
    counts, edges = np.histogram(maps, BINS, (least, most))
    values = (edges[1:] + edges[:-1]) / 2
    grids = [_grid(least * clip, most * clip, high) for clip in np.linspace(SMALLEST_CLIP, 1, CLIPS)]
    return min(grids, key=lambda grid: float(counts @ np.square(_nearest(values, grid) - values)))


def _grid(least: float, most: float, high: int) -> Grid:
    unit = (most - least) / high
    return Grid(unit, round(-least / unit), high)


def _nearest(values: NDArray[Any], grid: Grid) -> NDArray[Any]:
    steps = np.clip(np.rint(values / grid.unit) + grid.zero, 0, grid.high)
    return (steps - grid.zero) * grid.unit  # type: ignore[no-any-return]


def grid_of_pixels(stage: Stage) -> Grid | None:
    """Of grey values 0..255 as they are, where the stage only scales them, as before a convolution that pads: the
    border is then the value that stands for 0, to half a grey value, which the next stage's shift takes in."""
    match stage:
        case Dot(convolution=Convolution(weights=weights, stride=1, padding=0), pool=None, relu=False) if (
                weights.size == 1):
            unit = float(weights.item() * stage.scale.item())
            zero = -float(stage.shift.item()) / unit if unit > 0 else -1.0
            return Grid(unit, round(zero), BYTE) if 0 <= zero <= BYTE else None
    return None


def logit_grid(stage: Dot, given: Grid) -> Grid:
    """As fine as 31 bits allow for any input."""
    sums = np.abs(stage.convolution.weights).sum(axis=(1, 2, 3)) * given.unit * given.high
    largest = float((np.abs(stage.scale) * sums + np.abs(stage.shift)).max())
    unit = LOGIT_UNIT
    while largest / unit > 2**29:
        unit *= 2
    return Grid(unit, 0, 0)
