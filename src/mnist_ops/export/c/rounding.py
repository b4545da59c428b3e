"""Weights of few bits, each rounded so that it makes up for the errors of those before it.

After Frantar et al. 2022, arXiv:2210.17323 (GPTQ): what a rounded weight changes in the sums of the training images is
taken back by the weights that are not rounded yet, as far as their inputs go together. The mean does not count, as the
mean error of a channel is subtracted from its bias.
"""

import numpy as np
from numpy.typing import NDArray

from mnist_ops.export.fold_norms import Array, Convolution
from mnist_ops.export.forward import Maps

IMAGES = 150    # of the sample, whose inputs are compared
CLIPS = np.linspace(0.5, 1, 26)  # shares of a channel's largest weight that are tried as the limit
DAMPING = 0.01  # of the mean variance of an input, added to each

Numbers = NDArray[np.floating]


def round_weights(convolution: Convolution, units: Array, limit: int, maps: Maps, *, border: int) -> Array:
    """The whole weights, in -limit..limit, of a convolution of `maps` (N, channels, height, width) padded by `border`.

    units: (output channels,), above 0. Draws no random number."""
    weights, groups = convolution.weights.astype(np.float64), convolution.groups
    count = len(weights) // groups
    inputs = _under_kernel(convolution, maps[:IMAGES], border)
    parts = []
    for group in range(groups):
        own = slice(group * count, (group + 1) * count)
        parts.append(_round(weights[own].reshape(count, -1), units[own], limit, inputs[group]))
    return np.concatenate(parts).reshape(weights.shape)


def clipped_units(weights: Array, limit: int) -> Array:
    """The unit of each channel's weights (output channels, ...) of the least squared error; 0 without weights."""
    most = np.abs(weights).max(axis=(1, 2, 3)) / limit
    tried = CLIPS[:, None] * np.where(most == 0, 1, most)
    units = tried[:, :, None, None, None]
    kept = np.clip(np.rint(weights / units), -limit, limit) * units
    best = np.square(kept - weights).sum(axis=(2, 3, 4)).argmin(axis=0)
    return np.where(most == 0, 0, tried[best, np.arange(len(most))])


def _round(weights: Numbers, units: Numbers, limit: int, inputs: Numbers) -> Numbers:
    """weights (outputs, K) for inputs (places, K) -> whole weights."""
    inputs = inputs - inputs.mean(axis=0)
    covariance = inputs.T @ inputs / len(inputs)
    count = len(covariance)
    covariance += np.eye(count) * (DAMPING * np.trace(covariance) / count + 1e-9)
    root = np.linalg.cholesky(np.linalg.inv(covariance)).T
    rest, whole = weights.copy(), np.zeros_like(weights)
    for place in range(count):
        whole[:, place] = np.clip(np.rint(rest[:, place] / units), -limit, limit)
        error = (rest[:, place] - whole[:, place] * units) / root[place, place]
        rest[:, place:] -= np.outer(error, root[place, place:])
    return whole


def _under_kernel(convolution: Convolution, maps: Maps, border: int) -> Numbers:
    """-> (groups, places, inputs of a group * kernel**2): what each place's kernel covers."""
    padding, stride, dilation = convolution.padding, convolution.stride, convolution.dilation
    kernel, groups = convolution.weights.shape[2], convolution.groups
    reach = (kernel - 1) * dilation + 1
    padded = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    images, channels, height, width, _, _ = windows.shape
    grouped = windows.reshape(images, groups, channels // groups, height, width, kernel, kernel)
    return grouped.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, images * height * width, -1)
