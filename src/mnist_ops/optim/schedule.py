"""The learning rate as a pure function of the step and, for plateau, of the recorded validation losses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mnist_ops.config import Schedule


@dataclass(frozen=True)
class RunSchedule:
    """The schedule of one run."""

    cfg: Schedule
    peak: float  # learning rate
    epochs: int
    steps_per_epoch: int  # of one on all images
    hard_steps: int = 1  # of one on the hardest images, if there are any
    every: int = 1  # one epoch in so many, beginning with the first, is on all images

    def first_step(self, epoch: int) -> int:
        """The first step of an epoch, or after the last one; both are counted from 0."""
        whole = -(-epoch // self.every)
        return whole * self.steps_per_epoch + (epoch - whole) * self.hard_steps

    def epoch_of(self, step: int) -> int:
        """The epoch of a step; both are counted from 0."""
        rounds, rest = divmod(step, self.first_step(self.every))
        return rounds * self.every + max(0, 1 + (rest - self.steps_per_epoch) // self.hard_steps)


def learning_rate(plan: RunSchedule, step: int, validation_losses: Sequence[float] = ()) -> float:
    """The learning rate of `step`, counted from 0 over the whole run.

    one-cycle (Smith and Topin 2018, arXiv:1708.07120) and cosine (Loshchilov and Hutter 2017, arXiv:1608.03983) rise
    over the warm-up share of the steps, one-cycle along a half cosine and cosine along a line, then fall along a half
    cosine; one step always has the peak, and a last one after it the end rate. step multiplies by
    `factor` after each `every` epochs. plateau multiplies by `factor` after each `patience` + 1 epochs in a row whose
    validation loss is not lower than the lowest before."""
    cfg = plan.cfg
    match cfg.name:
        case "constant":
            return plan.peak
        case "step":
            return plan.peak * cfg.factor ** (plan.epoch_of(step) // cfg.every)
        case "plateau":
            return plan.peak * cfg.factor ** plateaus(validation_losses, cfg.patience)
        case "one-cycle" | "cosine":
            pass
    last = plan.first_step(plan.epochs) - 1
    top = round(cfg.warmup * last)
    if step < top:
        risen = step / top
        share = _half_cosine(1, 0, risen) if cfg.name == "one-cycle" else 1 - risen
        return plan.peak * (cfg.start * share + (1 - share))
    fallen = (step - top) / (last - top) if last > top else 0.0
    return plan.peak * _half_cosine(1, cfg.end, fallen)


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How many times `losses` went patience + 1 epochs without a new lowest value; the count restarts after each."""
    lowest, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < lowest:
            lowest, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            found, waited = found + 1, 0
    return found


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
