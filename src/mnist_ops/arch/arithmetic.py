"""Arithmetic on layers: output shape, parameters, multiply-adds and receptive field. Knows neither torch nor numpy.

Shapes are (channels, height, width) of one image; windows are square. `walk` checks an architecture completely: what it
accepts can be built and run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from mnist_ops.arch.layers import (
    MAX_LAYERS,
    AdaptiveAvgPool,
    AvgPool,
    Conv,
    Dropout,
    Layer,
    MaxPool,
    Norm,
    ReLU,
    Residual,
)
from mnist_ops.errors import ConfigError

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width

MAX_ELEMENTS = 2**24    # of one feature map, so that a hostile file cannot use all memory
MAX_PARAMETERS = 2**26  # of one network, for the same reason


def conv_groups(layer: Conv, input_channels: int) -> int:
    """Number of groups of a convolution on that many channels: `groups`; 0 means one per input channel."""
    return layer.groups or input_channels


def output_size(layer: Layer, size: int) -> int:
    """Output side of a layer, in pixels, for an input side of `size`; below 1 if the window is larger than the padded
    input."""
    match layer:
        case Conv() | MaxPool():
            return (size + 2 * layer.padding - layer.dilation * (layer.kernel - 1) - 1) // layer.stride + 1
        case AvgPool():
            return (size + 2 * layer.padding - layer.kernel) // layer.stride + 1
        case AdaptiveAvgPool():
            return layer.size
        case Norm() | Dropout() | ReLU() | Residual():
            return size


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Output shape of a layer for an input of `shape`.

    Raises ConfigError naming layer and shape if the kernel is larger than the padded input, a window of a maximum sees
    only padding, the groups do not divide the channels, a residual's body changes the shape, or the result has more
    than MAX_ELEMENTS elements."""
    channels, height, width = shape
    problem = ""
    match layer:
        case Conv():
            groups = conv_groups(layer, channels)
            if channels % groups or layer.channels % groups:
                problem = f"{groups} groups do not divide {channels} input and {layer.channels} output channels"
            channels = layer.channels
        case Residual():
            *_, (_, _, inner) = _shapes(layer.body, shape)
            if inner != shape:
                problem = f"the body's output is {as_text(inner)}, a sum needs equal shapes"
        case MaxPool() if any(_misses(layer, side) for side in (height, width)):
            problem = "one of its windows sees only padding"
        case Norm() | Dropout() | ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            pass
    result = channels, output_size(layer, height), output_size(layer, width)
    if min(result) < 1:
        problem = "the kernel is larger than the padded input"
    elif prod(result) > MAX_ELEMENTS:
        problem = f"the result, {as_text(result)}, has more than {MAX_ELEMENTS:,} elements"
    if problem:
        raise ConfigError(f"{layer!r:.160} on an input of {as_text(shape)}: {problem}. Change the architecture.")
    return result


def _misses(pool: MaxPool, size: int) -> bool:
    """Whether one of its windows sees only padding, of which there is no maximum."""
    starts = range(-pool.padding, size + pool.padding - pool.dilation * (pool.kernel - 1), pool.stride)
    return any(not any(0 <= start + step * pool.dilation < size for step in range(pool.kernel)) for start in starts)


