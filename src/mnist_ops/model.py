"""Layer records -> nn.Module, with initialisation; the only place that creates modules."""

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mnist_ops.arch import layers as arch
from mnist_ops.arch.arithmetic import Shape, as_text, conv_groups, output_shape, walk
from mnist_ops.arch.layers import Layer, without_norm
from mnist_ops.arch.zoo import INPUT, architecture
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError
from mnist_ops.parallel.team import Slice, Team, whole
from mnist_ops.randomness import stream

CHANCES = 1 << 16  # dropout on a processor compares 16 random bits, so its share is exact to 1 / 65,536


class StreamDropout(nn.Module):
    """Zero a share of the elements in training, scale the others by 1 / (1 - share); Srivastava et al. 2014.

    The mask comes from `generator`, which `feed` sets, never from global state. On a CPU four elements share a draw of
    64 bits, which is much cheaper than a draw for each. A slice of a batch gets its part of the whole batch's mask, so
    the result does not depend on the number of processes."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: Generator | None = None
        self.part: Slice | None = None  # the slice of the batch; None: all of it

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> same shape and dtype."""
        if not self.training or self.share == 0:
            return images
        part = self.part or whole(len(images))
        each = math.prod(images.shape[1:])  # elements of an image
        channels_last = (images.shape[0], *images.shape[2:], images.shape[1])
        if images.device.type == "cpu":
            bits = torch.empty((part.count * each + 3) // 4, dtype=torch.int64)
            bits.random_(-(2**63), None, generator=self.generator)
            drawn = bits.view(torch.int16)[part.first * each:part.last * each]
            kept = drawn >= round(self.share * CHANCES) - CHANCES // 2
        else:
            drawn = torch.rand(part.count * each, generator=self.generator, device=images.device)
            kept = drawn[part.first * each:part.last * each] >= self.share
        mask = kept.view(channels_last).permute(0, 3, 1, 2).to(images.dtype)
        return images * mask.mul_(1 / (1 - self.share))


class Rectifier(nn.ReLU):
    """ReLU that in training overwrites its input, the output of a normalisation, which nothing else reads."""

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> same shape."""
        return functional.relu(images, inplace=self.training)


class ResidualSum(nn.Module):
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
        """images (N, C, H, W), normalised -> logits (N, classes)."""
        return self.body(images).flatten(1)  # type: ignore[no-any-return]

    def feed(self, generator: Generator, part: Slice | None = None) -> None:
        """Let every dropout draw from `generator`, which must be on the network's device.

        part: the slice of the batch that the next images are; None: all of it."""
        for module in self.modules():
            if isinstance(module, StreamDropout):
                module.generator, module.part = generator, part


class SyncNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the whole batch, of which each process of the team has a slice.

    Replaces torch.nn.SyncBatchNorm, which does not run on CPUs. Deviations are summed about each slice's mean to avoid
    cancellation; one all-reduce forward, one backward."""

    def __init__(self, norm: nn.BatchNorm2d, team: Team) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias, self.team = norm.weight, norm.bias, team
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W), N of a slice, which may be 0 -> same shape and dtype."""
        if not self.training:
            return super().forward(images)
        values, axes = images.float(), (0, 2, 3)
        count = values.numel() // self.num_features
        mean = values.sum(axes) / max(count, 1)
        deviations = ((values - mean[:, None, None]) ** 2).sum(axes)
        sums = torch.stack([mean.double() * count, deviations.double() + count * mean.double() ** 2,
                            torch.full_like(mean, count, dtype=torch.float64)])
        total, squares, number = _Sum.apply(sums, self.team)  # type: ignore[no-untyped-call]
        mean, variance = total / number, squares / number - (total / number) ** 2
        self._follow(mean.detach(), (variance * number / (number - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt().float()
        shift = self.bias - mean.float() * scale
        normalised: Tensor = values * scale[:, None, None] + shift[:, None, None]
        return normalised.to(images.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, as nn.BatchNorm2d does."""
        momentum = 0.1 if self.momentum is None else self.momentum
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(value.float(), momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its derivative is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, team: Team) -> Tensor:
        ctx.team = team
        total = values.clone()
        team.add(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        ctx.team.add(total)
        return total, None


def synchronise(network: nn.Module, team: Team) -> None:
    """Let every normalisation use the statistics of the whole batch, keeping weights and state names."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, SyncNorm(child, team))


def layers_of(config: Config, classes: int) -> tuple[Layer, ...]:
    """The layers of the config's network, without normalisation if norm is none.

    Raises ConfigError if they do not fit the images, or end in more than one pixel for each class."""
    layers, shape = architecture(config.model, classes, config.input_shape), config.input_shape
    if (made := walk(layers, shape)[-1].output_shape) != (classes, 1, 1):
        raise ConfigError(f"model {config.model} makes {as_text(made)} of images of {as_text(shape)}, expected one "
                          "pixel for each class; use a network that takes the mean of its last map, such as "
                          f"early-pool, or images of {INPUT[1]} pixels (--size {INPUT[1]})")
    return without_norm(layers) if config.norm == "none" else layers


def initial_network(config: Config, layers: tuple[Layer, ...], device: torch.device) -> Network:
    """The network before its first step; the same for the same seed, on every device."""
    return build(layers, config.input_shape, stream(config.seed, "weights")).to(device)


def build(layers: tuple[Layer, ...], input_shape: Shape, generator: Generator) -> Network:
    """The network of these records, on the CPU, in training mode, channels last.

    Convolution weights and biases are uniform within 1 / sqrt(fan in), PyTorch's own default (LeCun et al. 1998),
    drawn from `generator` (CPU) in the order of the layers; normalisation starts as the identity."""
    with torch.random.fork_rng(devices=[]):  # PyTorch's modules draw from global state when created
        network = Network(_sequence(layers, input_shape))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _sequence(layers: tuple[Layer, ...], shape: Shape) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers:
        normalised = bool(modules) and isinstance(modules[-1], nn.BatchNorm2d)
        modules.append(Rectifier() if isinstance(layer, arch.ReLU) and normalised else _module(layer, shape))
        shape = output_shape(layer, shape)
    return nn.Sequential(*modules)


def _module(layer: Layer, shape: Shape) -> nn.Module:
    """The module of one record, for an input of `shape` (channels, height, width)."""
    match layer:
        case arch.Conv():
            return nn.Conv2d(shape[0], layer.channels, layer.kernel, layer.stride, layer.padding, layer.dilation,
                             conv_groups(layer, shape[0]), bias=layer.bias)
        case arch.Norm():
            return nn.BatchNorm2d(shape[0])
        case arch.Dropout():
            return StreamDropout(layer.share)
        case arch.ReLU():
            return nn.ReLU()
        case arch.MaxPool():
            return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding, layer.dilation)
        case arch.AvgPool():
            return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding)
        case arch.AdaptiveAvgPool():
            if layer.size == 1:  # the same; the gradient of nn.AdaptiveAvgPool2d lies channels first, and slows ReLU's
                return nn.AvgPool2d(shape[1:])
            return nn.AdaptiveAvgPool2d(layer.size)
        case arch.Residual():
            return ResidualSum(_sequence(layer.body, shape))
