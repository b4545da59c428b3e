"""Floating-point stages -> the integer network, with scales measured on a few training images.

Weights have 8, 4 or 2 bits and a scale per output channel, with fewer than 8 that of the least squared error, and are
then rounded together; maps are unsigned, uint8 except for means, with one scale each, chosen to minimise the mean
squared error on the sample (Nagel et al. 2021, arXiv:2106.08295, 2.3 and 4.3). The mean rounding error of a channel on
the sample is subtracted from its bias (Nagel et al. 2019, arXiv:1906.04721).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.errors import RunError
from mnist_ops.export.c import dense, grids, int8
from mnist_ops.export.c import steps as floating
from mnist_ops.export.c.grids import BYTE
from mnist_ops.export.c.int8 import Grid, IntegerAdd, IntegerDot, IntegerMax, IntegerMean, IntegerStage, Scale
from mnist_ops.export.c.rounding import LIMITS, bits_of, clipped_units, round_weights
from mnist_ops.export.c.steps import Add, Dot, Pool, Stage
from mnist_ops.export.fold_norms import Array
from mnist_ops.export.forward import Maps, with_channels

SAMPLE = 500         # first images of the training set, on which the scales are measured
HALF = 256 * BYTE    # largest integer of a map that holds means
BIAS_LIMIT, ADDED_LIMIT, PRODUCT_LIMIT = 2**28, 2**30, 2**61
BIAS_MOST = 32_000   # of a bias in the units of sums that have lost bits, in 16 bits
SUM_LIMIT, MULTIPLIER_LIMIT = 55_000, 2**15 - 1  # the product and BYTE * 2**SHIFT fit 32 bits together
ADDED_BITS = 30      # of the shift of two maps' sum, which with the half that rounds fits 32 bits
SHIFT = 20           # of a product, if no channel needs less: 255 is then a sum of 13 to 14 bits
TOO_FAR = "the network's weights are too large or too small for int8; export it in float32 with --float"
COARSEST = 24        # bits of a sum that are dropped at most


@dataclass(frozen=True, eq=False)
class _State:
    """The sample's maps in floating point and as integers, and the meaning of those."""

    maps: Maps
    whole: Maps
    grid: Grid
    bits: int  # of a weight, where a convolution has many
    known: tuple[Scale, ...] | None
    used: list[Scale]  # so far, shared by all states

    def after(self, maps: Maps, done: IntegerStage, grid: Grid) -> "_State":
        """Of the next stage."""
        return replace(self, maps=maps, whole=int8.apply(done, self.whole), grid=grid)

    def scale(self, measure: Callable[[], Scale]) -> Scale:
        """The next known scale, else what is measured."""
        self.used.append(measure() if self.known is None else self.known[len(self.used)])
        return self.used[-1]


def quantize(network: Iterable[Stage], images: NDArray[np.uint8],
             scales: tuple[Scale, ...] | None = None, *, bits: int = 8) -> int8.IntegerNetwork:
    """The integer network with weights of 8, 4 or 2 bits. Draws no random number.

    images: (N, H, W) or (N, 3, H, W) uint8, training images on which the scales are measured. scales: those of an
    earlier result for this network and these bits; of the images only the shape then counts. Raises RunError if a
    number of the network is not finite or much too large."""
    network = tuple(network)
    pixels = with_channels(images[:SAMPLE if scales is None else 1]).astype(np.float64)
    used: list[Scale] = []
    state, made = _State(pixels, pixels, Grid(1.0, 0, BYTE), bits, scales, used), []
    if len(network) > 1 and (grid := grids.grid_of_pixels(network[0])):
        state = replace(state, maps=floating.apply(network[0], pixels), grid=grid)
        network = network[1:]
    for place, stage in enumerate(network, start=1):
        last = place == len(network) and isinstance(stage, Dot) and not stage.relu
        done, state = _quantize(stage, state, last)
        made.append(done)
    return int8.IntegerNetwork(tuple(made), state.grid.unit, state.grid.zero, tuple(used), bits)


def _quantize(stage: Stage, state: _State, last: bool = False) -> tuple[IntegerStage, _State]:
    if isinstance(stage, Dot):
        return _quantize_dot(stage, state, last)
    maps = floating.apply(stage, state.maps)
    done: IntegerStage
    match stage:
        case Add():
            return _add(stage, state, maps)
        case ReLU():
            grid = state.grid
            done = IntegerMax(None, grid.zero, grid)
        case MaxPool():
            grid = state.grid
            done = IntegerMax(stage, 0, grid)
        case AvgPool() | AdaptiveAvgPool():
            done = _mean(stage, state.grid)
            grid = done.grid
    return done, state.after(maps, done, grid)


def _quantize_dot(stage: Dot, state: _State, last: bool) -> tuple[IntegerStage, _State]:
    """The integer stage, its shift corrected by the mean error of its input and weights."""
    wanted = floating.apply(replace(stage, relu=False), state.maps)
    maps = np.maximum(wanted, 0) if stage.relu else wanted

    def measure() -> Scale:
        grid = grids.logit_grid(stage, state.grid) if last else grids.best_grid(maps)
        steps = _steps(stage, state)
        first = _dot(stage, state, Scale(grid, weights=steps), last)
        sums = int8.apply(replace(first, coarse=0 * first.coarse, bias=0 * first.bias, grid=None, shift=1,
                                  multiplier=0 * first.multiplier + 2), state.whole)
        part = 2.0**-first.coarse
        values = sums * part[:, None, None] + (first.bias - (1 - part) / 2)[:, None, None]
        found = values * (first.multiplier * 2.0**-first.shift * grid.unit)[:, None, None]
        return Scale(grid, tuple((stage.shift + (wanted - found).mean(axis=(0, 2, 3))).tolist()), steps)

    scale = state.scale(measure)
    done = _dot(replace(stage, shift=np.array(scale.shift)), state, scale, last)
    return done, state.after(maps, done, scale.grid)


