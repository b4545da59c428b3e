"""The integer network, of weights of 8, 4 or 2 bits, and its arithmetic in numpy, the reference of the C code.

A map holds unsigned integers q that stand for unit * (q - zero). All results are exact: sums are formed in float64,
which is exact for integers up to 2**53, and every bound is checked when the network is made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool
from mnist_ops.export import forward
from mnist_ops.export.fold_norms import Convolution
from mnist_ops.export.forward import BATCH, Maps

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The meaning of a map's integers."""

    unit: float
    zero: int  # 0 if no value is below 0
    high: int  # the largest integer; the smallest is 0


@dataclass(frozen=True, eq=False)
class IntegerDot:
    """round((max_pool(convolution) / 2**coarse + bias) * multiplier / 2**shift) + zero, clipped to 0..high.

    A sum loses its `coarse` last bits first, so that 32 bits hold every product. With `grid` None nothing is clipped:
    these are logits. Padding is `border`."""

    convolution: Convolution  # whole weights; its own bias is 0
    pool: MaxPool | None
    coarse: Integers      # (output channels,)
    bias: Integers        # (output channels,), in int16, with what the lost bits are on average
    multiplier: Integers  # (output channels,), in int16
    shift: int
    border: int
    largest: int  # of any sum, without its sign: whether 32 bits suffice
    grid: Grid | None
    bits: int = 8  # of a weight


@dataclass(frozen=True, eq=False)
class IntegerMean:
    """(sum over the window * factor + count // 2) // count, so a mean in 1 / factor of the input's unit."""

    pool: AvgPool | AdaptiveAvgPool
    factor: int
    border: int
    grid: Grid


@dataclass(frozen=True, eq=False)
class IntegerMax:
    """Maximum of each window, or, without a pool, of each element and `lowest`."""

    pool: MaxPool | None
    lowest: int
    grid: Grid


@dataclass(frozen=True, eq=False)
class IntegerAdd:
    """round(((x - zero) * multipliers[0] + (body(x) - its zero) * multipliers[1]) / 2**shift) + zero, in 0..high.

    32 bits hold the whole sum before the shift."""

    body: "tuple[IntegerStage, ...]"
    zeros: tuple[int, int]
    multipliers: tuple[int, int]
    shift: int
    grid: Grid


IntegerStage: TypeAlias = IntegerDot | IntegerMean | IntegerMax | IntegerAdd


@dataclass(frozen=True)
class Scale:
    """What was measured on training images for a stage: the grid of what it makes, and, of a convolution, more."""

    grid: Grid
    shift: tuple[float, ...] = ()  # per output channel, corrected
    weights: tuple[int, ...] = ()  # where they are rounded together


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Raw grey values -> integer logits; a logit is (integer - zero) * unit."""

    stages: tuple[IntegerStage, ...]
    unit: float
    zero: int
    scales: tuple[Scale, ...] = ()  # in the order of the stages, the body of a sum before the sum
    bits: int = 8  # of a weight; 4 rather than 2 where a convolution has few


def logits(network: IntegerNetwork, images: NDArray[np.uint8]) -> Integers:
    """images (N, H, W) or (N, 3, H, W) uint8 -> logits (N, classes)."""
    made = []
    for start in range(0, len(images), BATCH):
        part = images[start:start + BATCH]
        made.append(run(network.stages, forward.with_channels(part).astype(np.float64)).reshape(len(part), -1))
    return np.concatenate(made).astype(np.int64) - network.zero


def run(stages: Sequence[IntegerStage], maps: Maps) -> Maps:
    """All stages on maps (N, channels, height, width) of integers in float64; the result is the same kind."""
    for stage in stages:
        maps = apply(stage, maps)
    return maps


def apply(stage: IntegerStage, maps: Maps) -> Maps:
    """One stage on integers in float64."""
    match stage:
        case IntegerDot(convolution=convolution, pool=pool, grid=grid):
            sums = forward.convolve(convolution, maps, stage.border)
            sums = forward.max_pool(pool, sums) if pool else sums
            coarse, bias, factor = (one[:, None, None] for one in (stage.coarse, stage.bias, stage.multiplier))
            return _held(scaled(((sums.astype(np.int64) >> coarse) + bias) * factor, stage.shift), grid)
        case IntegerMean(pool=pool, factor=factor):
            if isinstance(pool, AvgPool):
                sums, counts = forward.sum_pool(pool, maps, stage.border), np.array(pool.kernel**2)
            else:
                sums, counts = forward.adaptive_sum_pool(pool.size, maps), forward.counts(pool.size, maps.shape[2:])
            return _float((sums.astype(np.int64) * factor + counts // 2) // counts)
        case IntegerMax(pool=pool, lowest=lowest):
            return forward.max_pool(pool, maps) if pool else np.maximum(maps, lowest)
        case IntegerAdd(body=body, zeros=zeros, multipliers=multipliers, shift=shift, grid=grid):
            both = maps, run(body, maps)
            terms = [(part.astype(np.int64) - zero) * multiplier
                     for part, zero, multiplier in zip(both, zeros, multipliers, strict=True)]
            return _held(scaled(terms[0] + terms[1], shift), grid)


def scaled(products: Integers, shift: int) -> Integers:
    """products / 2**shift, rounded to the nearest integer, halves up."""
    return (products + (np.int64(1) << np.int64(shift - 1))) >> shift


def _held(values: Integers, grid: Grid | None) -> Maps:
    return _float(values if grid is None else np.clip(values + grid.zero, 0, grid.high))


def _float(values: NDArray[Any]) -> Maps:
    return values.astype(np.float64)


def halving(network: IntegerNetwork) -> int:
    """The factor of a logit's distance from the largest with which 2**31 is a halving of the probability."""
    return min(round(network.unit * math.log2(math.e) * 2**31), 2**32 - 1)


def powers() -> list[int]:
    """2**(-i/32) in 1 / 2**19, i = 0..32."""
    return [round(2**19 * 2 ** (-index / 32)) for index in range(33)]


def probabilities(network: IntegerNetwork, values: Integers) -> Integers:
    """Logits (N, classes) -> probabilities in 1 / 32768, by a table of powers with linear interpolation."""
    table = np.array(powers())
    distance = (values.max(axis=1, keepdims=True) - values).astype(np.uint64)
    halvings = (distance * np.uint64(halving(network)) >> np.uint64(16)).astype(np.int64)  # in 1 / 32768
    step, rest = halvings // 1024 % 32, halvings % 1024
    power = table[step] - (table[step] - table[step + 1]) * rest // 1024 >> np.minimum(halvings // 32768, 62)
    power = np.where(halvings < 20 * 32768, power, 0)
    divisor = power.sum(axis=1, keepdims=True) // 8
    return (power * 4096 + divisor // 2) // divisor  # type: ignore[no-any-return]


def probability_error(classes: int) -> float:
    """A bound on the error of `probabilities` against softmax: interpolation and distance 2e-5, rounding 3e-5,
    truncation of each term 2e-6."""
    return 1e-4 * math.ceil(classes / 20)
