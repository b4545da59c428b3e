"""What the bench asks of a training program, ours or a baseline, and what the baselines have in common."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.per_image import Loader

# tqdm draws its bar whenever the description changes: after each step. Here the text is made and written to nowhere.
NOWHERE = os.open(os.devnull, os.O_WRONLY)  # for as long as the process lives
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class About:
    """What does not depend on the machine's mood."""

    name: str
    model: str
    parameters: int
    macs: int  # multiply-adds of one image forward
    moved: int  # numbers read and written for one image in a training step, at least
    batch: int
    epochs: int
    train_images: int
    test_images: int
    device: str
    threads: int
    precision: str


class Program(Protocol):
    """A training program that can be asked for one step at a time."""

    @property
    def about(self) -> About:
        """Numbers for the table."""

    @property
    def network(self) -> nn.Module:
        """What answers; for the inference figures."""

    def steps(self) -> Iterator[int]:
        """Train without end; after each step, how many images it was."""

    def batches(self) -> Iterator[int]:
        """Only make the batches, without end, as training would get them; how many images each holds."""

    def test(self) -> float:
        """Accuracy in percent on the test part, the way that the program tests."""

    def whole(self) -> dict[str, Any]:
        """The whole of training, from the rate search to the last weight: seconds, and the accuracy reached."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A training loop as PyTorch's tutorials write it."""

    about: About
    network: nn.Module
    train_loader: Loader
    test_loader: Loader
    optimizer: torch.optim.Optimizer
    loss: Loss
    read_every: int  # steps between two reads of numbers from the device, which are put into a text
    scheduler: torch.optim.lr_scheduler.LRScheduler
    search: Callable[["Baseline"], float] | None  # the rate search, where there is one: sets the rate, -> it

    def epoch(self) -> Iterator[int]:
        """One pass over the training part; after each step the number of its images."""
        device = next(self.network.parameters()).device
        self.network.train()
        right = seen = 0
        for number, (images, labels) in enumerate(self.train_loader):
            images, labels = images.to(device), labels.to(device)
            self.optimizer.zero_grad()
            logits = self.network(images)
            loss = self.loss(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            seen += len(labels)
            if number % self.read_every == 0:
                right += int(logits.argmax(dim=1).eq(labels).sum().item())
                tell(f"step {number} of {len(self.train_loader)}: loss {loss.item():.6f}, {right} of {seen} right")
            yield len(labels)

    def steps(self) -> Iterator[int]:
        """Epoch after epoch."""
        return itertools.chain.from_iterable(self.epoch() for _ in itertools.count())

    def batches(self) -> Iterator[int]:
        """What the loader alone gives."""
        return (len(labels) for _ in itertools.count() for _, labels in self.train_loader)

    def test(self) -> float:
        """Loss and hits are read back batch by batch."""
        device = next(self.network.parameters()).device
        self.network.eval()
        total, right, seen = 0.0, 0, 0
        with torch.no_grad():
            for images, labels in self.test_loader:
                images, labels = images.to(device), labels.to(device)
                logits = self.network(images)
                total += self.loss(logits, labels).item() * len(labels)
                right += int(logits.argmax(dim=1, keepdim=True).eq(labels.view(-1, 1)).sum().item())
                seen += len(labels)
                tell(f"tested {seen}: loss {total / seen:.6f}, {right} right")
        return 100 * right / len(self.test_loader.dataset)  # type: ignore[arg-type]

    def whole(self) -> dict[str, Any]:
        """Rate search where there is one, all epochs, a test after each."""
        begun = time.perf_counter()
        rate = self.search(self) if self.search else None
        search_seconds = time.perf_counter() - begun
        testing, accuracies = 0.0, []
        for _ in range(self.about.epochs):
            for _ in self.epoch():
                pass
            before = time.perf_counter()
            accuracies.append(self.test())
            testing += time.perf_counter() - before
            self.scheduler.step()
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "train_seconds": seconds - testing, "search_seconds": search_seconds, "lr": rate,
                "accuracies": accuracies, "test_accuracy": accuracies[-1]}


def tell(text: str) -> None:
    """Progress, in a line that is written over."""
    os.write(NOWHERE, f"\r{text}".encode())


def count_parameters(network: nn.Module) -> int:
    """Of all layers."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module) -> int:
    """Multiply-adds of convolutions and linear layers for one image, as PyTorch counts them."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 1, 28, 28, device=device))
    network.train(was_training)
    return counter.get_total_flops() // 2


def count_moved(network: nn.Module) -> int:
    """Numbers that a training step reads and writes for one image, layer by layer and maps alone.

    Forward a layer reads its input and writes its output; backward it reads its input and the gradient of its output
    and writes that of its input. So it is, at least, where layers are computed one after the other."""
    moved = 0

    def count(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal moved
        moved += 3 * given[0].numel() + 2 * made.numel()

    layers = [layer for layer in network.modules() if not any(layer.children()) and not isinstance(layer, nn.Flatten)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, 1, 28, 28, device=next(network.parameters()).device))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return moved
