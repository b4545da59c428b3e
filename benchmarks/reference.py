"""Baseline: the reference's own way. Its network with dropout, each image warped on its own behind a DataLoader.

After its README: perspective and rotation drawn image by image, float32, SGD with momentum, batches of 64 on a
processor and 128 with four loading processes on a GPU, a number read back and a line of progress written after each
step, a rate search of 1,000 steps, 12 epochs, a test after each. Strengths that the README leaves open are those of the
recipe `seed`, which stands for the same run.
"""

import copy
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.per_image import Loader, PerImage, normalise, random_perspective, random_rotation, to_tensor
from benchmarks.program import About, Baseline, count_macs, count_moved, count_parameters, tell
from mnist_ops.config import RECIPES
from mnist_ops.data.dataset import ImageDataset, ImageSet

NAME = "reference"
EPOCHS, SEARCH_STEPS = 12, 1000
LOWEST, HIGHEST = 1e-6, 10.0  # rates of the search
# What its own program, with torchvision, was measured at on a machine with two cores.
MEASURED = {"images_per_second": 693.0, "epoch_seconds": 86.0, "test_seconds": 12.0}


def reference(source: ImageDataset, device: str, threads: int) -> Baseline:
    """The program on this dataset, ready to train."""
    torch.manual_seed(0)
    network = make_network(len(source.classes)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    train, test = loaders(source, device)
    batch = train.batch_size or 1
    about = About(NAME, "as `seed`", count_parameters(network), count_macs(network), count_moved(network), batch,
                  EPOCHS, len(source.train.labels), len(source.test.labels), device, threads, "float32")
    return Baseline(about, network, train, test, optimizer, F.cross_entropy, 1,
                    torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.1), search)


def make_network(classes: int = 10) -> nn.Sequential:
    """31 layers: seven 3x3 convolutions without padding, the maximum of 2x2 after the fourth, a mean, a 1x1."""
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs), nn.Dropout(0.05), nn.ReLU()]

    large = [layer for inputs in (1, 10, 10, 10) for layer in block(inputs, 10)]
    small = [*block(10, 10), *block(10, 16), *block(16, 16)]
    return nn.Sequential(*large, nn.MaxPool2d(2), *small, nn.AvgPool2d(4), nn.Conv2d(16, classes, 1, bias=False),
                         nn.Flatten())


def loaders(source: ImageDataset, device: str) -> tuple[Loader, Loader]:
    """Training part, warped, and test part, both shuffled."""
    warp = RECIPES["seed"].augment
    mean, sd = mean_and_sd(source.train)
    fill = int(mean)  # torchvision makes a whole grey value of it, so the mean, which is below 1, comes out black

    def train(picture: Image.Image) -> Tensor:
        if picture.size != (28, 28):
            picture = picture.resize((28, 28), Image.Resampling.NEAREST)
        picture = random_perspective(picture, warp.perspective, warp.perspective_share, fill)
        return normalise(to_tensor(random_rotation(picture, warp.degrees, fill)), mean, sd)

    def test(picture: Image.Image) -> Tensor:
        return normalise(to_tensor(picture), mean, sd)

    on_gpu = device == "cuda"
    batch, workers = (128, 4) if on_gpu else (64, 0)
    first, second = (DataLoader(PerImage(part, transform), batch_size=batch, shuffle=True, num_workers=workers,
                                pin_memory=on_gpu)
                     for part, transform in ((source.train, train), (source.test, test)))
    return first, second


def mean_and_sd(part: ImageSet) -> tuple[float, float]:
    """Of all grey values in [0, 1]."""
    return float(np.mean(part.images) / 255), float(np.std(part.images) / 255)


def search(program: Baseline, steps: int = SEARCH_STEPS) -> float:
    """Raise the rate from step to step, put the weights back, set the rate at which the loss fell fastest.

    A running average of the loss, a stop at five times its lowest: as the finder that the reference uses."""
    network, optimizer = program.network, program.optimizer
    weights, state = copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state_dict())
    device = next(network.parameters()).device
    rates: list[float] = []
    losses: list[float] = []
    growth = (HIGHEST / LOWEST) ** (1 / max(1, steps - 1))
    network.train()
    batches = iter(program.train_loader)
    while len(losses) < steps and (not losses or losses[-1] <= 5 * min(losses)):
        batch = next(batches, None)
        if batch is None:
            batches = iter(program.train_loader)
            continue
        rates.append(LOWEST * growth ** len(rates))
        set_rate(optimizer, rates[-1])
        optimizer.zero_grad()
        loss = program.loss(network(batch[0].to(device)), batch[1].to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value = loss.item()
        losses.append(0.05 * value + 0.95 * losses[-1] if losses else value)
        tell(f"rate search: step {len(losses)} of {steps}, loss {value:.6f}")
    network.load_state_dict(weights)
    optimizer.load_state_dict(state)
    rate = steepest(rates, losses)
    set_rate(optimizer, rate)
    return rate


def steepest(rates: list[float], losses: list[float]) -> float:
    """The rate where the loss falls most from one step to the next, of those that are finite."""
    slopes = np.gradient(np.array([loss if math.isfinite(loss) else 1e9 for loss in losses]))
    return rates[int(slopes.argmin())]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every group, as the schedule's starting point too."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = rate
