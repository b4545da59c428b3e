"""Layer records -> the operations of a training step, the maps between them, and where everything lies.

Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import assert_never

from mnist_ops.arch import layers as arch
from mnist_ops.arch.arithmetic import Shape, conv_groups, output_shape
from mnist_ops.arch.layers import Layer
from mnist_ops.engine.operations import Activate, Add, Average, Branch, Convolve, FeatureMap, Operation, PoolMax


@dataclass(frozen=True)
class Parameter:
    """One learnt array, in the order of `Network.parameters()`."""

    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Floats."""
        return prod(self.shape)


@dataclass
class Program:
    """A network as operations in the order of computation."""

    layers: tuple[Layer, ...]
    input: FeatureMap
    operations: list[Operation] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    maps: list[FeatureMap] = field(default_factory=list)
    normalised: int = 0  # channels of all normalisations
    dropouts: int = 0
    turned: int = 0  # floats of all turned weights
    where: int = 0  # vectors of remembered places
    room: int = 0  # vectors of all maps and gradients of a block

    @property
    def output(self) -> FeatureMap:
        """The logits."""
        return self.operations[-1].made if self.operations else self.input

    @property
    def learnt(self) -> int:
        """Floats of all parameters."""
        return sum(one.size for one in self.parameters)


def lower(layers: Sequence[Layer], input_shape: Shape) -> Program:
    """The program of a network, which fits the input as `arch.arithmetic.walk` says."""
    first = FeatureMap(input_shape)
    made = Program(tuple(layers), first, maps=[first])
    _lower(layers, first, made, back=False)
    for one in made.operations:
        if isinstance(one, Convolve | PoolMax):
            one.given.border = max(one.given.border, one.layer.padding)
        if isinstance(one, PoolMax):
            one.given.gradient_border = max(one.given.gradient_border, one.layer.padding)
        if isinstance(one, Convolve) and one.back:  # its input gradient reads the output's in a border
            read = one.spread or one.made
            read.gradient_border = max(read.gradient_border, one.reach - one.layer.padding)
    _place_all(made)
    return made


def _place_all(made: Program) -> None:
    """Give every map and gradient its place. An activation's two gradients have one: the way back works there."""
    same = {one.made: one.given for one in made.operations if isinstance(one, Activate)}
    for each in reversed(made.maps):
        if each in same:
            same[each].gradient_border = max(same[each].gradient_border, each.gradient_border)
    for each in made.maps:
        each.offset, made.room = made.room, made.room + each.shape[0] * each.plane(each.border)
        if each in same:
            each.gradient, each.gradient_border = same[each].gradient, same[each].gradient_border
        else:
            each.gradient, made.room = made.room, made.room + each.shape[0] * each.plane(each.gradient_border)


def _lower(layers: Sequence[Layer], given: FeatureMap, made: Program, *, back: bool) -> FeatureMap:
    """Append the operations of `layers` on the map; -> the map they end in. back: whether its gradient is needed."""
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        shape = output_shape(layer, given.shape)
        match layer:
            case arch.Norm() | arch.Dropout() | arch.ReLU():
                given = _activation(layer, rest, given, made, back=back)
            case arch.Conv():
                pool = None if back else _pool_within(layer, rest)
                given = _convolution(layer, shape, given, made, back=back, pool=pool)
            case arch.MaxPool():
                after = _map(shape, made)
                made.operations.append(PoolMax(given, after, layer, made.where, back))
                made.where += prod(shape)
                given = after
            case arch.AvgPool() | arch.AdaptiveAvgPool():
                after = _map(shape, made)
                made.operations.append(Average(given, after, layer, back))
                given = after
            case arch.Residual(body=body):
                made.operations.append(Branch(given, _map(shape, made), back))
                inner = _lower(body, made.maps[-1], made, back=back)
                after = _map(shape, made)
                made.operations.append(Add(given, inner, after, back, bool(made.parameters)))
                given = after
            case _:
                assert_never(layer)
        back = back or bool(made.parameters)
    return given


def _map(shape: Shape, made: Program) -> FeatureMap:
    made.maps.append(FeatureMap(shape))
    return made.maps[-1]


def _parameter(shape: tuple[int, ...], made: Program) -> int:
    made.parameters.append(Parameter(made.learnt, shape))
    return made.parameters[-1].offset


def _pool_within(layer: arch.Conv, rest: list[Layer]) -> arch.MaxPool | None:
    """Takes from `rest` a pool whose windows lie side by side, where it follows a small convolution without padding."""
    match rest:
        case [arch.MaxPool(kernel=side, stride=stride, padding=0, dilation=1) as pool, *_] if (
                layer.padding == 0 and layer.kernel <= 5 and stride == side <= 4):
            rest.pop(0)
            return pool
    return None


def _convolution(layer: arch.Conv, shape: Shape, given: FeatureMap, made: Program, *, back: bool,
                 pool: arch.MaxPool | None) -> FeatureMap:
    groups = conv_groups(layer, given.shape[0])
    inputs = given.shape[0] // groups
    weights = _parameter((layer.channels, inputs, layer.kernel, layer.kernel), made)
    bias = _parameter((layer.channels,), made) if layer.bias else -1
    after = _map(shape if pool is None else output_shape(pool, shape), made)
    where, turned, spread = made.where, -1, None
    if pool is not None:
        made.where += prod(after.shape)
    if back:
        turned, made.turned = made.turned, made.turned + layer.channels * inputs * layer.kernel**2
        if layer.stride > 1:
            around = 2 * layer.padding - layer.dilation * (layer.kernel - 1)
            spread = _map((layer.channels, given.shape[1] + around, given.shape[2] + around), made)
    made.operations.append(Convolve(given, after, layer, groups, weights, bias, back, turned, pool, where, spread))
    return after


def _activation(first: Layer, rest: list[Layer], given: FeatureMap, made: Program, *, back: bool) -> FeatureMap:
    """Takes from `rest` what goes on in the order norm, dropout, ReLU."""
    norm = scale = -1
    dropout, number, relu = 0.0, -1, False
    layer: Layer | None = first
    if isinstance(layer, arch.Norm):
        channels = given.shape[0]
        norm, made.normalised = made.normalised, made.normalised + channels
        scale = _parameter((channels,), made)
        _parameter((channels,), made)
        layer = rest.pop(0) if rest and isinstance(rest[0], arch.Dropout | arch.ReLU) else None
    if isinstance(layer, arch.Dropout):
        dropout, number, made.dropouts = layer.share, made.dropouts, made.dropouts + 1
        layer = rest.pop(0) if rest and isinstance(rest[0], arch.ReLU) else None
    if isinstance(layer, arch.ReLU):
        relu = True
    after = _map(given.shape, made)
    made.operations.append(Activate(given, after, norm, scale, dropout, number, relu, back))
    return after
