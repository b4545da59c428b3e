"""Compile a run's training steps, and compare one batch with PyTorch's: compilers make mistakes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import Layer
from mnist_ops.config import Config
from mnist_ops.data.tensors import normalise, to_unit
from mnist_ops.engine.choice import plan
from mnist_ops.engine.network import Batch, CompiledNetwork, Rates
from mnist_ops.engine.program import lower
from mnist_ops.errors import RunError
from mnist_ops.model import StreamDropout, build
from mnist_ops.optim.compiled import Compiled
from mnist_ops.randomness import stream

# Shares of the largest number compared. Rounding stays below a hundredth of them, unless two pixels of a window are
# nearly equal.
MOST_APART = {"logits": 1e-3, "gradient": 2e-2}
STREAM = 4567  # of the batch's dropout
MEAN, SD = (0.5, 0.4, 0.6), (0.3, 0.25, 0.35)  # of its channels


class CompiledDropout(nn.Module):
    """The dropout of kernels/activation.h, for the same draws: the mask of one batch."""

    def __init__(self, share: float, number: int, drawn: int) -> None:
        """number: of this dropout in the network; drawn: the 64 bits of the step."""
        super().__init__()
        self.share, self.number, self.drawn = share, number, drawn

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> same shape and dtype."""
        if not self.training:
            return images
        places = np.arange(len(images), dtype=np.uint64) | np.uint64(self.number << 32)
        with np.errstate(over="ignore"):
            seeds = _mixed(np.uint64(self.drawn) + _mixed(places)).astype(np.uint32)[:, None]
            bits = seeds + np.arange(images[0].numel(), dtype=np.uint32) * np.uint32(0x9E3779B9)
            bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B)
            bits = (bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35)
            bits ^= bits >> np.uint32(16)
        kept = torch.from_numpy(bits >= round(self.share * 2**32)).view(images.shape)
        return images * kept / (1 - self.share)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def with_compiled_dropout(network: nn.Module, drawn: int) -> nn.Module:
    """The network, in place, its dropouts as a compiled step of those 64 bits draws them."""
    found = [name for name, module in network.named_modules() if isinstance(module, StreamDropout)]
    for number, name in enumerate(found):
        parent, _, last = name.rpartition(".")
        dropout = network.get_submodule(name)
        assert isinstance(dropout, StreamDropout)
        setattr(network.get_submodule(parent), last, CompiledDropout(dropout.share, number, drawn))
    return network


def compile_steps(config: Config, layers: tuple[Layer, ...]) -> Compiled:
    """The steps of a run, for batches of its size, once they have computed one batch as PyTorch does.

    Raises RunError if they cannot be compiled or loaded, or do not."""
    library = plan(config, layers)
    # A last image by itself is added to the batch before it.
    network = CompiledNetwork(library.load(), lower(layers, config.input_shape), config.batch_size + 1, config.threads)
    check(network, layers, config.input_shape, library.made_by)
    return Compiled(network, library.made_by)


def check(compiled: CompiledNetwork, layers: tuple[Layer, ...], shape: Shape, made_by: str) -> None:
    """Compare an evaluation, and then a gradient, of random images by an initial network of these layers.

    Raises RunError if they differ by more than rounding; the compiled network's arrays are 0 afterwards."""
    count = min(compiled.images, 2 * compiled.lanes + 3)
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, *shape), dtype=np.uint8)
    batch = Batch(images, draws.integers(0, compiled.classes, count), np.arange(count), MEAN, SD)
    network = with_compiled_dropout(build(layers, shape, stream(0, "weights")), STREAM)
    steps = Compiled(compiled, made_by)
    steps.load(network)
    shown = normalise(to_unit(torch.from_numpy(images)), MEAN[:shape[0]], SD[:shape[0]])
    with torch.no_grad():
        expected = network.eval()(shown).numpy()
    found = compiled.read(batch)
    loss = functional.cross_entropy(network.train()(shown), torch.from_numpy(batch.labels))
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    compiled.step(batch, Rates(), Rates(), smoothing=0.0, stream=STREAM)
    pairs = {"logits": (found, expected),
             "gradient": (compiled.gradient(), torch.cat([one.flatten() for one in gradients]).numpy())}
    for name, (ours, wanted) in pairs.items():
        apart = np.abs(ours - wanted).max() / np.abs(wanted).max()
        if not apart <= MOST_APART[name]:
            raise RunError(f"the {name} of a compiled step ({made_by}) differ from PyTorch's by {apart:.1%} of the "
                           "largest: the compiler has made a mistake. Name another one with $CC")
    for array in (compiled.values, compiled.first, compiled.second, compiled.running):
        array[:] = 0
