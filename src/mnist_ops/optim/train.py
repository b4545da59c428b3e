"""One epoch of steps. Knows nothing of files, screens or validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from mnist_ops.config import Augment, Config
from mnist_ops.data.tensors import Dataset, batch_count, batches, normalise, to_grey
from mnist_ops.data.warp import augment
from mnist_ops.model import Network
from mnist_ops.optim.optimizer import loss_of, set_rate
from mnist_ops.optim.schedule import Plan, rate
from mnist_ops.streams import stream


@dataclass(frozen=True, eq=False)
class Progress:
    """The epoch so far. The sums stay on the device, where reading one makes a GPU wait, and go on growing there."""

    batch: int  # from 1
    batches: int
    seen: int  # images
    loss_sum: Tensor  # (), sum over the images seen, nats
    correct: Tensor  # (), images
    lr: float


def train_epoch(model: Network, optimizer: torch.optim.Optimizer, data: Dataset, cfg: Config, *,
                epoch: int, plan: Plan, validation_losses: Sequence[float] = ()) -> Iterator[Progress]:
    """Train epoch number `epoch`, counted from 0, and yield after each step.

    The last `cfg.augment.plain_epochs` of the run train on the images as they are, those before on augmented ones.
    Loss and accuracy are those of these images, each seen once, before the step they cause. Order, warp and
    dropout draw from streams of (seed, epoch)."""
    if epoch >= cfg.epochs - cfg.augment.plain_epochs:
        cfg = replace(cfg, augment=Augment())  # nothing is on
    device = data.train.labels.device
    order, warp, dropout = (stream(cfg.seed, name, epoch, device) for name in ("order", "warp", "dropout"))
    model.feed(dropout)
    model.train()
    total = batch_count(len(data.train), cfg.batch_size)
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), device=device, dtype=torch.int64)
    seen = 0
    for number, index in enumerate(batches(len(data.train), cfg.batch_size, order)):
        lr = rate(plan, epoch * total + number, validation_losses)
        set_rate(optimizer, lr)
        loss, right = step(model, optimizer, training_batch(data, index, cfg, warp), cfg)
        seen += len(index)
        loss_sum += loss * len(index)
        correct += right
        yield Progress(number + 1, total, seen, loss_sum, correct, lr)


def training_batch(data: Dataset, index: Tensor, cfg: Config, generator: Generator) -> tuple[Tensor, Tensor]:
    """Augmented, normalised images (N, 1, 28, 28) and labels (N,) of these training images."""
    fill = data.mean if cfg.augment.fill == "mean" else 0.0
    grey = augment(to_grey(data.train.images[index]), cfg.augment, fill, generator)
    return normalise(grey, data.mean, data.sd), data.train.labels[index]


def step(model: Network, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor],
         cfg: Config) -> tuple[Tensor, Tensor]:
    """One change of the weights. -> mean loss () and number of right answers () before it, on the device."""
    images, labels = batch
    with torch.autocast(images.device.type, torch.bfloat16, enabled=cfg.precision == "bfloat16"):
        logits = model(images)
    loss = loss_of(logits, labels, cfg.optimizer.label_smoothing)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == labels).sum()
