"""Networks of every kind of layer with weights that nobody trained, for tests of what is made of networks."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape, walk
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.zoo import INPUT
from mnist_ops.data.tensors import Split, normalise
from mnist_ops.errors import ConfigError
from mnist_ops.model import build
from mnist_ops.run.trained import TrainedNetwork
from mnist_ops.score.refusal import Refusal, looked_at


def trained(layers: tuple[Layer, ...], seed: int = 0, mean: float = 0.13, sd: float = 0.31,
            shape: Shape = INPUT) -> TrainedNetwork:
    """A network of these layers whose normalisations have scales of both signs, and some of 0."""
    generator = torch.Generator().manual_seed(seed)
    network = build(layers, shape, generator)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(-0.5, 1.5, generator=generator)
                module.weight[module.weight.abs() < 0.1] = 0
                module.bias.uniform_(-0.5, 0.5, generator=generator)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.3, 0.3, generator=generator)
                module.running_var.uniform_(0.2, 2, generator=generator)
    network.eval()
    blank = torch.zeros(1, *shape)
    features, classes = network.body[:-1](blank).numel(), network(blank).shape[1]
    refusal = Refusal(torch.randn(3, features + 1, generator=generator), torch.randn(5, generator=generator),
                      torch.tensor([0.5]))
    return TrainedNetwork(network, layers, "small", "digits", tuple(map(str, range(classes))), "resize",
                          _of_channels(mean, shape), _of_channels(sd, shape), shape, refusal)


def _of_channels(value: float, shape: Shape) -> tuple[float, ...]:
    return tuple(value / (1 + channel) for channel in range(shape[0]))


def logits(one: TrainedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What PyTorch computes in float64: images (N, H, W) or (N, 3, H, W) -> (N, classes)."""
    values = torch.from_numpy(images).reshape(-1, *one.input_shape).double() / 255
    network = one.network.double()
    with torch.no_grad():
        made: NDArray[np.float64] = network(normalise(values, one.mean, one.sd)).numpy()
    network.float()
    return made


def oddness(one: TrainedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What PyTorch computes: images (N, H, W) or (N, 3, H, W) -> (N,)."""
    assert one.refusal is not None
    split = Split(torch.from_numpy(images).reshape(-1, *one.input_shape), torch.zeros(len(images)))
    made: NDArray[np.float32] = one.refusal.oddness(*looked_at(one.network, split, one.mean, one.sd)).numpy()
    return made


def images(count: int = 12, seed: int = 0, shape: Shape = INPUT) -> NDArray[np.uint8]:
    """Noise of several densities, with one black and one white image in front."""
    generator = np.random.default_rng(seed)
    form = (count, *(shape if shape[0] > 1 else shape[1:]))
    noise = generator.integers(0, 256, form) * (generator.random(form) < 0.5)
    noise[:1], noise[1:2] = 0, 255
    return noise.astype(np.uint8)


@st.composite
def architectures(draw: Any) -> tuple[Layer, ...]:
    """Up to seven layers or residuals of any kind that fit each other, down to three classes."""
    sides = st.integers(1, 3)
    simple = st.one_of(
        st.builds(Conv, st.sampled_from([2, 4]), sides, st.integers(1, 2), st.integers(0, 2), st.integers(1, 2),
                  st.sampled_from([0, 1, 2]), st.booleans()),
        st.just(Norm()), st.just(ReLU()), st.just(Dropout(0.3)),
        st.builds(MaxPool, st.integers(2, 3), st.integers(0, 3), st.integers(0, 1), st.integers(1, 2)),
        st.builds(AvgPool, st.integers(2, 3), st.integers(0, 3), st.integers(0, 1)),
        st.builds(AdaptiveAvgPool, st.integers(2, 9)),
    )
    layers: tuple[Layer, ...] = ()
    for layer in draw(st.lists(st.one_of(simple, st.lists(simple, min_size=1, max_size=3).map(tuple).map(Residual)),
                               min_size=1, max_size=7)):
        try:
            walk((*layers, layer), INPUT)
        except ConfigError:
            continue
        layers = (*layers, layer)
    return (*layers, AdaptiveAvgPool(1), Conv(3, kernel=1, bias=True))
