"""Weights of few bits, each rounded so that it makes up for the errors of those before it.

After Frantar et al. 2022, arXiv:2210.17323 (GPTQ): what a rounded weight changes in the sums of the training images is
taken back by the weights that are not rounded yet, as far as their inputs go together. The mean does not count, as the
mean error of a channel is subtracted from its bias.
"""

import numpy as np
from numpy.typing import NDArray

from mnist_ops.export.fold_norms import Array, Convolution
from mnist_ops.export.forward import Maps

WIDTHS = (8, 4, 2)  # bits of a weight
LIMITS = {8: 127, 4: 7, 2: 3}  # of a weight of so many bits, without its sign
FEW = 3         # input channels of a group up to which a convolution has so few weights that none of 2 bits pay
BATCH = 50      # images whose inputs are in memory together
CLIPS = np.linspace(0.5, 1, 26)  # shares of a channel's largest weight that are tried as the limit
DAMPING = 1e-3  # of the mean variance of an input, added to each

Numbers = NDArray[np.floating]


def bits_of(inputs: int, bits: int) -> int:
    """Of the weights of a convolution with so many input channels in a group, in a network of so many bits."""
    return max(bits, 4) if inputs <= FEW else bits


def nearest(values: Numbers, bits: int) -> Numbers:
    """The nearest weights of so many bits: whole numbers within the limit; with 2 bits the odd ones, -3, -1, 1, 3."""
    whole = 2 * np.floor(values / 2) + 1 if bits == 2 else np.rint(values)
    return np.asarray(np.clip(whole, -LIMITS[bits], LIMITS[bits]))


def round_weights(convolution: Convolution, units: Array, bits: int, maps: Maps, *, border: int) -> Array:
    """The whole weights of a convolution of `maps` (N, channels, height, width) padded by `border`.

    units: (output channels,), above 0. Draws no random number."""
    weights, groups = convolution.weights.astype(np.float64), convolution.groups
    parts = []
    for own, units_of, inputs in zip(np.split(weights, groups), np.split(units, groups),
                                     np.split(maps, groups, axis=1), strict=True):
        covariance = _covariance(convolution, inputs, border)
        parts.append(_round(own.reshape(len(own), -1), units_of, bits, covariance))
    return np.concatenate(parts).reshape(weights.shape)


def _covariance(convolution: Convolution, maps: Maps, border: int) -> Numbers:
    """(K, K), of what the kernel covers in `maps`, those of one group."""
    total: Numbers = np.zeros(())
    sums: Numbers = np.zeros(())
    count = 0
    for start in range(0, len(maps), BATCH):
        inputs = _under_kernel(convolution, maps[start:start + BATCH], border)
        total, sums, count = total + inputs.T @ inputs, sums + inputs.sum(axis=0), count + len(inputs)
    mean = sums / count
    return total / count - np.outer(mean, mean)


def clipped_units(weights: Array, bits: int) -> Array:
    """The unit of each channel's weights (output channels, ...) of the least squared error; 0 without weights."""
    most = np.abs(weights).max(axis=(1, 2, 3)) / LIMITS[bits]
    tried = CLIPS[:, None] * np.where(most == 0, 1, most)
    units = tried[:, :, None, None, None]
    kept = nearest(weights / units, bits) * units
    best = np.square(kept - weights).sum(axis=(2, 3, 4)).argmin(axis=0)
    return np.where(most == 0, 0, tried[best, np.arange(len(most))])


def _round(weights: Numbers, units: Numbers, bits: int, covariance: Numbers) -> Numbers:
    """weights (outputs, K) for inputs of that covariance (K, K) -> whole weights."""
    count = len(covariance)
    covariance = covariance + np.eye(count) * (DAMPING * np.trace(covariance) / count + 1e-9)
    root = np.linalg.cholesky(np.linalg.inv(covariance)).T
    rest, whole = weights.copy(), np.zeros_like(weights)
    for place in range(count):
        whole[:, place] = nearest(rest[:, place] / units, bits)
        error = (rest[:, place] - whole[:, place] * units) / root[place, place]
        rest[:, place:] -= np.outer(error, root[place, place:])
    return whole


def _under_kernel(convolution: Convolution, maps: Maps, border: int) -> Numbers:
    """-> (places, channels * kernel**2): what each place's kernel covers."""
    padding, stride, dilation = convolution.padding, convolution.stride, convolution.dilation
    reach = (convolution.weights.shape[2] - 1) * dilation + 1
    padded = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation].transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(len(windows) * windows.shape[1] * windows.shape[2], -1)
