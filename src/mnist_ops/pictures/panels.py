"""Finds the panel that a character is written on: paper on a desk, a screenshot between bars, a cell of a form, a plot.

All around it is of the opposite tone, which would be taken for ink."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnist_ops.pictures.components import Component, components
from mnist_ops.pictures.contrast import otsu, quantile
from mnist_ops.pictures.sampling import Grey, running_maximum, running_minimum

NESTED = 4  # panels within each other at most: a desk, the paper on it, a printed form, its cell
SMALLEST = 16  # share of a picture, one over this, that a panel covers at least


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture without what surrounds its panel."""

    image: Grey  # (h, w) 0..255
    top: int  # of it in the picture
    left: int
    more: int  # other panels of about its size, beside it


def panel_of(image: Grey) -> Panel:
    """(H, W) 0..255 -> the innermost panel with ink in it; the whole picture if there is none."""
    found = Panel(image, 0, 0, 0)
    for _ in range(NESTED):
        panels = _abreast(found.image)
        if not panels:
            break
        inner = panels[0]
        found = Panel(inner.image, found.top + inner.top, found.left + inner.left, found.more + inner.more)
    return found


def panels_of(image: Grey) -> list[Panel]:
    """All panels of about the largest one's size beside each other, each the innermost, such as the cells of a form."""
    panels = _abreast(image)
    if not panels:
        return [Panel(image, 0, 0, 0)]
    return [replace(inner, top=one.top + inner.top, left=one.left + inner.left)
            for one in panels for inner in (panels_of(one.image) if len(panels) == 1 else [panel_of(one.image)])]


def _abreast(image: Grey) -> list[Panel]:
    """The largest panel of the picture, light or dark, and others of half its area and more beside it."""
    light = image > otsu(np.bincount(image.ravel(), minlength=256))
    parts = [components(light), components(~light)]
    panels = [(one, hull) for (labels, found), (_, opposite) in (parts, parts[::-1]) for one in found
              if _may_be_panel(one, opposite, image.shape)
              and is_quadrilateral(hull := hull_of(labels[one.top:one.bottom, one.left:one.right] == one.label))
              and _ends_sharply(one, hull, image)]
    if not panels:
        return []
    largest = max((one for one, _ in panels), key=lambda one: one.area)
    beside = [(one, hull) for one, hull in panels if one is not largest and 2 * one.area >= largest.area
              and not one.overlaps(largest)]
    return [_cut(image, *panel, len(beside)) for panel in (*(own for own in panels if own[0] is largest), *beside)]


def _cut(image: Grey, one: Component, hull: NDArray[np.bool_], more: int) -> Panel:
    """The panel, with its middle grey value around its hull."""
    cut = image[one.top:one.bottom, one.left:one.right]
    inside = _shrunk(hull, _blur(one))
    return Panel(np.where(inside, cut, _median(cut[inside])), one.top, one.left, more)


def _may_be_panel(one: Component, opposite: list[Component], shape: tuple[int, int]) -> bool:
    """Whether a part fills half of its box, which is part of the picture, and surrounds something like a character."""
    height, width = one.bottom - one.top, one.right - one.left
    if (height, width) == shape or 2 * one.area < height * width or SMALLEST * height * width < shape[0] * shape[1]:
        return False
    return any(8 * other.longer >= one.longer and other.lies_within(one) and not other.is_bar for other in opposite)


def _ends_sharply(one: Component, hull: NDArray[np.bool_], image: Grey) -> bool:
    """Whether the grey values on the two sides of a panel's edge differ by half of what its ink differs by.

    Where the light falls, they hardly differ."""
    reach = _blur(one)
    height, width = image.shape
    top, left = max(0, one.top - reach), max(0, one.left - reach)
    grey = image[top:one.bottom + reach, left:one.right + reach]
    mask = np.pad(hull, reach)[top + reach - one.top:, left + reach - one.left:][:height - top, :width - left]
    outside = (running_maximum(mask.astype(np.int64), 1) > 0) & ~mask
    inside = _shrunk(mask, reach)
    edge = inside & ~_shrunk(mask, 2 * reach)
    if not (edge.any() and outside.any()):
        return False
    step = running_maximum(abs(grey - _median(grey[edge])), reach)  # a line around a cell may be as thin as the blur
    return bool(2 * _median(step[outside]) >= abs(grey[inside] - _median(grey[inside])).max())


def _blur(one: Component) -> int:
    """The pixels on either side of a panel's edge that its blur may reach."""
    return 1 + one.longer // 64


def _shrunk(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The pixels whose square of `reach` pixels on every side lies in the mask."""
    return running_minimum(np.pad(mask, reach).astype(np.int64), reach)[reach:-reach, reach:-reach] > 0


def _median(values: Grey) -> int:
    return quantile(np.bincount(values, minlength=256), 50)


def hull_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with what lies between two of its pixels both across and down."""
    return _spanned(mask) & _spanned(mask.T).T


def _spanned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each row filled from its first to its last pixel."""
    return np.asarray(np.logical_or.accumulate(mask, 1) & np.logical_or.accumulate(mask[:, ::-1], 1)[:, ::-1])


def is_quadrilateral(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask fills the quadrilateral between its four corners, give or take a twentieth, and four fifths of its
    box: a sheet lies straighter than that, and the outline of a fat 8 or 6 fills less."""
    rows, columns = np.nonzero(mask)
    corners = [(int(rows[place]) + down, int(columns[place]) + right) for place, down, right in (
        (np.argmin(rows + columns), 0, 0), (np.argmin(rows - columns), 0, 1),
        (np.argmax(rows + columns), 1, 1), (np.argmax(rows - columns), 1, 0))]
    double = sum(y * corners[index - 1][1] - x * corners[index - 1][0] for index, (y, x) in enumerate(corners))
    return 5 * len(rows) >= 4 * mask.size and 20 * abs(2 * len(rows) - abs(double)) <= 2 * len(rows)
