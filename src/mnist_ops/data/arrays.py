"""Arrays of images and labels from anywhere, checked -> uint8 images of the size and colours that a network takes."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.errors import DataError, brief
from mnist_ops.pictures.prepare import resize

RED, GREEN, BLUE = 19595, 38470, 7471  # of 65536: grey by ITU-R 601, rounded as Pillow does
BLOCK = 4096  # images converted at once, as wider copies of all would fill the memory
MOST_IMAGES = 2**20
SHAPES = "expected (N, height, width), (N, height, width, 3), or (N, side * side)"


def fit(images: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """images (N, H, W) or (N, H, W, 3) uint8 -> (N, side, side) for one channel, (N, 3, side, side) for three.

    Grey by ITU-R 601, and each side stretched by itself, as `prepare.resize` does."""
    channels, side, _ = shape
    images = grey(images) if channels == 1 else images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)
    if images.shape[1:3] != (side, side):
        return np.stack([resize(image, side) for image in images])
    return np.ascontiguousarray(images if channels == 1 else images.transpose(0, 3, 1, 2))


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """images (N, H, W) or (N, H, W, 3) uint8 -> (N, H, W), by ITU-R 601."""
    if images.ndim == 3:
        return images
    found = np.empty(images.shape[:3], np.uint8)
    for first in range(0, len(images), BLOCK):
        red, green, blue = np.moveaxis(images[first:first + BLOCK].astype(np.uint32), 3, 0)
        found[first:first + BLOCK] = (red * RED + green * GREEN + blue * BLUE + 2**15) >> 16
    return found


def pixels(where: str, found: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """-> images (N, H, W) or (N, H, W, 3) uint8, 0 black; and what was done to the values, if anything.

    Also takes (N, H, W, 1), (N, 1, H, W), (N, 3, H, W), rows of square images, and any numbers from 0 to 1 or 255.
    Raises DataError, beginning with `where`, for anything else."""
    images = _shaped(where, found)
    if len(images) > MOST_IMAGES:
        raise DataError(f"{where}: {len(images):,} images, the limit is {MOST_IMAGES:,}. Use a part of them.")
    if found.dtype.kind not in "biuf":
        raise DataError(f"{where}: holds {brief(found.dtype.name)}, expected numbers. Save it as uint8, 0 to 255.")
    lowest, highest = float(images.min()), float(images.max())
    if not (lowest >= 0 and highest <= 255):  # so that NaN is refused too
        raise DataError(f"{where}: values from {lowest:g} to {highest:g}, expected 0 (black) to 255. Scale them, and "
                        "save them as uint8.")
    if not 0 < highest <= 1:
        return _whole(images, 1), ()
    return _whole(images, 255), (f"{where}: the values end at {highest:g}, so they were multiplied by 255",)


def _shaped(where: str, found: NDArray[Any]) -> NDArray[Any]:
    match found.shape:
        case _ if found.size == 0:
            raise DataError(f"{where}: is empty, shape {found.shape}; {SHAPES}.")
        case (_, 1 | 3, _, width) if width not in (1, 3):
            return _shaped(where, np.moveaxis(found, 1, 3))
        case (_, _, _, 1):
            return found[..., 0]
        case (_, _, _) | (_, _, _, 3):
            return found
        case (count, numbers) if (side := round(numbers**0.5))**2 == numbers:
            return found.reshape(count, side, side)
        case _:
            raise DataError(f"{where}: shape {brief(found.shape)}; {SHAPES}. Reshape it.")


def _whole(images: NDArray[Any], factor: int) -> NDArray[np.uint8]:
    """The values times `factor`, rounded."""
    if images.dtype == np.uint8 and factor == 1:
        return np.ascontiguousarray(images)
    whole = np.empty(images.shape, np.uint8)
    for first in range(0, len(images), BLOCK):
        whole[first:first + BLOCK] = np.rint(images[first:first + BLOCK].astype(np.float64) * factor)
    return whole


def labels_of(where: str, found: NDArray[Any], images: int) -> NDArray[Any]:
    """-> labels (N,), int64 from 0, or text. Takes (N, 1) too.

    Raises DataError, beginning with `where`, for another shape or count, negative numbers and fractions."""
    if found.ndim == 2 and found.shape[1] > 1:
        raise DataError(f"{where}: shape {found.shape}, several numbers for each image, expected one label. If they "
                        "are one-hot, save labels.argmax(axis=1).")
    if found.ndim not in (1, 2):
        raise DataError(f"{where}: shape {brief(found.shape)}, expected one label for each image, (N,) or (N, 1).")
    labels = found.reshape(-1)
    if len(labels) != images:
        raise DataError(f"{where}: {len(labels):,} labels for {images:,} images. They do not belong together.")
    if labels.dtype.kind == "U":
        texts = np.ascontiguousarray(labels, labels.dtype.newbyteorder("="))
        if texts.itemsize and (code := texts.view(np.uint32).max()) > sys.maxunicode:
            raise DataError(f"{where}: holds text that is damaged: character {code:x}, expected at most "
                            f"{sys.maxunicode:x}. Save it again.")
        return np.array(labels.tolist())
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{where}: holds {brief(labels.dtype.name)}, expected integers from 0, or text.")
    wrong = np.flatnonzero(~((labels >= 0) & (labels < 2**31) & (labels == np.floor(labels))))
    if len(wrong):
        raise DataError(f"{where}: the label of image {wrong[0]} is {labels[wrong[0]]}, expected a number from 0 such "
                        "as 0, 1, 2. Number the classes from 0, or write their names as text.")
    return labels.astype(np.int64)
