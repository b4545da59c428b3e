"""Connected components of a mask, by runs of its rows and union-find."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Component:
    """A connected component: its box, the last row and column exclusive, and its number of pixels."""

    label: int  # from 1, in the order of their first pixels, row by row
    top: int
    left: int
    bottom: int
    right: int
    area: int
    contact: int  # of them, on the picture's border

    @property
    def longer(self) -> int:
        """The longer side of the box."""
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def lies_along_border(self) -> bool:
        """Whether it touches the picture's border for a quarter of its length or more."""
        return 4 * self.contact >= self.longer

    @property
    def is_bar(self) -> bool:
        """Whether it is much wider than high."""
        return self.right - self.left >= 6 * (self.bottom - self.top)

    def is_flag_of(self, body: "Component") -> bool:
        """Whether it lies above a body as the flag of a 5 does that does not touch.

        Flat, about as wide, half of it over the body, at most two thirds of its height away, and no part of a line."""
        height, width = self.bottom - self.top, self.right - self.left
        wide, over = body.right - body.left, min(self.right, body.right) - max(self.left, body.left)
        return (width >= 2 * height and 3 * wide >= 2 * width >= wide and 2 * over >= width
                and 40 * self.area >= body.area
                and 0 <= 3 * (body.top - self.bottom) <= 2 * (body.bottom - body.top))

    def lies_within(self, other: "Component") -> bool:
        """Whether its box lies within the other's and touches no side of it."""
        return (other.top < self.top and other.left < self.left
                and self.bottom < other.bottom and self.right < other.right)

    def overlaps(self, other: "Component") -> bool:
        """Whether the two boxes have pixels in common."""
        return (self.top < other.bottom and other.top < self.bottom
                and self.left < other.right and other.left < self.right)

    def is_frame(self, shape: tuple[int, int]) -> bool:
        """Whether it looks like part of a frame: along the border for a quarter of its length, or all across."""
        height, width = self.bottom - self.top, self.right - self.left
        across = (10 * height >= 9 * shape[0] and 8 * width <= height) or (
            10 * width >= 9 * shape[1] and 8 * height <= width)
        return self.lies_along_border or across


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[Component]]:
    """mask (H, W) -> labels (H, W), 0 outside, and the components; pixels touch by sides and corners."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8).ravel()
    change = np.flatnonzero(np.diff(padded)) + 1  # flat places, width + 2 a row, where runs begin and end
    starts, ends = change[::2], change[1::2]
    rows = starts // (width + 2)
    parents = _joined(rows, starts % (width + 2), ends % (width + 2), height)
    roots, labels_of_runs = np.unique(parents, return_inverse=True)
    labels = np.zeros((height, width), np.int64)
    labels[mask] = np.repeat(labels_of_runs + 1, ends - starts)
    border = np.ones((height, width), bool)
    border[1:-1, 1:-1] = False
    count = len(roots)
    contact = np.bincount(labels[border], minlength=count + 1)[1:]
    box = np.full((count, 4), -1)
    box[:, :2] = height + width
    np.minimum.at(box[:, 0], labels_of_runs, rows)
    np.minimum.at(box[:, 1], labels_of_runs, starts % (width + 2) - 1)
    np.maximum.at(box[:, 2], labels_of_runs, rows + 1)
    np.maximum.at(box[:, 3], labels_of_runs, ends % (width + 2) - 1)
    area = np.bincount(labels_of_runs, ends - starts, count).astype(int)
    sizes = zip(box.tolist(), area.tolist(), contact.tolist(), strict=True)
    return labels, [Component(label, top, left, bottom, right, pixels, touching)
                    for label, ((top, left, bottom, right), pixels, touching) in enumerate(sizes, start=1)]


def _joined(rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64],
            height: int) -> NDArray[np.int64]:
    """For each run, the lowest number of its connected runs."""
    first = np.searchsorted(rows, np.arange(height + 1)).tolist()
    begin, end = starts.tolist(), ends.tolist()
    parents = list(range(len(begin)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for row in range(1, height):
        above, below = first[row - 1], first[row]
        while above < first[row] and below < first[row + 1]:
            if begin[above] <= end[below] and begin[below] <= end[above]:  # ends are exclusive: corners touch
                one, other = root(above), root(below)
                parents[max(one, other)] = min(one, other)
            if end[above] < end[below]:
                above += 1
            else:
                below += 1
    return np.array([root(run) for run in range(len(parents))], dtype=np.int64)


def ruled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """mask (H, W) -> the thin lines of ruled or squared paper, without the strokes that cross them."""
    thin = max(mask.shape) // 128 + 2
    tall, wide = _long_runs(mask.T, 2 * thin).T, _long_runs(mask, 2 * thin)
    across, down = _lines(mask, tall, thin), _lines(mask.T, wide.T, thin).T
    return np.asarray((across & ~tall) | (down & ~wide) | (across & down))


def _lines(mask: NDArray[np.bool_], tall: NDArray[np.bool_], thin: int) -> NDArray[np.bool_]:
    """The lines along its rows, with what crosses them if it is as thin as they are.

    Lines consist of row runs of at least a sixteenth of the longer side, cut where the mask is tall, and may slope by
    the steps between them. The paper is ruled if two lines cross half the picture, unless that is much less wide than
    high, or one all of it; then other lines as thin count too if they reach the picture's side or a quarter of its
    width, or continue one that does: a stroke may have cut them."""
    longest, width = max(mask.shape), mask.shape[1]
    runs = _long_runs(mask, longest // 16)
    cut = runs & tall
    labels, found = components((runs & ~tall) | (cut & ~_long_runs(cut, thin + 1)))
    lines = [one for one in found if one.area <= thin * (one.right - one.left)]
    lengths = [one.right - one.left for one in lines]
    if width not in lengths and (2 * width < longest or sum(2 * length >= width for length in lengths) < 2):
        return np.zeros_like(mask)
    sure = [one for one in lines if 4 * (one.right - one.left) >= width or one.left == 0 or one.right == width]
    rows = np.zeros(len(mask), bool)
    for one in sure:
        rows[one.top:one.bottom] = True
    return np.isin(labels, [one.label for one in lines if rows[one.top:one.bottom].all()])


def _long_runs(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """The pixels in row runs of at least that length."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8).ravel()
    change = np.flatnonzero(np.diff(padded)) + 1
    lengths = change[1::2] - change[::2]
    kept = np.zeros_like(mask)
    kept[mask] = np.repeat(lengths >= least, lengths)
    return kept
