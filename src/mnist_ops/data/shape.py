"""The shape of the images that pictures or arrays become: as it was asked for, else by them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.errors import DataError
from mnist_ops.pictures.read import read_image, size_of

Size: TypeAlias = int | Literal["auto"]  # pixels of a side
Colour: TypeAlias = bool | Literal["auto"]
Some = TypeVar("Some")

SIDES = (28, 32, 48, 64, 96)  # of which "auto" chooses
MOST_SIZES, SAMPLE = 1000, 100  # pictures whose size, and whose colours, are looked at
GREY = 24  # largest difference between the channels of a grey pixel


def shape_of_files(paths: Sequence[Path], how: str, size: Size, colour: Colour) -> Shape:
    """Channels, height and width of the images that these pictures become, where "auto" goes by the pictures.

    size: 28 for characters, else the smallest of SIDES that is not below the median picture's longer side, or the
    largest. colour: if a tenth of at most SAMPLE pictures have any. A picture that cannot be read counts as grey."""
    if how == "mnist":
        return INPUT
    side = _usual([max(size_of(path)) for path in _sample(paths, MOST_SIZES)]) if size == "auto" else size
    if colour == "auto":
        colour = _mostly([_is_coloured_file(path) for path in _sample(paths, SAMPLE)])
    return (3 if colour else 1, side, side)


def shape_of_arrays(images: NDArray[np.uint8], how: str, size: Size, colour: Colour) -> Shape:
    """The same of images (N, H, W) or (N, H, W, 3)."""
    if how == "mnist":
        return INPUT
    side = _usual([max(images.shape[1:3])]) if size == "auto" else size
    if colour == "auto":
        few = _sample(range(len(images)), SAMPLE)
        colour = images.ndim == 4 and _mostly([is_coloured(images[index]) for index in few])
    return (3 if colour else 1, side, side)


def is_coloured(pixels: NDArray[Any]) -> bool:
    """Whether a hundredth of the pixels (H, W, 3) differ in red, green and blue by more than a JPEG's rounding."""
    return bool((pixels.max(-1) - pixels.min(-1) > GREY).mean() > 0.01)


def _is_coloured_file(path: Path) -> bool:
    try:
        return is_coloured(read_image(path, colour=True).pixels)
    except DataError:  # reported when it is read for the set
        return False


def _usual(longer: Sequence[int]) -> int:
    middle = sorted(longer)[len(longer) // 2]
    return next((side for side in SIDES if side >= middle), SIDES[-1])


def _mostly(found: Sequence[bool]) -> bool:
    return 10 * sum(found) >= len(found)


def _sample(all_of: Sequence[Some], most: int) -> Sequence[Some]:
    """At most so many, evenly spaced."""
    count = min(most, len(all_of))
    return [all_of[number * len(all_of) // count] for number in range(count)]
