"""The folded operations in numpy: the reference of the exports, written for clarity. No torch."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.export.fold_norms import Affine, Convolution, Operation, Sum

Maps: TypeAlias = NDArray[Any]  # (N, channels, height, width)
BATCH = 500  # images; more would only take memory


def logits(operations: Sequence[Operation], images: NDArray[np.uint8], kind: type[np.floating[Any]] = np.float64
           ) -> NDArray[Any]:
    """images (N, H, W) or (N, 3, H, W) uint8 -> logits (N, classes), computed in float64, or in float32 by `kind`."""
    parts = [images[start:start + BATCH] for start in range(0, len(images), BATCH)]
    return np.concatenate([run(operations, with_channels(part).astype(kind)).reshape(len(part), -1) for part in parts])


def with_channels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W) -> (N, 1, H, W); (N, 3, H, W) as it is."""
    return images if images.ndim == 4 else images[:, None]


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    """Logits (N, classes) -> probabilities of the same kind."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def run(operations: Sequence[Operation], maps: Maps) -> Maps:
    """All operations in their order on maps (N, channels, height, width), in the kind of number of `maps`."""
    for operation in operations:
        maps = apply(operation, maps)
    return maps


def apply(operation: Operation, maps: Maps) -> Maps:
    """One operation; the result has the kind of number of `maps`."""
    made: Maps
    match operation:
        case Convolution(bias=bias):
            made = convolve(operation, maps) + bias.astype(maps.dtype)[:, None, None]
        case Affine(scale=scale, shift=shift):
            made = maps * scale.astype(maps.dtype)[:, None, None] + shift.astype(maps.dtype)[:, None, None]
        case Sum(body=body):
            made = maps + run(body, maps)
        case ReLU():
            made = np.maximum(maps, 0)
        case MaxPool():
            made = max_pool(operation, maps)
        case AvgPool():
            made = sum_pool(operation, maps) / maps.dtype.type(operation.kernel**2)
        case AdaptiveAvgPool(size=size):
            made = adaptive_sum_pool(size, maps) / counts(size, maps.shape[2:]).astype(maps.dtype)
    return made


def convolve(convolution: Convolution, maps: Maps, border: float = 0) -> Maps:
    """The convolution without its bias; `border` is the value of the padding."""
    kernel, groups = convolution.weights.shape[2], convolution.groups
    padded = _pad(maps, convolution.padding, border)
    weights = convolution.weights.astype(maps.dtype).reshape(groups, -1, *convolution.weights.shape[1:])
    total: Any = 0
    for row, column, window in windows(padded, kernel, convolution.stride, convolution.dilation):
        grouped = window.reshape(len(maps), groups, -1, window.shape[2] * window.shape[3])
        total = total + weights[..., row, column] @ grouped
        shape = window.shape[2:]
    return total.reshape(len(maps), -1, *shape)  # type: ignore[no-any-return]


def max_pool(pool: MaxPool, maps: Maps) -> Maps:
    """Maximum of each window; the padding never wins."""
    padded = _pad(maps, pool.padding, -np.inf)
    largest: Maps = np.maximum.reduce(
        [window for _, _, window in windows(padded, pool.kernel, pool.stride, pool.dilation)])
    return largest


def sum_pool(pool: AvgPool, maps: Maps, border: float = 0) -> Maps:
    """Sum over each window; `border` is the value of the padding."""
    padded = _pad(maps, pool.padding, border)
    return sum(window for _, _, window in windows(padded, pool.kernel, pool.stride, 1))  # type: ignore[return-value]


def adaptive_sum_pool(size: int, maps: Maps) -> Maps:
    """Sum over each window of a size x size grid."""
    rows, columns = (list(spans(size, length)) for length in maps.shape[2:])
    return np.stack([np.stack([maps[:, :, top:bottom, left:right].sum(axis=(2, 3), dtype=maps.dtype)
                               for left, right in columns], axis=-1) for top, bottom in rows], axis=-2)


def counts(size: int, shape: Sequence[int]) -> NDArray[np.int64]:
    """Elements in each window of an adaptive pool on a map of that height and width, (size, size)."""
    rows, columns = (np.array([end - begin for begin, end in spans(size, length)]) for length in shape)
    return rows[:, None] * columns  # type: ignore[no-any-return]


def spans(size: int, length: int) -> Iterator[tuple[int, int]]:
    """First pixel and the one after the last of each window of an adaptive pool along an axis of that length."""
    for index in range(size):
        yield index * length // size, -(-(index + 1) * length // size)


def windows(padded: Maps, kernel: int, stride: int, dilation: int) -> Iterator[tuple[int, int, Maps]]:
    """For each element of the kernel its row, its column, and the values under it in every window."""
    height, width = ((length - dilation * (kernel - 1) - 1) // stride + 1 for length in padded.shape[2:])
    for row in range(kernel):
        for column in range(kernel):
            top, left = row * dilation, column * dilation
            yield row, column, padded[:, :, top:top + (height - 1) * stride + 1:stride,
                                      left:left + (width - 1) * stride + 1:stride]


def _pad(maps: Maps, padding: int, border: float) -> Maps:
    if padding == 0:
        return maps
    return np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=border)
