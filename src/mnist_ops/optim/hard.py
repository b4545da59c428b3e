"""Which images an epoch trains on: all, or those that were hardest in the last epoch on all. Knows no network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mnist_ops.config import Config
from mnist_ops.parallel.team import Team


class HardImages:
    """The losses of an epoch on all images, and the images chosen by them when it is over.

    After the "biggest losers" of Jiang et al. 2019, arXiv:1910.00762, who choose in every batch by another pass."""

    def __init__(self, images: int, count: int, every: int, device: torch.device) -> None:
        """images: of the training set; count: how many of them are chosen; every: as in `Hard`."""
        self.count, self.every = count, every
        self.losses = torch.zeros(images, device=device)  # in nats, of the images that this process has seen
        self.chosen: Tensor | None = None  # (count,) int64, ascending

    def are_noted(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is on all images and tells their losses; else it is on those chosen."""
        return epoch % self.every == 0

    def note(self, index: Tensor, losses: Tensor) -> None:
        """The losses, (N,), of these images, (N,), before the step that saw them."""
        self.losses[index] = losses.detach().to(self.losses)

    def choose(self, batches: Sequence[Tensor], team: Team) -> None:
        """Choose the images of the highest rank within their batch: the losses of early batches are all high.

        batches: all of the epoch, each of the indices of its images."""
        team.add(self.losses)
        ranks = torch.empty_like(self.losses)
        for index in batches:
            order = index[self.losses[index].argsort(stable=True)]
            ranks[order] = torch.arange(1, len(index) + 1, device=ranks.device) / len(index)
        self.chosen = ranks.argsort(descending=True, stable=True)[:self.count].sort().values
        self.losses.zero_()  # other processes note the next ones of some

    def restore(self, chosen: Tensor | None) -> None:
        """Take over what was chosen before. Raises ValueError if it cannot be of this run."""
        if chosen is None or chosen.dtype != torch.int64 or chosen.shape != (self.count,) or not (
                bool((chosen.diff() > 0).all()) and 0 <= int(chosen[0]) <= int(chosen[-1]) < len(self.losses)):
            raise ValueError("the images chosen as the hardest are not those of this run")
        self.chosen = chosen.to(self.losses.device)


def hard_images(config: Config, images: int, device: torch.device) -> HardImages | None:
    """Where the config trains on a share of so many images; None where it trains on all."""
    count = config.hard.count(images)
    return HardImages(images, count, config.hard.every, device) if count < images else None