def _steps(stage: Dot, state: _State) -> tuple[int, ...]:
    """Weights of few bits, rounded together; none where each is rounded by itself."""
    if (bits := _bits_of(stage, state)) == 8:
        return ()
    units = _units(stage, state)
    whole = round_weights(stage.convolution, np.where(units == 0, 1, units), bits, state.whole, border=state.grid.zero)
    return tuple(whole.astype(int).ravel().tolist())


def _bits_of(stage: Dot, state: _State) -> int:
    return bits_of(stage.convolution.weights.shape[1], state.bits)


def _units(stage: Dot, state: _State) -> Array:
    """Of each channel's weights; where many bits are there, none is clipped."""
    weights, bits = stage.convolution.weights.astype(np.float64), _bits_of(stage, state)
    most = np.abs(weights).max(axis=(1, 2, 3)) / LIMITS[bits]
    if bits < 8:
        most = clipped_units(weights, bits)
    elif state.grid.high == BYTE and dense.is_dense(stage.convolution):
        most = np.maximum(most, dense.smallest_units(weights))
    # A channel of tiny weights gets a coarser unit, so that its bias fits.
    scale = np.where(stage.scale == 0, 1, stage.scale).astype(np.float64)
    return np.where(stage.scale == 0, 0, np.maximum(most, np.abs(stage.shift / scale) / state.grid.unit / BIAS_LIMIT))


def _dot(stage: Dot, state: _State, wanted: Scale, last: bool) -> IntegerDot:
    convolution, given, grid = stage.convolution, state.grid, wanted.grid
    weights, scale = convolution.weights.astype(np.float64), stage.scale.astype(np.float64)
    weights, scale = np.where(scale[:, None, None, None] == 0, 0, weights), np.where(scale == 0, 1, scale)
    shift = stage.shift.astype(np.float64)
    units = _units(stage, state)
    safe = np.where(units == 0, 1, units)
    steps = (np.array(wanted.weights, float).reshape(weights.shape) if wanted.weights else
             np.rint(weights / safe[:, None, None, None]))
    bias = shift / scale / given.unit / safe - given.zero * steps.sum(axis=(1, 2, 3))
    largest = np.abs(steps).sum(axis=(1, 2, 3)) * given.high + np.abs(bias) + 1
    factors = np.where(units == 0, 0, scale * given.unit * safe / grid.unit)
    least = np.ceil(np.log2(np.maximum(np.abs(bias) / BIAS_MOST, 1)))
    if last:
        coarse = least.astype(np.int64)
        most = min(MULTIPLIER_LIMIT, PRODUCT_LIMIT // int(largest.max()))
        bits = _bits(np.abs(factors * 2.0**coarse).max(), most)
    else:
        least = np.maximum(least, np.ceil(np.log2(np.maximum(largest / SUM_LIMIT, 1))))
        coarse, bits = _coarse(factors, least)
    multiplier = np.rint(factors * 2.0**(bits + coarse)).astype(np.int64)
    part = 2.0**-coarse
    bias = np.rint(bias * part + (1 - part) / 2).astype(np.int64)
    return IntegerDot(replace(convolution, weights=steps, bias=np.zeros(len(steps))), stage.pool, coarse, bias,
                      multiplier, bits, given.zero, int(largest.max()), None if last else grid, _bits_of(stage, state))


def _coarse(factors: NDArray[Any], least: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """The bits that each channel's sums lose, at least so many, and the shift of all products."""
    room = np.log2(MULTIPLIER_LIMIT / np.maximum(np.abs(factors), 2.0**-60))  # of coarse and shift together
    bits = math.floor((room - least)[factors != 0].min(initial=SHIFT))
    _bits(np.abs(factors).max(), MULTIPLIER_LIMIT)
    if bits < 1:
        raise RunError(TOO_FAR)
    coarse = np.clip(np.floor(room) - bits, least, COARSEST)
    return coarse.astype(np.int64), bits


def _bits(largest: float, limit: int) -> int:
    """The shift for which `largest` * 2**shift is close to the limit. Raises RunError if there is none."""
    if largest == 0:
        return 1
    bits = math.floor(math.log2(limit / largest)) if math.isfinite(largest) else 0
    if bits < 1:
        raise RunError(TOO_FAR)
    return min(bits, 60)


def _mean(pool: Pool, given: Grid) -> IntegerMean:
    """A mean of bytes in 1 / 256 of their unit, which fits 16 bits; a mean of means in their unit."""
    factor = HALF // BYTE if given.high == BYTE else 1
    grid = Grid(given.unit / factor, given.zero * factor, given.high * factor)
    assert not isinstance(pool, MaxPool)
    return IntegerMean(pool, factor, given.zero, grid)


def _add(stage: Add, state: _State, maps: Maps) -> tuple[IntegerStage, _State]:
    body, inner = [], state
    for part in stage.body:
        done, inner = _quantize(part, inner)
        body.append(done)
    grid = state.scale(lambda: Scale(grids.best_grid(maps))).grid
    factors = [state.grid.unit / grid.unit, inner.grid.unit / grid.unit]
    bits = min(_bits(max(factors), ADDED_LIMIT // (state.grid.high + inner.grid.high)), ADDED_BITS)
    multipliers = round(factors[0] * 2.0**bits), round(factors[1] * 2.0**bits)
    added = IntegerAdd(tuple(body), (state.grid.zero, inner.grid.zero), multipliers, bits, grid)
    return added, state.after(maps, added, grid)
