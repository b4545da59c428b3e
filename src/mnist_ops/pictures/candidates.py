"""All that may be a character in a picture of several: the strokes in rows, and what lies between two cuts of a row."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError
from mnist_ops.pictures.components import Component
from mnist_ops.pictures.contrast import DIM, PALE, PHOTO, contrast_of, is_uneven
from mnist_ops.pictures.cuts import Cut, cuts
from mnist_ops.pictures.ink import Ink, cut_out, joins, main_of, pool_of, without_frame
from mnist_ops.pictures.panels import Panel, panels_of
from mnist_ops.pictures.sampling import Grey, running_maximum, running_minimum
from mnist_ops.pictures.strokes import box_of, draw

WIDEST = 1.4  # heights of its row that a character is wide at most
LOWEST, NARROWEST = 0.4, 0.0625  # heights of its row that it is high and wide at least
FARTHEST = 0.25  # heights of its row between the strokes of a character at most
MOST = 4000  # of a picture, about 700 characters; each takes milliseconds to draw
Thing = TypeVar("Thing")
Box = tuple[int, int, int, int]  # top, left, bottom, right, the last two exclusive


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may be a character: all strokes between two cuts of a row, or between strokes that lie apart."""

    first: int  # the numbers of the two cuts in the row
    last: int
    seen: NDArray[np.uint8]  # (28, 28)
    box: Box
    width: float  # in heights of its row, as height, gap, cut, uncut
    height: float
    gap: float  # the widest between strokes that it joins; at least -1
    cut: float  # ink cut to its left
    crossings: int  # strokes cut there
    joined: int  # times that it joins strokes which lie apart
    uncut: float  # the least ink of the cuts that were not made in it; 9 if there are none


@dataclass(frozen=True, eq=False)
class Body:
    """Strokes that belong together or touch, and how they may be cut."""

    mask: NDArray[np.bool_]  # (h, w)
    top: int  # of it in the picture
    left: int
    cuts: list[Cut]  # from the left, with one at either end


def rows_of(picture: Grey) -> tuple[list[list[Candidate]], int]:
    """(H, W) 0..255 -> for each row of characters, from the top, all that may be one; and the number of further marks.

    Boxes are in the picture. Raises DataError if there is no ink, or far too much of it."""
    rows: list[list[Candidate]] = []
    marks = 0
    for panel in panels_of(picture):
        contrast, threshold, labels, strokes = without_frame(
            contrast_of(panel.image), panel.image, DIM if is_uneven(panel.image) else PALE)
        groups, rest = bodies(strokes, panel.image)
        marks += rest
        for line in lines_of((box_of_all(map(_box, group)), group) for group in groups):
            masks = [np.isin(labels[top:bottom, left:right], [one.label for one in group])
                     for (top, left, bottom, right), group in line]
            height = int(np.median([height_of(mask) for mask in masks]))
            row = [_body(mask, box, height) for mask, (box, _) in zip(masks, line, strict=True)]
            left = MOST - sum(map(len, rows))
            rows.append([_moved(one, panel) for one in islice(candidates(contrast, threshold, row, height), left + 1)])
            if len(rows[-1]) > left:
                raise DataError(f"more than {MOST:,} marks, alone or together, may be characters, the limit; expected "
                                "a row or a page of them. Cut the picture into several")
    return _across(rows), marks


def _across(rows: list[list[Candidate]]) -> list[list[Candidate]]:
    """Rows of several panels, such as a number's cells, continued from one panel into the next to its right."""
    lines = lines_of([(box_of_all([one.box for one in row]), row) for row in rows if row])
    found = []
    for line in lines:
        joined: list[Candidate] = []
        for _, row in line:
            before = max((one.last for one in joined), default=0)
            joined += [replace(one, first=one.first + before, last=one.last + before) for one in row]
        found.append(joined)
    return found


def bodies(found: list[Component], image: Grey) -> tuple[list[list[Component]], int]:
    """The strokes of each character, or of several that touch, with what joins them; no specks, lines or frames.

    And the number of marks that belong to none, such as dashes, from a third of the largest character's height."""
    photo = max(image.shape) >= PHOTO
    pool = [one for one in pool_of(found, image) if not one.is_bar and not (photo and one.lies_along_border)]
    main = main_of(pool)
    height = main.bottom - main.top
    groups = [[one] for one in pool if 5 * (one.bottom - one.top) >= 2 * height]
    taken = {group[0].label for group in groups}
    for one in found:
        near = [group for group in groups if joins(one, group[:1], group[0])]
        if near and one.label not in taken and not (photo and one.is_frame(image.shape)):
            min(near, key=lambda group: _distance(one, group[0])).append(one)
    joined = {one.label for group in groups for one in group}
    return groups, sum(3 * one.longer >= height and one.label not in joined for one in pool)


