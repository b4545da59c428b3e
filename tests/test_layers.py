"""Arithmetic on layers against PyTorch itself and worked values; what is refused is in test_records."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnist_ops.arch.arithmetic import Field, field_after, macs, parameters, walk
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT
from mnist_ops.errors import ConfigError

# ---------------------------------------------------------------- the same network in PyTorch, built independently


class Sum(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        if y.shape != x.shape:  # PyTorch would broadcast
            raise RuntimeError("shapes differ")
        return x + y


class WindowSum(nn.Module):
    """The windows of a max pool, but every pixel has a gradient, not the largest alone."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        pool, channels = self.pool, x.shape[1]
        ones = x.new_ones(channels, 1, pool.kernel, pool.kernel)
        result: Tensor = nn.functional.conv2d(x, ones, None, pool.stride, pool.padding, pool.dilation, channels)
        return result


def in_torch(layers: tuple[Layer, ...], channels: int, *, spread: bool = False) -> nn.Sequential:
    """`spread`: every weight is positive and max pools pass gradient to their whole window."""
    modules: list[nn.Module] = []
    for layer in layers:
        match layer:
            case Conv(out, kernel, stride, padding, dilation, groups, bias):
                groups = groups or channels
                modules.append(nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias))
                channels = out
            case Norm():
                modules.append(nn.BatchNorm2d(channels))
            case Dropout(share):
                modules.append(nn.Dropout(share))
            case ReLU():
                modules.append(nn.ReLU())
            case MaxPool(kernel, stride, padding, dilation):
                pool = nn.MaxPool2d(kernel, stride, padding, dilation)
                modules.append(WindowSum(layer) if spread else pool)
            case AvgPool(kernel, stride, padding):
                modules.append(nn.AvgPool2d(kernel, stride, padding))
            case AdaptiveAvgPool(size):
                modules.append(nn.AdaptiveAvgPool2d(size))
            case Residual(body):
                modules.append(Sum(in_torch(body, channels, spread=spread)))
    network = nn.Sequential(*modules).eval()
    if spread:
        for weight in network.parameters():
            nn.init.constant_(weight, 0.5)
    return network


def pixels_seen(layers: tuple[Layer, ...], size: int, unit: int) -> tuple[int, int]:
    """First and last row with a gradient from one unit, measured."""
    images = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    maps = in_torch(layers, 1, spread=True).double()(images)
    maps[..., unit, unit].sum().backward()
    assert images.grad is not None
    rows = images.grad.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
    return min(rows), max(rows)


def field_of(layers: tuple[Layer, ...], size: int) -> Field:
    return walk(layers, (1, size, size))[-1].field


# ---------------------------------------------------------------- random architectures

small = st.integers(1, 3)
convolutions = st.builds(Conv, st.sampled_from([4, 8]), kernel=st.integers(1, 5), stride=small,
                         padding=st.integers(0, 3), dilation=small, groups=st.sampled_from([1, 1, 2, 4, 0]),
                         bias=st.booleans())