def _shapes(layers: Iterable[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Every layer with the shape before and after it."""
    for layer in layers:
        after = output_shape(layer, shape)
        yield layer, shape, after
        shape = after


def as_text(shape: Shape) -> str:
    """(10, 26, 26) -> "10x26x26"."""
    return "x".join(map(str, shape))


def parameters(layer: Layer, shape: Shape) -> int:
    """Parameters of a layer on an input of `shape`, including those of a residual's body; all are trainable."""
    match layer:
        case Conv():
            per_output = shape[0] // conv_groups(layer, shape[0]) * layer.kernel**2 + layer.bias
            return layer.channels * per_output
        case Norm():
            return 2 * shape[0]
        case Residual():
            return sum(parameters(part, before) for part, before, _ in _shapes(layer.body, shape))
        case Dropout() | ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return 0


def folded_parameters(layers: Iterable[Layer], shape: Shape) -> int:
    """Parameters of a network on images of `shape` once its norms are folded into the convolutions before them, as in
    an export: a norm leaves a bias for each channel. One that follows no convolution, or a mean of padded maps, leaves
    a scale and a shift, as does one behind a maximum if a trained scale is negative, which is not counted here."""
    total = 0
    bias: int | None = None  # what a norm that can be folded here adds
    for layer, before, _ in _shapes(layers, shape):
        match layer:
            case Conv():
                total += parameters(layer, before)
                bias = 0 if layer.bias else layer.channels
            case Norm():
                total += parameters(layer, before) if bias is None else bias
                bias = 0
            case Residual():
                total += folded_parameters(layer.body, before)
                bias = None
            case AvgPool(padding=0) | Dropout() | MaxPool() | AdaptiveAvgPool():
                pass
            case AvgPool() | ReLU():
                bias = None
    return total


def macs(layer: Layer, shape: Shape) -> int:
    """Multiply-adds of one image's forward pass: of convolutions only, without biases, which is half of the count of
    torch.utils.flop_counter. Normalisation can be folded into them, and pooling only adds and compares."""
    match layer:
        case Conv():
            per_element = shape[0] // conv_groups(layer, shape[0]) * layer.kernel**2
            return prod(output_shape(layer, shape)) * per_element
        case Residual():
            return sum(macs(part, before) for part, before, _ in _shapes(layer.body, shape))
        case Norm() | Dropout() | ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return 0


@dataclass(frozen=True)
class Field:
    """Receptive field along one axis: unit u of a feature map sees input pixels u*jump+first .. u*jump+last.

    Pixels below 0 or past the image are padding."""

    first: int = 0
    last: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """Pixels seen along one axis, padding included."""
        return self.last - self.first + 1


def field_after(layer: Layer, field: Field, input_size: int) -> Field:
    """Field of a layer's output units, for input units with `field`, `input_size` of them along the axis.

    Exact, except for an adaptive pool whose output size does not divide its input size: there `size` is that of the
    largest window and `jump` is rounded up, so later sizes are upper bounds. A residual sees what either branch sees;
    if its body changes the jump, the field is the smallest of that form that holds for every unit."""
    match layer:
        case Conv() | MaxPool() | AvgPool():
            reach = (layer.kernel - 1) * (1 if isinstance(layer, AvgPool) else layer.dilation)
            start, stride = -layer.padding, layer.stride
        case AdaptiveAvgPool():
            bounds = [(i * input_size // layer.size, -(-(i + 1) * input_size // layer.size)) for i in range(layer.size)]
            reach = max(end - begin for begin, end in bounds) - 1
            start, stride = 0, -(-input_size // layer.size)
        case Residual():
            return _union(field, _through(layer.body, field, input_size), input_size - 1)
        case Norm() | Dropout() | ReLU():
            return field
    first, last = field.first + start * field.jump, field.last + (start + reach) * field.jump
    return Field(first, last, field.jump * stride)


def _through(layers: Iterable[Layer], field: Field, size: int) -> Field:
    for layer in layers:
        field, size = field_after(layer, field, size), output_size(layer, size)
    return field


def _union(one: Field, other: Field, last_unit: int) -> Field:
    jump = max(one.jump, other.jump)
    both = [(part, unit * (part.jump - jump)) for part in (one, other) for unit in (0, last_unit)]
    return Field(min(part.first + slip for part, slip in both), max(part.last + slip for part, slip in both), jump)


@dataclass(frozen=True)
class WalkedLayer:
    """One layer in a network."""

    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: int   # 0 for a residual: its body has separate steps
    macs: int         # likewise
    field: Field      # after the layer, along the longer side
    depth: int        # residuals around it


def walk(layers: Iterable[Layer], input_shape: Shape) -> tuple[WalkedLayer, ...]:
    """Every layer with its shapes, parameters, multiply-adds and receptive field, in the order of computation; the
    steps of a residual's body come before its sum. Columns add up to the network's totals.

    Raises ConfigError as `output_shape` does, with the layer's number, and if there are more than MAX_LAYERS layers
    or MAX_PARAMETERS parameters."""
    steps: list[WalkedLayer] = []
    _walk(layers, input_shape, Field(), steps)
    total = sum(step.parameters for step in steps)
    if total > MAX_PARAMETERS or len(steps) > MAX_LAYERS:
        raise ConfigError(f"the network has {len(steps):,} layers and {total:,} parameters, expected at most "
                          f"{MAX_LAYERS:,} and {MAX_PARAMETERS:,}")
    return tuple(steps)


def sizes(layers: Iterable[Layer], input_shape: Shape) -> dict[str, int]:
    """"parameters" and "macs", multiply-adds, of a network on one image. Raises ConfigError as `walk`."""
    steps = walk(layers, input_shape)
    return {"parameters": sum(step.parameters for step in steps), "macs": sum(step.macs for step in steps)}


def _walk(layers: Iterable[Layer], shape: Shape, field: Field, steps: list[WalkedLayer], *, depth: int = 0) -> None:
    """Append the steps of `layers` on units of `shape` with `field`."""
    for layer in layers:
        try:
            after = output_shape(layer, shape)
        except ConfigError as error:
            raise ConfigError(f"layer {len(steps) + 1}: {error}") from error
        if isinstance(layer, Residual):
            _walk(layer.body, shape, field, steps, depth=depth + 1)
            counts = 0, 0
        else:
            counts = parameters(layer, shape), macs(layer, shape)
        field_here = field_after(layer, field, max(shape[1:]))
        steps.append(WalkedLayer(layer, shape, after, *counts, field_here, depth))
        shape, field = after, field_here
