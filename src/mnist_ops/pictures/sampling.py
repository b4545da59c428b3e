"""Exact area averaging, smooth resampling and running extremes of grey pictures.

Integers wherever a threshold follows, so that a port to another language gives the same pixels."""

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.int64]  # (H, W)
BLOCK = 512  # columns summed at once, as a large photo's sums would fill the memory
TIE = 1e-6  # added before rounding down, so that exact halves go up despite rounding errors


def shrink(image: NDArray[np.integer], longest: int) -> Grey:
    """image (H, W), 0..255 -> its longer side `longest` by area averaging, rounded; smaller ones are unchanged.

    The shorter side is rounded too, to at least 1. All arithmetic is exact."""
    height, width = image.shape
    if max(height, width) <= longest:
        return image.astype(np.int64)
    rows, columns = (max(1, (2 * side * longest + max(height, width)) // (2 * max(height, width)))
                     for side in (height, width))
    sums = _area_sums(_area_sums(image, rows).T, columns).T
    return np.asarray((2 * sums + height * width) // (2 * height * width))


def _area_sums(image: NDArray[np.integer], count: int) -> Grey:
    """(n, W) -> (count, W): sums over equal shares of the n rows, `count` times the grey value of each whole row."""
    edges = np.arange(count + 1) * len(image)  # in units of 1 / count of a row
    whole, part = edges // count, edges % count
    cut = np.minimum(whole, len(image) - 1)  # the row of which a part belongs to each share; the last edge has none
    blocks = []
    for first in range(0, image.shape[1], BLOCK):
        block = image[:, first:first + BLOCK].astype(np.int64)
        cumulated = np.concatenate([np.zeros((1, block.shape[1]), np.int64), block.cumsum(0)])
        upto = cumulated[whole] * count + block[cut] * part[:, None]
        blocks.append(np.asarray(upto[1:] - upto[:-1], dtype=np.int64))
    return np.concatenate(blocks, axis=1)


def smooth_resize(image: Grey, rows: int, columns: int) -> Grey:
    """image (..., H, W), 0..255 -> (..., rows, columns), rounded, by a triangle two pixels of the coarser grid wide.

    Linear interpolation when enlarging, a weighted mean when shrinking; 0 outside the picture."""
    resized = _triangle(image.shape[-2], rows) @ image.astype(np.float64) @ _triangle(image.shape[-1], columns).T
    return np.floor(resized + 0.5 + TIE).astype(np.int64)


def _triangle(size: int, count: int) -> NDArray[np.float64]:
    """(count, size) weights; each row would sum to 1 if the picture continued on both sides."""
    step = size / count
    reach = max(1.0, step)
    centres = (np.arange(count) + 0.5) * step
    beyond = int(np.ceil(reach)) + 1
    places = np.arange(-beyond, size + beyond) + 0.5
    weights = np.maximum(0.0, 1 - np.abs(centres[:, None] - places) / reach)
    return np.asarray((weights / weights.sum(1, keepdims=True))[:, beyond:beyond + size])


def running_maximum(image: Grey, reach: int) -> Grey:
    """The maximum over the square of `reach` pixels on every side, within the picture."""
    return _running_rows(_running_rows(image, reach).T, reach).T


def running_minimum(image: Grey, reach: int) -> Grey:
    """The minimum, likewise."""
    return -running_maximum(-image, reach)


def _running_rows(image: Grey, reach: int) -> Grey:
    """Maxima over windows along the first axis, doubling the window as often as it fits."""
    size, window = len(image), 2 * reach + 1
    lowest = np.full((reach, image.shape[1]), image.min(), np.int64)
    values, covered = np.concatenate([lowest, image, lowest]), 1
    while 2 * covered <= window:
        values = np.maximum(values[:-covered], values[covered:])
        covered *= 2
    rest = window - covered
    return np.asarray(np.maximum(values[:size], values[rest:rest + size]))
