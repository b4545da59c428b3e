"""A trained network -> the operations that its exports compute: normalisation folded away, scaling inside, no torch.

Raw values 0..255 of a prepared image go in. Batch normalisation and scaling are affine maps per channel; each is
folded into a neighbouring convolution if that is exact, and is a separate operation otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch import layers as arch
from mnist_ops.arch.arithmetic import Shape, conv_groups, output_shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Layer, MaxPool, ReLU
from mnist_ops.errors import RunError

if TYPE_CHECKING:
    from mnist_ops.run.trained import TrainedNetwork
    from mnist_ops.score.refusal import Refusal

EPSILON = 1e-5  # under the root of batch normalisation, PyTorch's own
Array: TypeAlias = NDArray[np.floating[Any]]
State: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Convolution:
    """Cross-correlation with square kernels and zero padding, as PyTorch's Conv2d, and a bias per output channel."""

    weights: Array  # (output channels, input channels / groups, kernel, kernel)
    bias: Array     # (output channels,)
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Affine:
    """scale * x + shift per channel."""

    scale: Array  # (channels,)
    shift: Array  # (channels,)


@dataclass(frozen=True, eq=False)
class Sum:
    """x + body(x), of a residual; the body keeps the shape and may hold sums."""

    body: "tuple[Operation, ...]"


# All operations of an export. mypy reports a kind that an export forgets.
Operation: TypeAlias = Convolution | Affine | Sum | ReLU | MaxPool | AvgPool | AdaptiveAvgPool


def fold_trained(trained: "TrainedNetwork") -> tuple[Operation, ...]:
    """The operations of a run's network: images (N, C, H, W) of values 0..255 -> logits (N, classes, 1, 1)."""
    state = {name: value.cpu().numpy() for name, value in trained.network.state_dict().items()}
    return fold(trained.layers, state, trained.input_shape, scaling(trained.mean, trained.sd))


def score_of(trained: "TrainedNetwork", operations: Sequence[Operation]) -> "Refusal | None":
    """The score that refuses, if the last of `operations` reads what it reads; not where a map was folded into that."""
    if trained.refusal is None:
        return None
    state = {name: value.cpu().numpy() for name, value in trained.network.state_dict().items()}
    before = fold(trained.layers[:-1], state, trained.input_shape, scaling(trained.mean, trained.sd))
    return trained.refusal if len(before) == len(operations) - 1 else None


def scaling(mean: Sequence[float], sd: Sequence[float]) -> Affine:
    """What is done to values 0..255 first; `mean` and `sd` of each channel are of values in [0, 1]."""
    return Affine(1 / (255 * np.array(sd)), -np.array(mean) / np.array(sd))


def fold(layers: Iterable[Layer], state: State, shape: Shape, scaled: Affine) -> tuple[Operation, ...]:
    """The operations of `layers` with the trained values `state`, named as in Network.state_dict().

    shape: of an image, (channels, height, width); scaled: of its values 0..255. Computed in float64, returned as
    float32. Raises RunError if a number is not finite, before or after folding."""
    with np.errstate(all="ignore"):
        operations = tuple(map(_single, _fold(layers, state, "body", shape=shape, done=[scaled])))
    for place, numbers in (*state.items(), *(("a folded normalisation", array) for array in arrays(operations))):
        if not np.isfinite(numbers).all():
            raise RunError(f"the network cannot be exported: {place} has a number that is not finite; expected "
                           "weights without NaN and infinity. Train again at a lower rate")
    return operations


def arrays(operations: Iterable[Operation]) -> Iterator[Array]:
    """All arrays of numbers in the operations."""
    for operation in operations:
        match operation:
            case Convolution(weights, bias):
                yield from (weights, bias)
            case Affine(scale, shift):
                yield from (scale, shift)
            case Sum(body):
                yield from arrays(body)
            case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
                pass


def shape_after(operation: Operation, shape: Shape) -> Shape:
    """The output shape of an operation for an input of `shape`, (channels, height, width)."""
    match operation:
        case Convolution(weights=weights):
            layer = arch.Conv(len(weights), weights.shape[2], operation.stride, operation.padding, operation.dilation,
                              operation.groups)
            return output_shape(layer, shape)
        case Affine() | Sum():
            return shape
        case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return output_shape(operation, shape)