def _distance(one: Component, other: Component) -> int:
    """Between the centres of two boxes, doubled and squared."""
    return ((one.left + one.right - other.left - other.right) ** 2
            + (one.top + one.bottom - other.top - other.bottom) ** 2)


def box_of_all(boxes: Iterable[Box]) -> Box:
    """The box around all of them."""
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def lines_of(things: Iterable[tuple[Box, Thing]]) -> list[list[tuple[Box, Thing]]]:
    """The rows from the top, each from the left: what overlaps its left neighbour by half of the lower one's height."""
    lines: list[list[tuple[Box, Thing]]] = []
    for box, thing in sorted(things, key=lambda one: one[0][1] + one[0][3]):
        for line in lines:
            above, _, below, _ = line[-1][0]
            if 2 * (min(box[2], below) - max(box[0], above)) >= min(box[2] - box[0], below - above):
                line.append((box, thing))
                break
        else:
            lines.append([(box, thing)])
    return sorted(lines, key=lambda line: sum(box[0] + box[2] for box, _ in line) / len(line))


def _box(one: Component) -> Box:
    return one.top, one.left, one.bottom, one.right


def height_of(mask: NDArray[np.bool_]) -> int:
    """The height of strokes (H, W) or, where they are wide as in a row that slopes, the middle one of their parts."""
    tall, wide = mask.shape
    if wide <= tall:
        return int(tall)
    inked, rows = mask.any(0), np.arange(tall)[:, None]
    top = running_minimum(np.where(mask, rows, tall).min(0)[None], tall // 4)[0]
    bottom = running_maximum(np.where(mask, rows, -1).max(0)[None], tall // 4)[0]
    return int(np.median((bottom + 1 - top)[inked]))


def _body(mask: NDArray[np.bool_], box: Box, height: int) -> Body:
    begin, end = (Cut(np.full(len(mask), place), 0.0, 0) for place in (0, mask.shape[1]))
    return Body(mask, box[0], box[1], [begin, *cuts(mask, height), end])


def _moved(one: Candidate, panel: Panel) -> Candidate:
    top, left, bottom, right = one.box
    return replace(one, box=(panel.top + top, panel.left + left, panel.top + bottom, panel.left + right))


def candidates(contrast: Grey, threshold: int, row: list[Body], height: int) -> Iterator[Candidate]:
    """All of a row of that height that are not too wide, too low or a sliver, and can be drawn."""
    places = [(body, cut) for body, one in enumerate(row) for cut in range(len(one.cuts) - 1)]
    for first, begin in enumerate(places):
        for last, (until, end) in enumerate(places[first:], first + 1):
            parts = [between(row[body], begin[1] if body == begin[0] else 0, end + 1 if body == until else -1)
                     for body in range(begin[0], until + 1)]
            if not all(mask.size for mask, _ in parts):
                continue
            boxes = [box for _, box in parts]
            box = box_of_all(boxes)
            high, wide = (box[2] - box[0]) / height, (box[3] - box[1]) / height
            gap = max((one[1] - other[3] for other, one in pairwise(boxes)), default=-height) / height
            if gap > FARTHEST or (wide > WIDEST and last - first > 1):
                break
            if high < LOWEST or wide < NARROWEST:
                continue
            try:
                seen = draw(Ink(_alone(contrast, threshold, parts, box), threshold))
            except DataError:
                continue
            inner = [row[body].cuts[number].ink for body, number in places[first + 1:last] if number]
            cut = row[begin[0]].cuts[begin[1]]
            yield Candidate(first, last, seen, box, wide, high, gap, cut.ink, cut.crossings, until - begin[0],
                            min(inner, default=9.0))


def between(body: Body, begin: int, end: int) -> tuple[NDArray[np.bool_], Box]:
    """What lies between two cuts of a body, given by their numbers, cut to its box, and the box in the picture.

    Of size 0 if nothing does."""
    columns = np.arange(body.mask.shape[1])
    mask = body.mask & (columns >= body.cuts[begin].columns[:, None]) & (columns < body.cuts[end].columns[:, None])
    if not mask.any():
        return mask[:0], (0, 0, 0, 0)
    rows, places = box_of(mask)
    return mask[rows, places], (body.top + rows.start, body.left + places.start,
                                body.top + rows.stop, body.left + places.stop)


def _alone(contrast: Grey, threshold: int, parts: list[tuple[NDArray[np.bool_], Box]], box: Box) -> Grey:
    """The contrast of those parts without the ink around them."""
    top, left, bottom, right = box
    around = np.pad(contrast, 2)[top:bottom + 4, left:right + 4]
    mask = np.zeros(around.shape, bool)
    for part, (above, before, below, after) in parts:
        mask[above - top + 2:below - top + 2, before - left + 2:after - left + 2] |= part
    return cut_out(around, threshold, mask)
