"""Compiled training steps: gradients and updates against PyTorch's, the same bits for any number of threads, and what
happens where nothing can be compiled."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from mnist_ops.arch.layers import AvgPool, Conv, Layer, MaxPool, Norm
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.config import Augment
from mnist_ops.engine.build import build
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.engine.network import Batch, CompiledNetwork, Rates
from mnist_ops.engine.program import lower
from mnist_ops.engine.source import source
from mnist_ops.model import StreamDropout
from mnist_ops.optim.compiled import Compiled
from tests.miniature import SHORT, few_digits
from tests.small_networks import EVERYTHING, architectures, trained

COMPILED = replace(SHORT, engine="compiled")
PIXELS, LABELS = few_digits().train.images[:, None], few_digits().train.labels
SLOW = settings(max_examples=12, suppress_health_check=list(HealthCheck))  # a second each, to compile
# Augmentation of every kind at once.
EVERY_CHANGE = Augment(brightness=0.3, contrast=0.3, perspective=0.3, degrees=15, zoom=0.1, shear=0.1, shift=2)


@pytest.fixture(autouse=True)
def _kept(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled is kept from one run of the tests to the next."""
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytestconfig.cache.mkdir("engine")))


def compiled(layers: tuple[Layer, ...], optimizer: str = "sgd", *, images: int = 40, threads: int = 1,
             ) -> CompiledNetwork:
    program = lower(layers, INPUT)
    return CompiledNetwork(build(source(program, optimizer)).load(), program, images, threads)


def on(network: nn.Module, layers: tuple[Layer, ...], optimizer: str = "sgd", **options: Any) -> Compiled:
    """Compiled steps that begin with the state of PyTorch's network."""
    steps = Compiled(compiled(layers, optimizer, **options), "test")
    steps.load(network)
    return steps


def batch(index: NDArray[np.int64]) -> Batch:
    return Batch(PIXELS, LABELS, index, 0.13, 0.31)


def mixed(x: int) -> int:
    """SplitMix64's finaliser, as kernels/step.h has it."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


class Masked(nn.Module):
    """The mask of kernels/activation.h, in numpy."""

    def __init__(self, share: float, number: int, stream: int) -> None:
        super().__init__()
        self.share, self.number, self.stream = share, number, stream

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seeds = np.array([mixed((self.stream + mixed(self.number << 32 | place)) % 2**64) % 2**32
                          for place in range(len(x))], dtype=np.uint32)[:, None]
        with np.errstate(over="ignore"):
            bits = seeds + np.arange(x[0].numel(), dtype=np.uint32) * np.uint32(0x9E3779B9)
            bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
            bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
            bits ^= bits >> 16
        kept = torch.from_numpy(bits >= round(self.share * 2**32)).view(x.shape)
        return x * kept / (1 - self.share)


def reference(layers: tuple[Layer, ...], seed: int, stream: int) -> nn.Module:
    """PyTorch's network in float64, its dropout by the compiled steps' draws."""
    network = trained(layers, seed).network.double().train()
    for name, module in list(network.named_modules()):
        if isinstance(module, StreamDropout):
            parent = network.get_submodule(name.rpartition(".")[0])
            number = sum(isinstance(one, StreamDropout | Masked) for one in _before(network, module))
            setattr(parent, name.rpartition(".")[2], Masked(module.share, number, stream))
    return network


def _before(network: nn.Module, module: nn.Module) -> Iterator[nn.Module]:
    for one in network.modules():
        if one is module:
            return
        yield one


def gradient(network: nn.Module, index: NDArray[np.int64], noise: float = 0.0,
             seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """Of the mean loss with label smoothing 0.1, by autograd in float64; the parameters off by a share of `noise`."""
    draws = torch.Generator().manual_seed(seed)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + noise * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
    grey = (torch.from_numpy(PIXELS[index]).double() / 255 - 0.13) / 0.31
    loss = F.cross_entropy(network(grey), torch.from_numpy(LABELS[index]) % 3, label_smoothing=0.1)
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), before, strict=True):
            parameter.copy_(value)
    whole = [torch.zeros_like(p) if g is None else g for p, g in zip(network.parameters(), found, strict=True)]
    return torch.cat([one.flatten() for one in whole]).numpy(), float(loss.detach())


def check_gradient(layers: tuple[Layer, ...], count: int, threads: int = 1) -> bool:
    """False where no batch was found whose gradient a millionth in the weights leaves as it is: where two values of
    a window are nearly equal, no arithmetic in float32 has the digits that are compared."""
    stream, network = 12345, reference(layers, 0, 12345)
    for seed in range(10):
        index = np.random.default_rng(seed).permutation(len(LABELS))[:count]
        expected, loss = gradient(network, index)
        scale = np.abs(expected).max()
        if all(np.abs(gradient(network, index, 1e-6, near)[0] - expected).max() < 2e-5 * scale for near in range(6)):
            break
    else:
        return False
    steps = on(trained(layers).network, layers, threads=threads)
    given = replace(batch(index), labels=LABELS % 3)
    total, _ = steps.network.step(given, Rates(), Rates(), smoothing=0.1, stream=stream)
    assert total / count == pytest.approx(loss, abs=2e-6 * max(1, abs(loss)))
    assert np.abs(steps.network.gradient() - expected).max() <= 1e-5 * scale
    return True


@SLOW
@given(architectures())
def test_gradients_of_any_network_are_those_of_float64(layers):
    assume(check_gradient(layers, 19, threads=2))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 32, 37])
def test_gradients_of_every_named_network_are_those_of_float64(name, count):
    if count == 1 and any(isinstance(layer, Norm) for layer in MODELS[name]):
        count = 2  # a norm needs more than one element of a channel
    assert check_gradient(MODELS[name], count)


def test_gradients_of_layers_of_every_kind_are_those_of_float64():
    assert check_gradient(EVERYTHING, 33)
    assert check_gradient((Conv(6, kernel=5, stride=2), Norm(), Conv(4, kernel=3, groups=2, padding=1, bias=True),
                           MaxPool(3, 2), AvgPool(5), Conv(3, kernel=1)), 33)