def _fold(layers: Iterable[Layer], state: State, prefix: str, *, shape: Shape,
          done: Sequence[Operation] = ()) -> Sequence[Operation]:
    """The operations in `done`, whose output has that shape, followed by those of `layers`."""
    for index, layer in enumerate(layers):
        place = f"{prefix}.{index}"
        match layer:
            case arch.Conv():
                done = _with_convolution(done, _convolution(layer, state, place, shape[0]))
            case arch.Norm():
                done = _with_affine(done, _affine(state, place))
            case arch.Residual(body=body):
                done = [*done, Sum(tuple(_fold(body, state, f"{place}.body", shape=shape)))]
            case arch.Dropout():
                pass
            case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
                done = [*done, layer]
        shape = output_shape(layer, shape)
    return done


def _convolution(layer: arch.Conv, state: State, place: str, channels: int) -> Convolution:
    weights = state[f"{place}.weight"].astype(np.float64)
    bias = state[f"{place}.bias"].astype(np.float64) if layer.bias else np.zeros(layer.channels)
    return Convolution(weights, bias, layer.stride, layer.padding, layer.dilation, conv_groups(layer, channels))


def _affine(state: State, place: str) -> Affine:
    """Batch normalisation in evaluation: (x - mean) / sqrt(variance + EPSILON) * weight + bias; arXiv:1502.03167."""
    weight, bias, mean, variance = (state[f"{place}.{name}"].astype(np.float64)
                                    for name in ("weight", "bias", "running_mean", "running_var"))
    scale = weight / np.sqrt(variance + EPSILON)
    return Affine(scale, bias - mean * scale)


def _with_convolution(done: Sequence[Operation], convolution: Convolution) -> list[Operation]:
    """Fold a map into the convolution after it, unless that pads: the zeros at the border are not mapped."""
    if not done or not isinstance(done[-1], Affine) or convolution.padding:
        return [*done, convolution]
    before, weights = done[-1], convolution.weights
    inputs = np.arange(convolution.groups)[:, None] * weights.shape[1] + np.arange(weights.shape[1])  # of each group
    seen = np.repeat(inputs, len(weights) // convolution.groups, axis=0)  # (output channels, inputs of its group)
    bias = convolution.bias + np.einsum("oikl,oi->o", weights, before.shift[seen])
    return [*done[:-1], replace(convolution, weights=weights * before.scale[seen][..., None, None], bias=bias)]


def _with_affine(done: Sequence[Operation], affine: Affine) -> list[Operation]:
    """Fold a map into the convolution or map before it, through pools in between if they commute."""
    place = len(done) - 1
    while place >= 0 and _commutes(done[place], affine):
        place -= 1
    match done[place] if place >= 0 else None:
        case Convolution() as convolution:
            weights = convolution.weights * affine.scale[:, None, None, None]
            merged: Operation = replace(convolution, weights=weights,
                                        bias=convolution.bias * affine.scale + affine.shift)
        case Affine() as before:
            merged = Affine(before.scale * affine.scale, before.shift * affine.scale + affine.shift)
        case Sum() | ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool() | None:
            return [*done, affine]
    return [*done[:place], merged, *done[place + 1:]]


def _commutes(operation: Operation, affine: Affine) -> bool:
    """Whether the map can be moved before a pool: not a negative scale before a maximum, nor a shift before a mean that
    includes the zeros of a padding."""
    match operation:
        case MaxPool():
            return bool((affine.scale >= 0).all())
        case AvgPool(padding=padding):
            return padding == 0
        case AdaptiveAvgPool():
            return True
        case Convolution() | Affine() | Sum() | ReLU():
            return False


def _single(operation: Operation) -> Operation:
    """The same with float32 numbers."""
    match operation:
        case Convolution():
            return replace(operation, weights=operation.weights.astype(np.float32),
                           bias=operation.bias.astype(np.float32))
        case Affine():
            return Affine(operation.scale.astype(np.float32), operation.shift.astype(np.float32))
        case Sum(body=body):
            return Sum(tuple(map(_single, body)))
        case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return operation
