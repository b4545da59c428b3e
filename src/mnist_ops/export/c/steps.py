"""Folded operations -> the steps of the C code: a convolution with the pool, map and ReLU that follow it.

A pool in the same step as its convolution saves memory, which matters on a microcontroller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mnist_ops.arch.arithmetic import Shape, output_shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.export import forward
from mnist_ops.export.fold_norms import Affine, Array, Convolution, Operation, Sum, shape_after
from mnist_ops.export.forward import Maps


@dataclass(frozen=True, eq=False)
class Dot:
    """scale * max_pool(convolution) + shift per output channel, then ReLU; the convolution has no bias."""

    convolution: Convolution
    pool: MaxPool | None  # without padding or overlap
    scale: Array  # (output channels,)
    shift: Array  # (output channels,)
    relu: bool


@dataclass(frozen=True, eq=False)
class Add:
    """x + body(x), then ReLU."""

    body: "tuple[Stage, ...]"
    relu: bool


Pool: TypeAlias = MaxPool | AvgPool | AdaptiveAvgPool
Stage: TypeAlias = Dot | Add | Pool | ReLU


def stages(operations: Sequence[Operation]) -> tuple[Stage, ...]:
    """The same computation, step by step."""
    found: list[Stage] = []
    rest = list(operations)
    while rest:
        operation = rest.pop(0)
        match operation:
            case Convolution() | Affine():
                found.append(_dot(operation, rest))
            case Sum(body=body):
                found.append(Add(stages(body), _next_is_relu(rest)))
            case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
                found.append(operation)
    return tuple(found)


def _dot(operation: Convolution | Affine, rest: list[Operation]) -> Dot:
    """A convolution, or a map as one with a single weight per channel, with what it can absorb from `rest`."""
    if isinstance(operation, Affine):
        weights = operation.scale[:, None, None, None]
        operation = Convolution(weights, operation.shift, groups=len(weights))
    scale, shift, pool = np.ones_like(operation.bias), operation.bias, None
    relu = _next_is_relu(rest)  # before the maximum or after it is the same
    following = rest[0] if rest else None
    if isinstance(following, MaxPool) and following.padding == 0 and following.stride >= following.kernel:
        pool, _ = following, rest.pop(0)
    following = rest[0] if rest and not relu else None
    if isinstance(following, Affine):
        scale, shift, _ = following.scale, shift * following.scale + following.shift, rest.pop(0)
    relu = _next_is_relu(rest) or relu
    return Dot(replace(operation, bias=np.zeros_like(operation.bias)), pool, scale, shift, relu)


def _next_is_relu(rest: list[Operation]) -> bool:
    """Whether `rest` begins with a ReLU, which is then removed."""
    if not rest or not isinstance(rest[0], ReLU):
        return False
    del rest[0]
    return True


def output_of(stage: Stage, shape: Shape) -> Shape:
    """The output shape of a stage for an input of `shape`, (channels, height, width)."""
    match stage:
        case Dot(convolution=convolution, pool=pool):
            shape = shape_after(convolution, shape)
            return output_shape(pool, shape) if pool else shape
        case Add():
            return shape
        case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return output_shape(stage, shape)


def apply(stage: Stage, maps: Maps) -> Maps:
    """One stage on floating maps (N, channels, height, width), in their dtype."""
    match stage:
        case Dot(convolution=convolution, pool=pool):
            made = forward.convolve(convolution, maps)
            made = forward.max_pool(pool, made) if pool else made
            scale, shift = (values.astype(maps.dtype)[:, None, None] for values in (stage.scale, stage.shift))
            made = made * scale + shift
        case Add(body=body):
            made = maps
            for inner in body:
                made = apply(inner, made)
            made = maps + made
        case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return forward.apply(stage, maps)
    rectified: Maps = np.maximum(made, 0) if stage.relu else made
    return rectified
