"""Any picture -> the image that the network expects. The method belongs to the run, and is the same in every export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.errors import ConfigError, DataError, UsageError, legible
from mnist_ops.pictures.ink import find_ink
from mnist_ops.pictures.read import read_image
from mnist_ops.pictures.sampling import smooth_resize
from mnist_ops.pictures.strokes import BOX, box_of, centred, draw
from mnist_ops.pictures.strokes import SIDE as SIDE  # pixels, of the network's input

# resize: stretched, as in the reference. mnist: as MNIST was made: the ink found, boxed, its longer side 20 pixels,
# strokes of MNIST's width, centred by mass; an image of MNIST, or its negative, is unchanged.
METHODS = ("mnist", "resize")
FAINT = 64  # of 255: a smaller range of grey values may be why no ink is found
LIKE_MNIST = ("auto", "mnist", "digits")  # datasets of single characters, made as MNIST was


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture file, and the network's input made of it."""

    original: NDArray[np.uint8]  # (H, W), or (H, W, 3) in colour
    seen: NDArray[np.uint8]  # (side, side), or (3, side, side) in colour
    warnings: tuple[str, ...]  # as of `Decoded`
    transparent: bool


def prepare(image: NDArray[np.uint8], how: str = "resize", side: int = SIDE) -> NDArray[np.uint8]:
    """image (H, W) or (H, W, 3) uint8 -> new (side, side) or (3, side, side) uint8, by the method `how`.

    One of `METHODS`; "mnist" takes grey pictures and makes 28x28. Raises ConfigError for an unknown method; DataError
    if the brightest value is 1, or if `how` is "mnist" and the picture has no ink."""
    return prepare_and_warn(image, how, side)[0]


def prepare_and_warn(image: NDArray[np.uint8], how: str, side: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The same, with warnings, as of `Decoded`."""
    check_method(how)
    check_range(image)
    if how == "resize":
        return resize(image, side), ()
    for own in (image, 255 - image):
        if is_mnist(own):
            return own.copy(), ()
    try:
        ink = find_ink(image)
        return draw(ink), ink.warnings
    except DataError as error:
        darkest, brightest = int(image.min()), int(image.max())
        faint = f"; its grey values run only from {darkest} to {brightest}" if brightest - darkest < FAINT else ""
        raise DataError(f"{error}{faint}") from error


def check_picture(picture: NDArray[np.generic], *, colour: bool) -> None:
    """Raises UsageError for an array that is not uint8 (H, W), or in colour (H, W, 3)."""
    if picture.dtype != np.uint8 or picture.shape[2:] != ((3,) if colour else ()) or picture.size == 0:
        raise UsageError(f"picture: found {picture.dtype} of shape {picture.shape}, expected uint8 of shape "
                         + ("(H, W, 3), red, green and blue" if colour else "(H, W), grey, 0 black"))


def check_range(image: NDArray[np.uint8]) -> None:
    """Raises DataError if the brightest value is 1."""
    if image.max() == 1 and image.min() == 0:
        raise DataError("its brightest value is 1, expected grey values from 0 to 255; multiply them by 255")


def check_method(how: str) -> None:
    """Raises ConfigError, listing the methods, unless `how` is one of `METHODS`."""
    if how not in METHODS:
        raise ConfigError(f"prepare: found {how!r}, expected one of {', '.join(METHODS)}.")


def chosen_method(how: str, data: str) -> Literal["mnist", "resize"]:
    """The method that "auto" means for that dataset; others of `METHODS` are returned.

    A folder may contain pictures of anything, and other datasets were not made like MNIST: both are resized.
    Raises ConfigError for any other word."""
    if how != "auto":
        check_method(how)
        return "mnist" if how == "mnist" else "resize"
    return "mnist" if data in LIKE_MNIST else "resize"


def prepared_file(path: Path, how: str, shape: Shape = INPUT) -> Prepared:
    """Read the picture `path` and prepare it for a network whose images have that shape.

    Raises DataError, naming it, as `read_image` and `prepare`."""
    picture = read_image(path, colour=shape[0] == 3)
    try:
        seen, warnings = prepare_and_warn(picture.pixels, how, shape[1])
    except DataError as error:
        raise DataError("; it ".join([f"{legible(path)}: {error}", *picture.warnings])) from error
    return Prepared(picture.pixels, seen, (*picture.warnings, *warnings), picture.transparent)


def resize(image: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) -> (side, side) or (3, side, side); each side is stretched by itself.

    Grey 28x28 by nearest neighbour, as in the reference; else bilinear, over more pixels where it shrinks, as Pillow
    does. A picture of that size is unchanged."""
    from PIL import Image

    if image.shape[:2] != (side, side):
        # If a pixel's centre is between two, Pillow's rounding decides; our own arithmetic would differ.
        way = Image.Resampling.NEAREST if image.ndim == 2 and side == SIDE else Image.Resampling.BILINEAR
        # Across, then down: Pillow 13 takes a tall picture the other way round, which rounds otherwise.
        across = Image.fromarray(image).resize((side, image.shape[0]), way)
        image = np.asarray(across.resize((side, side), way))
    return np.array(image if image.ndim == 2 else np.moveaxis(image, -1, 0), order="C")


def check_shape(how: str, size: int | Literal["auto"], colour: bool | Literal["auto"]) -> None:
    """Raises ConfigError for an image that `how` does not make."""
    if how == "mnist" and (size not in ("auto", SIDE) or colour is True):
        found = "colour" if colour is True else f"size {size}"
        raise ConfigError(f"{found} and prepare = \"mnist\": that makes grey {SIDE}x{SIDE}. Leave {found.split()[0]} "
                          "out, or set prepare = \"resize\"")


def boxed(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Square pictures (N, S, S), light on black, each filled by its character -> 20x20, centred by mass in (N, 28, 28).

    For pictures too coarse to find strokes. None may be blank."""
    return np.stack([centred(small) for small in smooth_resize(images.astype(np.int64), BOX, BOX)])


def is_mnist(image: NDArray[np.uint8]) -> bool:
    """Whether a picture has the properties of all 70,000 images of MNIST, which few others have.

    28x28, light on black with some white; the longer side of the non-black box 19 or 20 pixels; the centre of mass
    within 9/16 of a pixel of row and column 14 (rounding to whole pixels gives 8/16, but four images are outside
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

