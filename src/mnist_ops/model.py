"""Layer records -> nn.Module, with initialisation; the only place that creates modules."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mnist_ops.arch import layers as arch
from mnist_ops.arch.arithmetic import Shape, as_text, conv_groups, output_shape, walk
from mnist_ops.arch.layers import Layer, without_norm
from mnist_ops.arch.zoo import INPUT, for_classes, named_network
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError, UsageError, brief
from mnist_ops.own_code import MakeNetwork, name_of
from mnist_ops.parallel.team import Slice, whole
from mnist_ops.randomness import drawing, stream

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
    """The layers in order; the last feature map, (N, classes, 1, 1), flattened to logits (N, classes).

    Or a module of one's own, see `own_network`."""

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


def layers_of(config: Config, classes: int) -> tuple[Layer, ...]:
    """The layers of the config's network, without normalisation if norm is none. Empty for a network of one's own.

    Raises ConfigError if they do not fit the images, or end in more than one pixel for each class."""
    if config.code.network:
        return ()
    shape = config.input_shape
    layers = for_classes(config.layers or named_network(config.model, shape), classes)
    if (made := walk(layers, shape)[-1].output_shape) != (classes, 1, 1):
        raise ConfigError(f"model {config.model} makes {as_text(made)} of images of {as_text(shape)}, expected one "
                          "pixel for each class; use a network that takes the mean of its last map, such as "
                          f"early-pool, or images of {INPUT[1]} pixels (--size {INPUT[1]})")
    return without_norm(layers) if config.norm == "none" else layers


def initial_network(config: Config, layers: tuple[Layer, ...], device: torch.device, *,
                    make: MakeNetwork | None = None, classes: int = 0) -> Network:
    """The network before its first step; the same for the same seed, on every device.

    make: for a network of one's own, of so many classes, instead of the layers."""
    generator = stream(config.seed, "weights")
    network = build(layers, config.input_shape, generator) if make is None else own_network(
        make, config.input_shape, classes, generator)
    return network.to(device)


def own_network(make: MakeNetwork, input_shape: Shape, classes: int, generator: Generator) -> Network:
    """The network that `make` makes, on the CPU, in training mode; what it draws follows from `generator`.

    Raises UsageError unless it is a module with weights that makes a logit for each class of each image."""
    name = name_of(make)
    with drawing(generator, torch.device("cpu")):
        body = make(input_shape, classes)
    if not isinstance(body, nn.Module):
        raise UsageError(f"network: {name} made {brief(body)}, expected a torch.nn.Module")
    network = Network(nn.Sequential(body)).eval()
    with torch.no_grad():
        made = tuple(network(torch.zeros(2, *input_shape)).shape)
    if made != (2, classes):
        raise UsageError(f"network: {name} makes {made} of 2 images, expected (2, {classes}), a logit for each class")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(f"network: {name} has no weights to train")
    return network.train()


def own_sizes(network: Network, input_shape: Shape) -> dict[str, int]:
    """Its parameters, and multiply-adds for an image: half of what torch.utils.flop_counter counts."""
    from torch.utils.flop_counter import FlopCounterMode  # slow to import

    device, training = next(network.parameters()).device, network.training
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *input_shape, device=device))
    network.train(training)
    return {"parameters": sum(one.numel() for one in network.parameters()), "macs": counter.get_total_flops() // 2}


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