max_pools = st.integers(1, 4).flatmap(lambda kernel: st.builds(
    MaxPool, st.just(kernel), stride=st.integers(0, 3), padding=st.integers(0, kernel // 2), dilation=small))
average_pools = st.integers(1, 4).flatmap(lambda kernel: st.builds(
    AvgPool, st.just(kernel), stride=st.integers(0, 3), padding=st.integers(0, kernel // 2)))
pointwise = st.sampled_from([Norm(), ReLU(), Dropout(0.05)])


@st.composite
def same_size_bodies(draw: st.DrawFn) -> tuple[Layer, ...]:
    """Bodies that keep the shape of 4 channels, their field at times off centre."""
    dilation, reach = draw(small), draw(small)
    before = draw(st.integers(0, 2 * reach))
    return (Conv(4, 2 * reach + 1, padding=before, dilation=dilation),
            Norm(), Conv(4, 2 * reach + 1, padding=2 * reach - before, dilation=dilation))


plain = st.one_of(convolutions, max_pools, average_pools, pointwise)
bodies = st.one_of(same_size_bodies(), st.lists(plain, min_size=1, max_size=2).map(tuple))
anything = st.one_of(plain, st.builds(AdaptiveAvgPool, st.integers(1, 5)), st.builds(Residual, bodies),
                     same_size_bodies().map(lambda body: Residual((Residual(body), ReLU()))))
networks = st.lists(anything, min_size=1, max_size=6).map(lambda rest: (Conv(4), *rest))
quick = settings(max_examples=60)


@quick
@given(networks, st.sampled_from([(1, 28, 28), (2, 28, 17), (1, 9, 9)]))
def test_counts_and_shapes_are_pytorchs_own_and_so_is_what_cannot_be_built(layers, shape):
    images = torch.zeros(1, *shape)
    try:
        steps = walk(layers, shape)
    except ConfigError:
        with pytest.raises((RuntimeError, ValueError)):
            in_torch(layers, shape[0])(images)
        return
    network = in_torch(layers, shape[0])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = network(images)
    assert tuple(result.shape[1:]) == steps[-1].output_shape
    assert sum(step.parameters for step in steps) == sum(weight.numel() for weight in network.parameters())
    assert 2 * sum(step.macs for step in steps) == counter.get_total_flops()


@quick
@given(st.lists(st.one_of(plain, same_size_bodies().map(Residual)), min_size=1, max_size=4), st.integers(40, 72))
def test_receptive_field_is_the_extent_of_the_gradient(rest, size):
    layers = (Conv(4), *rest)
    try:
        step = walk(layers, (1, size, size))[-1]
    except ConfigError:
        assume(False)
    field = step.field
    whole = [unit for unit in range(step.output_shape[1])
             if unit * field.jump + field.first >= 0 and unit * field.jump + field.last < size]
    assume(whole)  # where the border cuts it off, less is seen
    unit = whole[len(whole) // 2]
    assert pixels_seen(layers, size, unit) == (unit * field.jump + field.first, unit * field.jump + field.last)


# ---------------------------------------------------------------- worked values


@pytest.mark.parametrize(("layers", "pixels"), [
    ((Conv(1),), 3),                                       # one 3x3 sees itself
    ((Conv(1), Conv(1)), 5),                               # 3 + (3-1)*1
    ((Conv(1), MaxPool(2), Conv(1)), 8),                   # 3, then 3 + (2-1)*1 = 4, then 4 + (3-1)*2 = 8
    ((Conv(1, dilation=2), Conv(1)), 7),                   # 1 + (3-1)*2 = 5, then 5 + 2
    ((Conv(1, stride=2), Conv(1, stride=2), Conv(1)), 15),  # 3, then 3 + 2*2 = 7, then 7 + 2*4
    ((MaxPool(3, stride=1, dilation=3), Conv(1, 1)), 7),   # 1 + (3-1)*3, and 1x1 adds nothing
    ((MaxPool(2), AvgPool(4)), 8),                         # 2, then 2 + (4-1)*2
    ((Conv(1), AdaptiveAvgPool(1)), 28),                   # 3, then 3 + (26-1)*1: all
    ((Conv(1), AdaptiveAvgPool(2), Conv(1, 2)), 28),       # 3 + 12 = 15, jump 13, then 15 + 13
    ((Residual((Conv(1, padding=1), Norm())), Conv(1)), 5),  # the body's 3 covers the pixel itself, then + 2
    ((Residual((ReLU(),)),), 1),                           # both branches see one pixel
])
def test_receptive_field_of_stacked_layers(layers, pixels):
    assert field_of(layers, 28).size == pixels


def test_padding_moves_the_field_but_does_not_widen_it():
    # Units 0, 1, ... of a stride-2 convolution with padding 1 see -1..1, 1..3, ...
    assert field_of((Conv(1, stride=2, padding=1),), 28) == Field(first=-1, last=1, jump=2)


def test_a_sum_sees_what_either_branch_sees():
    # Kernel 3 with 2 zeros before, then kernel 3 with none: -2..2 wide in all, for -2..0 and 0..2 add up.
    body = (Conv(1, padding=2), Conv(1))
    assert field_of((Residual(body),), 28) == Field(-2, 2, 1)


def test_a_sum_of_branches_that_drift_apart_is_bounded_for_every_unit():
    # On 4 units the body sees 2u-3..2u-1, the identity u. With jump 2 the identity slips by -u, down to -3.
    residual = Residual((Conv(1, stride=2, padding=3),))
    field = field_after(residual, Field(), 4)
    assert field == Field(-3, 0, 2)
    for unit in range(4):
        first, last = pixels_seen((residual,), 4, unit)
        assert unit * field.jump + field.first <= first
        assert last <= unit * field.jump + field.last


@pytest.mark.parametrize(("size", "windows", "largest"), [
    (7, 3, 3),  # 0..2, 2..4, 4..6
    (8, 3, 4),  # 0..2, 2..5, 5..7
    (7, 5, 3),  # 0..1, 1..2, 2..4, 4..5, 5..6
    (6, 3, 2),  # divides: 0..1, 2..3, 4..5
    (3, 6, 1),  # more windows than pixels, each sees one
    (5, 5, 1),
])
def test_adaptive_pool_sees_its_largest_window_and_no_more_afterwards_than_said(size, windows, largest):
    def widest(layers, units):
        return max(last - first + 1 for first, last in (pixels_seen(layers, size, unit) for unit in range(units)))

    pool = AdaptiveAvgPool(windows)
    assert field_of((pool,), size).size == widest((pool,), windows) == largest
    after = (pool, Conv(1, 2))
    assert field_of(after, size).size >= widest(after, windows - 1)


@pytest.mark.parametrize(("layer", "shape", "expected"), [
    # parameters, multiply-adds
    (Conv(10), (1, 28, 28), (10 * 1 * 9, 10 * 26 * 26 * 9)),
    (Conv(10, bias=True), (1, 28, 28), (10 * 1 * 9 + 10, 10 * 26 * 26 * 9)),
    (Conv(8, kernel=5, stride=2, groups=4), (4, 9, 9), (8 * 1 * 25, 8 * 3 * 3 * 25)),
    (Conv(12, groups=0), (6, 5, 5), (12 * 1 * 9, 12 * 3 * 3 * 9)),  # depthwise, two filters per channel
    (Norm(), (16, 4, 4), (32, 0)),
    (AvgPool(4), (16, 4, 4), (0, 0)),
    (Residual((Conv(4, padding=1), Norm())), (4, 5, 5), (4 * 4 * 9 + 8, 4 * 25 * 4 * 9)),
])
def test_parameters_and_multiply_adds(layer, shape, expected):
    assert (parameters(layer, shape), macs(layer, shape)) == expected


def test_the_steps_of_a_body_come_before_the_sum_which_counts_nothing_twice():
    steps = walk((Conv(4), Residual((Residual((Conv(4, padding=1),)), ReLU()))), INPUT)
    assert [(type(step.layer).__name__, step.depth) for step in steps] == [
        ("Conv", 0), ("Conv", 2), ("Residual", 1), ("ReLU", 1), ("Residual", 0)]
    assert [step.parameters for step in steps] == [36, 144, 0, 0, 0]
