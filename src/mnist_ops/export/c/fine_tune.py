"""Fine-tunes a run's network for weights of few bits, where rounding alone would lose too much.

In every step the convolutions compute with rounded weights, and the gradient of these goes to the weights that are
rounded, as if nothing was (straight-through estimator; Bengio et al. 2013, arXiv:1308.3432). In the end the rounded
weights stay, so the integer network has the same ones.
"""

import copy
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mnist_ops.config import Config, Optimizer, Schedule
from mnist_ops.data.tensors import Dataset, batch_count
from mnist_ops.errors import TrainingError
from mnist_ops.export.c.rounding import LIMITS, bits_of
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import EpochSoFar, train_epoch
from mnist_ops.run.trained import TrainedNetwork, parse_trained, save_trained
from mnist_ops.run.weights import describe_weights, read_weights
from mnist_ops.score.fit_refusal import fit_refusal

EPOCHS = 2
RATE = 0.05     # the highest, of SGD, in batches of at least 128; in proportion less in smaller ones
WARMUP = 0.1    # of the steps
STEP = 1.25     # between weights of 2 bits, of the channel's mean size: the least squared error if they are normal
CLIP = 0.9      # of the channel's largest weight, where those of 4 bits end
KEPT = "fine_tuned"  # what the weights file says of itself: the bits, and of which weights file


class Rounded(nn.Module):
    """Weights (output channels, inputs, kernel, kernel) -> those of so many bits and a unit for each output channel."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weights: Tensor) -> Tensor:
        """The gradient passes unchanged."""
        given, limit = weights.detach(), LIMITS[self.bits]
        sizes = given.abs().flatten(1)
        unit = sizes.mean(1) * STEP / 2 if self.bits == 2 else sizes.amax(1) * CLIP / limit
        unit = unit.clamp(min=torch.finfo(given.dtype).tiny)[:, None, None, None]
        whole = 2 * (given / unit / 2).floor() + 1 if self.bits == 2 else (given / unit).round()
        return whole.clamp(-limit, limit) * unit + (weights - given)  # which is 0


def fine_tune(trained: TrainedNetwork, data: Dataset, config: Config, bits: int, *,
              progress: Callable[[EpochSoFar], None] = lambda _: None) -> TrainedNetwork:
    """The network of a run of `config` after EPOCHS more epochs on `data`; progress is told of each step.

    Batches, augmentation and loss are the run's, without weight decay; the last epoch is without augmentation if the
    run's last is. All randomness comes from the seed. Raises TrainingError if the weights are not finite then."""
    network, data = copy.deepcopy(trained.network), replace(data, mean=trained.mean, sd=trained.sd)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for one in convolutions:
        parametrize.register_parametrization(one, "weight", Rounded(bits_of(one.weight.shape[1], bits)))
    rate = RATE * min(config.batch_size, 128) / 128
    augment = replace(config.augment, plain_epochs=min(1, config.augment.plain_epochs))
    config = replace(config, epochs=EPOCHS, augment=augment,
                     optimizer=replace(config.optimizer, name="sgd", momentum=Optimizer.momentum, weight_decay=0.0))
    plan = RunSchedule(Schedule(warmup=WARMUP), rate, EPOCHS, batch_count(len(data.train), config.batch_size))
    optimizer = make_optimizer(network, config.optimizer, rate)
    for epoch in range(EPOCHS):
        for step in train_epoch(network, optimizer, data, config, epoch=epoch, plan=plan):
            progress(step)
    for one in convolutions:
        parametrize.remove_parametrizations(one, "weight")
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise TrainingError(f"fine-tuning for weights of {bits} bits left weights that are not finite; use --bits "
                            f"{2 * bits}")
    network.eval()
    refusal = None if trained.refusal is None else fit_refusal(network, data, config.seed)
    return replace(trained, network=network, refusal=refusal)


def kept_file(weights: Path, bits: int) -> Path:
    """Where the weights that were fine-tuned from those in the file `weights` are kept: beside them."""
    return weights.with_name(f"{weights.stem}.{bits}bit.safetensors")


def keep(weights: Path, bits: int, tuned: TrainedNetwork) -> None:
    """Write that file."""
    file = kept_file(weights, bits)
    save_trained(file.parent, tuned, name=file.name, more={KEPT: _made_of(weights, bits)})


def kept(weights: Path, bits: int) -> TrainedNetwork | None:
    """The network in that file; None if there is none, or it was made of other weights than are there now.

    Raises RunError, naming the file, as `load_trained`."""
    file = kept_file(weights, bits)
    if not os.path.lexists(file):
        return None
    raw = read_weights(file)
    if describe_weights(file, raw).get(KEPT) != _made_of(weights, bits):
        return None
    return parse_trained(raw, file)


def _made_of(weights: Path, bits: int) -> dict[str, object]:
    return {"bits": bits, "sha256": hashlib.sha256(read_weights(weights, link=True)).hexdigest()}
