"""Where strokes may be cut into characters that touch: ways from top to bottom that cross little ink."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ops.pictures.sampling import Grey, running_minimum

INK, SIDEWAYS = 8, 3  # costs of a pixel of a cut: for ink, and for lying to the side of the one above
SLANTS = (-2, -1, 0, 1, 2)  # of cuts, columns to the right for four rows up
APART = 40  # two cuts differ if the ink between them is more than the square of the row's height over this


@dataclass(frozen=True, eq=False)
class Cut:
    """A way through strokes from top to bottom."""

    columns: NDArray[np.int64]  # (h,), of each row the first one to its right
    ink: float  # on it, in heights of its row
    crossings: int  # strokes that it crosses


def cuts(mask: NDArray[np.bool_], height: int) -> list[Cut]:
    """Ways through a mask (H, W), each unlike the others, from the left; none if it is narrow. `height`: of its row.

    Cheap ones are preferred."""
    if 2 * mask.shape[1] < height:
        return []
    found = sorted((one for slant in SLANTS for one in _ways(mask, slant, height)), key=lambda one: one[:2])
    ink = np.pad(mask.cumsum(1), ((0, 0), (1, 0)))  # of each row, to the left of each place
    kept, parts = [], [ink[:, 0], ink[:, -1]]
    for _, _, cut in found:
        left = ink[np.arange(len(mask)), cut.columns]
        if all(APART * abs(left - other).sum() > height * height for other in parts):
            kept.append(cut)
            parts.append(left)
    return sorted(kept, key=lambda cut: int(cut.columns.sum()))


def _ways(mask: NDArray[np.bool_], slant: int, height: int) -> Iterator[tuple[int, int, Cut]]:
    """Of the cheapest way through each place of the middle row those that are no dearer than their neighbours'.

    Each with its cost and its place; `slant` is that of ways without steps to the side."""
    tall, wide = mask.shape
    middle = tall // 2
    shift = slant * (middle - np.arange(tall)) // 4
    edge = int(abs(shift).max())
    cost = np.zeros((tall, wide + 2 * edge), np.int64)
    for row in range(tall):
        cost[row, edge - shift[row]:edge - shift[row] + wide] = INK * mask[row]
    (down, steps_down), (up, steps_up) = cheapest(cost[:middle + 1]), cheapest(cost[middle:][::-1])
    total = (down + up - cost[middle])[edge:edge + wide]
    least = running_minimum(total[None], max(1, height // 16))[0]
    places = np.flatnonzero((total == least) & (3 * total <= INK * height))
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else ():
        place = int(run[len(run) // 2])
        ways = follow(steps_down, place + edge)[::-1], follow(steps_up, place + edge)[1:]
        columns = np.clip(np.array([*ways[0], *ways[1]]) - edge + shift, 0, wide)
        on = np.pad(mask, ((0, 0), (0, 1)))[np.arange(tall), columns]
        crossings = int(np.count_nonzero(np.diff(np.pad(on, 1).astype(np.int64)) > 0))
        yield int(total[place]), place, Cut(columns, int(on.sum()) / height, crossings)


def cheapest(cost: Grey) -> tuple[Grey, Grey]:
    """cost (h, w) -> the least cost of a way from the first row to each place of the last one, and the step to the side
    (h, w), -1, 0 or 1, by which it came from the row above."""
    steps = np.zeros_like(cost)
    total = np.full(cost.shape[1] + 2, INK * cost.size)
    total[1:-1] = cost[0]
    for row in range(1, len(cost)):
        straight, left, right = total[1:-1], total[:-2] + SIDEWAYS, total[2:] + SIDEWAYS
        best = np.minimum(left, right)
        steps[row] = np.where(straight <= best, 0, np.where(left <= right, -1, 1))
        total[1:-1] = cost[row] + np.minimum(straight, best)
    return total[1:-1], steps


def follow(steps: Grey, place: int) -> list[int]:
    """The columns of the cheapest way to that place of the last row, from there to the first."""
    columns = [place]
    for row in range(len(steps) - 1, 0, -1):
        columns.append(columns[-1] + int(steps[row, columns[-1]]))
    return columns
