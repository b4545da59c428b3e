"""Convolutions across all channels, as the C code multiplies them: four weights at a time, for two places at once.

Two map elements share a word of 32 bits, 16 bits each, so that one multiplication serves both. A weight is stored as
weight + offset, which is not negative; the sum of the four products then needs no more than 16 bits, if the four
stored weights add up to at most 257. The offset times the sum of the elements is subtracted at the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.export.fold_norms import Array, Convolution

BYTE = 255             # the largest element of a map here
FOUR = 4               # weights that are multiplied before the sums are taken apart
MOST = 2**16 // BYTE   # sum of four stored weights, 257
ROUNDING = FOUR        # what rounding four weights and their offset may add to it
OFFSETS = {4: 8, 2: 3}  # what is added to a weight of so many bits, in every channel
LONGEST = 257          # neighbouring elements of a map that are added in 16 bits


def is_dense(convolution: Convolution) -> bool:
    """Whether a convolution of maps of bytes is computed so."""
    return convolution.groups == 1 and convolution.weights.shape[1] <= LONGEST


def smallest_units(weights: Array) -> Array:
    """The least unit of each channel's weights (output channels, inputs, kernel, kernel) with which four fit."""
    fours = _fours(weights)
    offset = np.maximum(-weights.min(axis=(1, 2, 3)), 0)
    return (fours.sum(axis=2).max(axis=1) + FOUR * offset) / (MOST - ROUNDING)  # type: ignore[no-any-return]


def pack(weights: Array, *, bits: int = 8) -> NDArray[np.uint8]:
    """Whole weights as the C code has them, (output channels, 1 + terms): the offset, then the rows of the kernel with
    zeros up to a multiple of four. In each four the second and third change places. With 4 and 2 bits all
    offsets are that of `OFFSETS`."""
    offset = np.full(len(weights), OFFSETS[bits]) if bits < 8 else np.maximum(-weights.min(axis=(1, 2, 3)), 0)
    stored = _fours(weights + offset[:, None, None, None])
    assert stored.sum(axis=2).max(initial=0) <= MOST
    assert stored.max(initial=0) <= BYTE
    return np.hstack([offset[:, None], stored[:, :, [0, 2, 1, 3]].reshape(len(weights), -1)]).astype(np.uint8)


def _fours(weights: Array) -> Array:
    """-> (output channels, groups, 4) in the order of the map's elements, zeros at the end."""
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % FOUR)))
    return rows.reshape(len(rows), -1, FOUR)


def packed(stored: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Weights plus their offset, so many of 4 or 2 bits in a byte, the first in its lowest bits. Of 2 bits all stored
    values are even, and half of each is kept."""
    count = 8 // bits
    codes = np.asarray(stored).ravel() // (2 if bits == 2 else 1)
    rows = np.pad(codes, (0, -len(codes) % count)).astype(np.int64).reshape(-1, count)
    return np.asarray((rows << bits * np.arange(count)).sum(axis=1), np.uint8)
