"""Networks from records: the reference's modules in its order, dropout as promised, initial weights from the seed."""

import copy
import math

import pytest
import torch
from torch import nn

from mnist_ops.arch.layers import AdaptiveAvgPool, Conv, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.model import Rectifier, ResidualSum, StreamDropout, build
from tests.miniature import generator, network

BLOCK = [nn.Conv2d, nn.BatchNorm2d, StreamDropout, nn.ReLU]


def dropout(share: float, seed: int = 0) -> StreamDropout:
    made = StreamDropout(share)
    made.generator = generator(seed)
    return made


# ---------------------------------------------------------------- architecture


def test_the_mean_of_the_whole_map_is_pytorchs_and_its_gradient_lies_channels_last():
    maps = torch.randn(4, 6, 5, 5, generator=generator(0)).contiguous(memory_format=torch.channels_last)
    maps.requires_grad_()
    pool = build((AdaptiveAvgPool(1),), (6, 5, 5), generator(0)).body
    (gradient,) = torch.autograd.grad(pool(maps).square().sum(), maps)
    (expected,) = torch.autograd.grad(nn.AdaptiveAvgPool2d(1)(maps).square().sum(), maps)
    assert torch.allclose(pool(maps), nn.AdaptiveAvgPool2d(1)(maps))
    assert torch.allclose(gradient, expected)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_seed_has_the_modules_of_the_reference_in_its_order():
    body = network("seed").body
    assert [type(module) for module in body] == [*4 * BLOCK, nn.MaxPool2d, *3 * BLOCK, nn.AvgPool2d, nn.Conv2d]
    assert {module.share for module in body if isinstance(module, StreamDropout)} == {0.05}
    assert all(module.bias is None for module in body if isinstance(module, nn.Conv2d))


def test_seed_has_7758_parameters_all_trainable():
    parameters = list(network("seed").parameters())
    assert sum(parameter.numel() for parameter in parameters) == 7758
    assert all(parameter.requires_grad for parameter in parameters)


def test_a_residual_adds_its_body_to_its_input():
    made = build((Conv(4), Residual((Conv(4, padding=1), Norm(), ReLU()))), INPUT, generator()).eval()
    images = torch.randn(3, *INPUT, generator=generator(1))
    first, residual = made.body
    assert isinstance(residual, ResidualSum)
    inner = first(images)
    torch.testing.assert_close(made.body(images), inner + residual.body(inner))
    assert made(images).shape == (3, 4 * 26 * 26)


@pytest.mark.parametrize("layers", [
    MODELS["separable"],
    (Conv(4), Norm(), ReLU(), Residual((ReLU(), Conv(4, padding=1), ReLU(), ReLU(), Norm())), ReLU(), Conv(10, 26)),
], ids=["separable", "residual that begins with ReLU"])
def test_writing_in_place_changes_no_output_and_no_gradient(layers):
    ours = build(layers, INPUT, generator())
    plain = copy.deepcopy(ours)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.ReLU())
    images = torch.randn(8, *INPUT, generator=generator(1))
    found, expected = ours(images), plain(images)
    assert torch.equal(found, expected)
    torch.autograd.backward([found.square().sum(), expected.square().sum()])
    pairs = zip(ours.parameters(), plain.parameters(), strict=True)
    for one, other in pairs:
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("training", [True, False])
def test_a_rectifier_writes_over_its_input_in_training_alone(training):
    given = torch.tensor([-1.0, 2.0])
    assert Rectifier().train(training)(given).tolist() == [0, 2]
    assert given.tolist() == ([0, 2] if training else [-1, 2])


# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(share):
    shape = (64, 10, 26, 26)
    dropped = dropout(share)(torch.ones(shape))
    count = dropped.numel()
    zeroed = float((dropped == 0).double().mean())
    assert abs(zeroed - share) < 5 * math.sqrt(share * (1 - share) / count)
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 1 / (1 - share)]))
    assert abs(float(dropped.double().mean()) - 1) < 5 * math.sqrt(share / (1 - share) / count)


def test_dropout_drops_neighbours_independently():
    """Four elements share one draw: any two within ten places of one another must still be strangers."""
    dropped = (dropout(0.5)(torch.ones(40, 10, 20, 20)) == 0).double()
    in_order = dropped.permute(0, 2, 3, 1).flatten() - 0.5  # in the order of drawing, channels last
    for distance in range(1, 11):
        correlation = float((in_order[:-distance] * in_order[distance:]).mean()) * 4
        assert abs(correlation) < 5 / math.sqrt(len(in_order))


def test_dropout_treats_every_channel_and_place_alike():
    dropped = (dropout(0.3)(torch.ones(20_000, 3, 2, 2)) == 0).double().mean(0)
    assert (dropped - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / 20_000)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 1, 1), (2, 3, 3, 7)])
def test_dropout_takes_any_number_of_elements(shape):
    assert dropout(0.5)(torch.ones(shape)).shape == shape


def test_dropout_keeps_dtype_and_scales_what_it_keeps():
    images = torch.randn(4, 3, 5, 5, generator=generator()).to(torch.bfloat16)
    dropped = dropout(0.5)(images)
    assert dropped.dtype == torch.bfloat16
    kept = dropped != 0
    assert torch.equal(dropped[kept], images[kept] * 2)


def test_dropout_does_nothing_in_evaluation_nor_at_share_0():
    images = torch.randn(4, 3, 5, 5, generator=generator())
    assert dropout(0.5).eval()(images) is images
    assert dropout(0.0)(images) is images


def test_dropout_draws_from_the_generator_that_it_is_fed_and_from_nothing_else():
    made = network("seed")
    images = torch.randn(4, *INPUT, generator=generator())
    source = generator(7)
    made.feed(source)
    before, fresh = torch.get_rng_state(), source.get_state()
    first, second = made(images), made(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(source.get_state(), fresh)
    assert not torch.equal(first, second)
    source.set_state(fresh)
    assert torch.equal(made(images), first)


# ---------------------------------------------------------------- initial weights


def test_building_leaves_global_randomness_alone():
    before = torch.get_rng_state()
    network("seed")
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_fan_in():
    made = build((Conv(64, bias=True), Conv(64, groups=4, bias=True)), INPUT, generator())
    convolutions = [module for module in made.modules() if isinstance(module, nn.Conv2d)]
    for module, fan_in in zip(convolutions, (9, 16 * 9), strict=True):
        bound = 1 / math.sqrt(fan_in)
        for parameter in module.parameters():
            assert parameter.abs().max() <= bound
            assert parameter.abs().max() > 0.9 * bound
        spread = float(module.weight.detach().std())
        assert spread == pytest.approx(bound / math.sqrt(3), rel=0.1)  # SD of a uniform distribution


def test_normalisation_starts_as_the_identity():
    made = network("early-pool")
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
