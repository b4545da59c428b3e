"""Batch normalisation over the whole batch of which each process has a slice."""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_ops.parallel.team import Team


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
