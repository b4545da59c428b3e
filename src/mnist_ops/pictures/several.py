"""A picture of several characters, such as a number -> each of them, in reading order.

What may be a character is cut out, and the best path through all of it chosen by a network: after LeCun et al. 1998,
section 7."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.pictures.candidates import Box, Candidate, rows_of
from mnist_ops.pictures.contrast import no_ink
from mnist_ops.pictures.costs import costs
from mnist_ops.pictures.prepare import check_picture, check_range, is_mnist
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import shrink

LONGEST = 1024  # longer side in pixels at which several characters are searched
LEFT_OUT = 6.0  # cost of a piece that belongs to no character
Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images (N, 28, 28) -> (N, classes)


@dataclass(frozen=True, eq=False)
class Character:
    """The prediction for one of several characters."""

    label: str  # the most probable class
    probability: float  # of it, in [0, 1]
    probabilities: dict[str, float] = field(repr=False)  # of every class, in the classes' order
    box: Box  # in the picture: top, left, bottom, right, in pixels, the last two exclusive
    seen: NDArray[np.uint8] = field(repr=False)  # the network's input, (28, 28)
    verdict: str | None = None  # as of `Reading`


@dataclass(frozen=True, eq=False)
class Several:
    """The characters of one picture."""

    text: str  # their classes, a line per row; with spaces between classes of several letters
    characters: tuple[Character, ...]  # row by row, each from the left
    original: NDArray[np.uint8] = field(repr=False)  # (H, W)
    warnings: tuple[str, ...] = field(default=(), repr=False)  # such as further pages


def read_several(picture: str | Path | NDArray[np.uint8], how: str, logits: Logits, classes: Sequence[str]) -> Several:
    """Find and classify the characters of a file, or of a grey array uint8 (H, W); `how` as in `prepare`.

    Raises DataError, naming the file, if it cannot be read or has no ink; UsageError for another array or method."""
    if how != "mnist":
        raise UsageError(f"several characters: pictures are prepared by {how!r}, which takes the whole picture for "
                         "one; expected 'mnist', which finds characters")
    if isinstance(picture, np.ndarray):
        check_picture(picture, colour=False)
        return _several(picture, logits, classes, ())
    decoded = read_image(Path(picture))
    try:
        return _several(decoded.pixels, logits, classes, decoded.warnings)
    except DataError as error:
        raise DataError("; it ".join([f"{legible(picture)}: {error}", *decoded.warnings])) from error


def _several(image: NDArray[np.uint8], logits: Logits, classes: Sequence[str], warnings: tuple[str, ...]) -> Several:
    check_range(image)
    small = shrink(image, LONGEST)
    own = [_whole(one) for one in (image, 255 - image) if is_mnist(one)]
    rows, marks = ([own], 0) if own else rows_of(small)
    if not any(rows):
        raise no_ink("only specks")
    scale, lines = max(image.shape) / max(small.shape), []
    values = np.split(logits(np.stack([one.seen for row in rows for one in row])), np.cumsum(list(map(len, rows)))[:-1])
    for row, found in zip(rows, values, strict=True):
        weights = -costs(row, found, classes)
        lines.append([_character(row[index], weights[index], classes, scale)
                      for index in best_path(row, -weights.max(1))])
    if marks:
        warnings = (*warnings, f"leaves out marks unlike a character, such as a dash: {marks}")
    space = "" if max(map(len, classes)) == 1 else " "
    return Several("\n".join(space.join(one.label for one in line) for line in lines),
                   tuple(one for line in lines for one in line), image, warnings)


def _whole(image: NDArray[np.uint8]) -> Candidate:
    """An image that is one character already."""
    return Candidate(0, 1, image.copy(), (0, 0, *image.shape), 1.0, 1.0, -1.0, 0.0, 0, 0, 9.0)


def _character(one: Candidate, weights: NDArray[np.float64], classes: Sequence[str], scale: float) -> Character:
    best, powers = int(weights.argmax()), np.exp(weights - weights.max())
    probabilities = powers / powers.sum()
    top, left, bottom, right = one.box
    box = int(top * scale), int(left * scale), int(np.ceil(bottom * scale)), int(np.ceil(right * scale))
    return Character(classes[best], float(probabilities[best]), dict(zip(classes, probabilities.tolist(), strict=True)),
                     box, one.seen)


def best_path(row: Sequence[Candidate], costs: NDArray[np.float64]) -> list[int]:
    """The candidates that read the row from end to end at the least cost in total; what none can read is left out."""
    ends = {0: (0.0, -1, 0)}  # cost to each cut, the candidate that ends there and the cut before it; -1: left out
    for cut in range(1, max((one.last for one in row), default=0) + 1):
        ways = [(ends[one.first][0] + float(costs[index]), index, one.first)
                for index, one in enumerate(row) if one.last == cut]
        ends[cut] = min([*ways, (ends[cut - 1][0] + LEFT_OUT, -1, cut - 1)])
    path, cut = [], max(ends)
    while cut:
        _, index, cut = ends[cut]
        path += [index] if index >= 0 else []
    return path[::-1]
