"""Layer records -> nn.Module, with initialisation; the only place where modules are made."""

import math

import torch
from torch import Generator, Tensor, nn

from mnist_ops.arch import layers as arch
from mnist_ops.arch.layers import Layer

CHANCES = 1 << 16  # dropout on a processor compares 16 random bits, so its share is exact to 1 / 65,536


class Dropout(nn.Module):
    """Zero a share of the elements in training, scale the others by 1 / (1 - share); Srivastava et al. 2014.

    The mask comes from `generator`, which `feed` sets, never from global state. On a processor four elements share one
    draw of 64 bits, at a fraction of the cost of a draw for each."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: Generator | None = None

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> same shape and dtype."""
        if not self.training or self.share == 0:
            return images
        channels_last = (images.shape[0], *images.shape[2:], images.shape[1])
        if images.device.type == "cpu":
            bits = torch.empty((images.numel() + 3) // 4, dtype=torch.int64)
            bits.random_(-(2**63), None, generator=self.generator)
            kept = bits.view(torch.int16)[:images.numel()] >= round(self.share * CHANCES) - CHANCES // 2
        else:
            kept = torch.rand(images.numel(), generator=self.generator, device=images.device) >= self.share
        mask = kept.view(channels_last).permute(0, 3, 1, 2).to(images.dtype)
        return images * mask.mul_(1 / (1 - self.share))


class Residual(nn.Module):
    """x + body(x); He et al. 2016, arXiv:1512.03385."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> same shape."""
        return images + self.body(images)  # type: ignore[no-any-return]


class Network(nn.Module):
    """The layers in order; the last feature map, (N, classes, 1, 1), flattened to logits (N, classes)."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, 28, 28), normalised -> logits (N, classes)."""
        return self.body(images).flatten(1)  # type: ignore[no-any-return]

    def feed(self, generator: Generator) -> None:
        """Let every dropout draw from `generator`, which must be on the network's device."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator


def build(layers: tuple[Layer, ...], input_shape: arch.Shape, generator: Generator) -> Network:
    """The network of these records, on the CPU, in training mode, channels last.

    Convolution weights and biases are uniform within 1 / sqrt(fan in), PyTorch's own default (LeCun et al. 1998),
    drawn from `generator` (CPU) in the order of the layers; normalisation starts as the identity."""
    with torch.random.fork_rng(devices=[]):  # PyTorch's modules draw from global state when they are made
        network = Network(_sequence(layers, input_shape))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _sequence(layers: tuple[Layer, ...], shape: arch.Shape) -> nn.Sequential:
    modules = []
    for layer in layers:
        modules.append(_module(layer, shape))
        shape = arch.output_shape(layer, shape)
    return nn.Sequential(*modules)


def _module(layer: Layer, shape: arch.Shape) -> nn.Module:
    """The module of one record, for an input of `shape` (channels, height, width)."""
    match layer:
        case arch.Conv():
            return nn.Conv2d(shape[0], layer.channels, layer.kernel, layer.stride, layer.padding, layer.dilation,
                             arch.conv_groups(layer, shape[0]), bias=layer.bias)
        case arch.Norm():
            return nn.BatchNorm2d(shape[0])
        case arch.Dropout():
            return Dropout(layer.share)
        case arch.ReLU():
            return nn.ReLU()
        case arch.MaxPool():
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding, layer.dilation)
        case arch.AvgPool():
            return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding)
        case arch.AdaptiveAvgPool():
            return nn.AdaptiveAvgPool2d(layer.size)
        case arch.Residual():
            return Residual(_sequence(layer.body, shape))
