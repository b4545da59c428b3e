"""Training steps by a compiled network: what PyTorch's network and optimiser hold goes in, steps, and comes out."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator, Tensor, nn

from mnist_ops.config import Config
from mnist_ops.data.tensors import Dataset
from mnist_ops.data.warp import draw, fill_of
from mnist_ops.engine.network import Array, Batch, CompiledNetwork, Rates
from mnist_ops.optim.loss import class_weights
from mnist_ops.optim.optimizers import AdamW, Updates

DRAWN = 8192  # images whose warps are computed at once: for a batch by itself they take a tenth of the step


@contextmanager
def threads_restored() -> Iterator[None]:
    """Give PyTorch back its threads, of which compiled steps leave it one."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


class Compiled:
    """A compiled network in the place of PyTorch's: the same order and warps; dropout has draws of its own.

    Dropout's mask is that of kernels/activation.h, from 63 bits of the dropout stream for each step."""

    def __init__(self, network: CompiledNetwork, made_by: str) -> None:
        self.network, self.made_by = network, made_by
        self.steps_taken = 0  # of the optimiser

    def load(self, model: nn.Module, optimizer: Updates | None = None) -> None:
        """Take over the state of both."""
        for arrays, tensors in self._places(model, optimizer):
            _copy(arrays, tensors)
        if optimizer is not None:
            self.steps_taken = next((int(kept["step"]) for kept in optimizer.state.values() if "step" in kept), 0)
        self.network.changed()

    def store(self, model: nn.Module, optimizer: Updates, batches: int) -> None:
        """Give the state of both back, after so many batches."""
        for arrays, tensors in self._places(model, optimizer):
            _copy(arrays, tensors, back=True)
        for count in _buffers(model, "num_batches_tracked"):
            count += batches
        for kept in optimizer.state.values():
            if "step" in kept:
                kept["step"].fill_(self.steps_taken)

    def _places(self, model: nn.Module, optimizer: Updates | None) -> Iterator[tuple[Array, list[Tensor]]]:
        """Each array, and the tensors that lie in it one after another."""
        yield self.network.values, [parameter.detach() for parameter in model.parameters()]
        for array, name in zip(self.network.running, ("running_mean", "running_var"), strict=True):
            yield array, _buffers(model, name)
        if optimizer is not None:
            names = [name for name in optimizer.keeps if name != "step"]
            for array, name in zip((self.network.first, self.network.second), names, strict=False):
                yield array, [optimizer.state[parameter][name] for parameter in model.parameters()]

    def steps(self, optimizer: Updates, data: Dataset, cfg: Config, batches: Iterable[Tensor], *,
              warp: Generator, dropout: Generator) -> Iterator[tuple[float, int]]:
        """A change of the weights by the training images of each of these indices, at the optimiser's rates then.

        -> mean loss in nats and number of right answers, before it. Draws for some batches at once."""
        images, labels = data.train.images.numpy(), data.train.labels.numpy()
        fill = fill_of(cfg.augment, data.mean)
        weights = class_weights(data, cfg.optimizer)
        weighted = None if weights is None else weights.numpy()
        batches = iter(batches)
        while some := list(itertools.islice(batches, max(1, DRAWN // cfg.batch_size))):
            drawn = draw([len(index) for index in some], cfg.augment, images.shape[-1], warp)
            for index, draws in zip(some, drawn, strict=True):
                maps, brightness, contrast = (None if one is None else one.contiguous().numpy()
                                              for one in (draws.maps, draws.brightness, draws.contrast))
                yield self._step(optimizer, cfg, dropout, Batch(
                    images, labels, index.contiguous().numpy(), data.mean, data.sd, fill, maps, brightness, contrast,
                    weighted))

    def _step(self, optimizer: Updates, cfg: Config, dropout: Generator, batch: Batch) -> tuple[float, int]:
        if torch.get_num_threads() > 1:  # others would spin after PyTorch's small operations, where the step's work
            torch.set_num_threads(1)
        self.steps_taken += 1
        kernels, vectors = (self._rates(group, cfg, adam=isinstance(optimizer, AdamW))
                            for group in optimizer.param_groups)
        stream = int(torch.randint(2**63 - 1, (), generator=dropout))
        loss, right = self.network.step(batch, kernels, vectors, smoothing=cfg.optimizer.label_smoothing, stream=stream)
        return loss / len(batch.index), right

    def _rates(self, group: dict[str, float], cfg: Config, *, adam: bool) -> Rates:
        corrections = (1 - beta**self.steps_taken for beta in (cfg.optimizer.momentum, 0.999)) if adam else (1.0, 1.0)
        return Rates(group["lr"], cfg.optimizer.momentum, group["weight_decay"], group.get("orthogonal", 0.0),
                     *corrections)

    def losses(self, count: int) -> Tensor:
        """The cross-entropy in nats of each image of the last step, which had so many, (count,)."""
        return torch.from_numpy(self.network.losses(count))

    def logits(self, images: Tensor, labels: Tensor, mean: Sequence[float], sd: Sequence[float]) -> Tensor:
        """(N, C, H, W) uint8, (N,) -> the logits, (N, classes), by the running statistics."""
        batch = Batch(images.numpy(), labels.numpy(), np.arange(len(images)), mean, sd)
        return torch.from_numpy(self.network.read(batch))


def _buffers(model: nn.Module, kind: str) -> list[Tensor]:
    return [buffer for name, buffer in model.named_buffers() if name.endswith(f".{kind}")]


def _copy(array: Array, tensors: list[Tensor], *, back: bool = False) -> None:
    begin = 0
    for tensor in tensors:
        place = torch.from_numpy(array)[begin:begin + tensor.numel()].view(tensor.shape)
        begin += tensor.numel()
        if back:
            tensor.copy_(place)
        else:
            place.copy_(tensor)
    assert begin == len(array)
