"""Any picture -> the 28x28 that the network expects. How is part of a run, and the same in every export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import ConfigError, DataError, legible
from mnist_ops.pictures.ink import find_ink
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import smooth_resize
from mnist_ops.pictures.strokes import BOX, box_of, centred, draw
from mnist_ops.pictures.strokes import SIDE as SIDE  # pixels: of every picture that a network sees

# As the reference does it: stretched; or as MNIST was made: the ink found, boxed, its longer side 20 pixels, strokes of
# MNIST's width, centred by mass; what is MNIST's own already, or its negative, stays as it is.
METHODS = ("mnist", "resize")
FAINT = 64  # of 255: where grey values span less, they may be the reason that no ink is found
LIKE_MNIST = ("auto", "mnist", "digits")  # datasets whose classes are single characters, made as MNIST was


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture file as it is, and as the network sees it."""

    original: NDArray[np.uint8]  # (H, W)
    seen: NDArray[np.uint8]  # (28, 28)
    warnings: tuple[str, ...]  # as of `Decoded`
    transparent: bool


def prepare(image: NDArray[np.uint8], how: str = "resize") -> NDArray[np.uint8]:
    """image (H, W) uint8, H and W at least 1 -> (28, 28) uint8 of its own, in the way named `how`, one of `METHODS`.

    Raises ConfigError where there is no such way; DataError where the brightest value is 1, or `how` is "mnist" and the
    picture has no ink."""
    return prepare_and_warn(image, how)[0]


def prepare_and_warn(image: NDArray[np.uint8], how: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The same, and what its user should know, as of `Decoded`."""
    check_method(how)
    if image.max() == 1 and image.min() == 0:
        raise DataError("its brightest value is 1, expected grey values from 0 to 255; multiply them by 255")
    if how == "resize":
        return resize(image), ()
    for own in (image, 255 - image):
        if is_mnist(own):
            return own.copy(), ()
    try:
        ink = find_ink(image)
        return draw(ink), ink.warnings
    except DataError as error:
        darkest, brightest = int(image.min()), int(image.max())
        faint = f"; its grey values run from {darkest} to {brightest} alone" if brightest - darkest < FAINT else ""
        raise DataError(f"{error}{faint}") from error


def check_method(how: str) -> None:
    """Raises ConfigError, naming what there is, unless `how` is one of `METHODS`."""
    if how not in METHODS:
        raise ConfigError(f"prepare: found {how!r}, expected one of {', '.join(METHODS)}.")


def chosen_method(how: str, data: str) -> Literal["mnist", "resize"]:
    """The way that "auto" stands for with the dataset of that name; any other of `METHODS` is given back.

    A folder may hold pictures of anything, and what is no MNIST was not made as it was: both are resized.
    Raises ConfigError for any other word."""
    if how != "auto":
        check_method(how)
        return "mnist" if how == "mnist" else "resize"
    return "mnist" if data in LIKE_MNIST else "resize"


def prepared_file(path: Path, how: str) -> Prepared:
    """The picture file `path`. Raises DataError, naming it, as `read_image` and `prepare`."""
    picture = read_image(path)
    try:
        seen, warnings = prepare_and_warn(picture.grey, how)
    except DataError as error:
        raise DataError("; it ".join([f"{legible(path)}: {error}", *picture.warnings])) from error
    return Prepared(picture.grey, seen, (*picture.warnings, *warnings), picture.transparent)


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Nearest neighbour, the reference's way: sides are stretched apart from each other, 28x28 stays as it is."""
    if image.shape == (SIDE, SIDE):
        return image.copy()
    from PIL import Image

    # Where a pixel's centre falls between two, Pillow's rounding decides; arithmetic of our own would differ there.
    return np.array(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def boxed(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Square pictures (N, S, S), light on black, each filled by its character -> 20x20, centred by mass in (N, 28, 28).

    For pictures too coarse to find strokes in: nothing is looked for. None may be blank."""
    return np.stack([centred(small) for small in smooth_resize(images.astype(np.int64), BOX, BOX)])


def is_mnist(image: NDArray[np.uint8]) -> bool:
    """Whether a picture has what all 70,000 images of MNIST have, and few others.

    28x28, light on black with white in it; the longer side of what is not black 19 or 20 pixels; the centre of mass
    within 9/16 of a pixel of row and column 14 (rounding to whole pixels would give 8/16, and four images lie outside
    that)."""
    if image.shape != (SIDE, SIDE) or image.max() < 254:
        return False
    rows, columns = box_of(image > 0)
    if max(rows.stop - rows.start, columns.stop - columns.start) not in (BOX - 1, BOX):
        return False
    grey = image.astype(np.int64)
    mass = int(grey.sum())
    moments = [int((grey.sum(1 - axis) * np.arange(SIDE)).sum()) for axis in (0, 1)]
    return all(16 * abs(moment - SIDE // 2 * mass) <= 9 * mass for moment in moments)

