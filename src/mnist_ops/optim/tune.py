"""Learning-rate range test: sweep, smooth, suggest, leave no trace. After Smith 2017, arXiv:1506.01186."""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mnist_ops.config import Config, Tune
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.tensors import Dataset, batches, to_device
from mnist_ops.device import activate
from mnist_ops.errors import RunError, TrainingError
from mnist_ops.model import Network, initial_network, layers_of
from mnist_ops.optim.agreement import compile_steps
from mnist_ops.optim.compiled import Compiled, threads_restored
from mnist_ops.optim.length import LARGE
from mnist_ops.optim.loss import class_weights
from mnist_ops.optim.optimizers import make_optimizer, set_rate
from mnist_ops.optim.train import own_draws, step, training_batch
from mnist_ops.own_code import NONE, OwnCode
from mnist_ops.randomness import stream

# Of one sweep, unless fewer are asked for: what a curve needs that can be read.
FEWEST_STEPS, SMALLEST_BATCH, FEWEST_IMAGES = 60, 16, 1920
FALL = 0.2  # nats by which the loss must fall, or a tenth of it: of many classes a small batch shows only some
WHOLE_BATCH = 128  # of smaller ones the largest rate is in proportion (Goyal et al. 2017, arXiv:1706.02677)
SHARE = 5  # on few images: of those the run trains on, the test takes one in so many


@dataclass(frozen=True)
class Suggestion:
    """A learning rate read off the curve, and the smoothed loss there."""

    rate: float
    loss: float


@dataclass(frozen=True)
class RangeTest:
    """A finished range test: one loss per rate, the mean of all sweeps, as far as the shortest got."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # nats, mean over the sweeps
    smoothed: tuple[float, ...]
    suggestions: dict[str, Suggestion]  # steepest, valley, minimum/10
    used: str  # which of them
    lr: float  # peak rate for the schedule: scale x the used suggestion, `most` at most
    stopped_at: float | None  # the rate at which the first sweep diverged


@dataclass(frozen=True)
class SweepStep:
    """Progress of a range test, over all sweeps; `stopped_at` is set on the step at which a sweep diverged."""

    step: int  # from 1
    steps: int
    rate: float
    loss: float
    stopped_at: float | None = None


def search(cfg: Config, source: ImageDataset) -> Iterator[SweepStep | RangeTest]:
    """The range test of a settled config on the training part of its data, from a network of its own seed."""
    device = activate(cfg)
    data = to_device(source, cfg.validation, device)
    layers = layers_of(cfg, len(data.classes))
    compiled: Compiled | None = None
    if cfg.engine == "compiled":
        with suppress(RunError):  # what a run says; here nothing but time depends on it
            compiled = compile_steps(cfg, layers)
    yield from range_test(initial_network(cfg, layers, device), data, cfg, compiled=compiled)


def range_test(model: Network, data: Dataset, cfg: Config, *,
               compiled: Compiled | None = None, code: OwnCode = NONE) -> Iterator[SweepStep | RangeTest]:
    """Sweep the learning rate upwards over copies of `model`, yielding after each step and, last, the result.

    The model, its buffers and every generator outside stay as they are, whatever happens: all work is done on copies,
    and randomness comes from streams of the seed. With `compiled` it computes the steps.
    The test trains on no more images than the run, see `affordable`.
    Raises TrainingError, saying why, where no rate can be suggested."""
    most = cfg.tune.most * min(1, cfg.batch_size / WHOLE_BATCH)
    cfg = affordable(cfg, len(data.train))
    curves = []
    stopped_at: float | None = None
    for number in range(cfg.tune.sweeps):
        losses: list[float] = []
        with threads_restored():
            for moment in _sweep(copy.deepcopy(model), data, cfg, number, compiled=compiled, code=code):
                if math.isfinite(moment.loss):
                    losses.append(moment.loss)
                yield replace(moment, step=number * cfg.tune.steps + moment.step,
                              steps=cfg.tune.sweeps * cfg.tune.steps)
                if moment.stopped_at is not None:
                    stopped_at = min(moment.stopped_at, stopped_at or math.inf)
        curves.append(losses)
    shortest = min(map(len, curves))
    mean = [math.fsum(values) / len(curves) for values in zip(*(curve[:shortest] for curve in curves), strict=True)]
    yield read_off(sweep_rates(cfg.tune)[:shortest], mean, replace(cfg.tune, most=most), stopped_at)


def affordable(cfg: Config, images: int) -> Config:
    """The config with a range test that trains on no more images than the run's epochs of `images`.

    On few images it takes a fifth of them, or FEWEST_IMAGES. Where it would take more, it has fewer sweeps, then fewer
    steps down to FEWEST_STEPS, then smaller batches down to SMALLEST_BATCH: that costs a second."""
    batch, budget = min(cfg.batch_size, images), cfg.epochs * images
    if images < LARGE:
        budget = max(budget // SHARE, min(budget, FEWEST_IMAGES))
    sweeps = min(cfg.tune.sweeps, max(1, budget // (batch * cfg.tune.steps)))
    steps = min(cfg.tune.steps, max(FEWEST_STEPS, budget // batch))
    fitting = min(cfg.batch_size, max(SMALLEST_BATCH, budget // (sweeps * steps)))
    return replace(cfg, batch_size=fitting, tune=replace(cfg.tune, sweeps=sweeps, steps=steps))


def sweep_rates(cfg: Tune) -> list[float]:
    """The rates of a sweep, equally spaced in their logarithm."""
    growth = math.log(cfg.highest / cfg.lowest) / (cfg.steps - 1)
    return [cfg.lowest * math.exp(growth * number) for number in range(cfg.steps)]


def _sweep(model: Network, data: Dataset, cfg: Config, number: int, *,
           compiled: Compiled | None, code: OwnCode) -> Iterator[SweepStep]:
    """One sweep, until the last rate or until the loss diverges. Changes `model`."""
    device = data.train.labels.device
    optimizer = make_optimizer(model, cfg.optimizer, cfg.tune.lowest, code.optimizer)
    warp, dropout = (stream(cfg.seed, f"tune {name}", number, device) for name in ("warp", "dropout"))
    model.feed(dropout)
    model.train()
    indices = _endless(data, cfg, number)
    draws = own_draws(code, cfg.seed, "tune own", number)

    def advance(index: Tensor) -> tuple[Tensor, Tensor]:
        with draws(device):
            return step(model, optimizer, training_batch(data, index, cfg, warp, change=code.augment), cfg,
                        weights=class_weights(data, cfg.optimizer))

    results: Iterator[tuple[Tensor | float, ...]] = map(advance, indices)
    if compiled is not None:
        compiled.load(model, optimizer)
        results = compiled.steps(optimizer, data, cfg, indices, warp=warp, dropout=dropout)
    average = lowest = math.inf
    for count, lr in enumerate(sweep_rates(cfg.tune), start=1):
        set_rate(optimizer, lr)
        loss = float(next(results)[0])
        average = loss if count == 1 else 0.9 * average + 0.1 * loss
        lowest = min(lowest, average)
        diverged = not (math.isfinite(loss) and average <= cfg.tune.diverged * lowest)
        yield SweepStep(count, cfg.tune.steps, lr, loss, lr if diverged else None)
        if diverged:
            return


def _endless(data: Dataset, cfg: Config, number: int) -> Iterator[Tensor]:
    """Full shuffled batches without end; a dataset smaller than a batch is one batch."""
    for repeat in itertools.count():
        order = stream(cfg.seed, f"tune order {number}", repeat, data.train.labels.device)
        for index in batches(len(data.train), cfg.batch_size, order):
            if len(index) >= min(cfg.batch_size, len(data.train)):
                yield index


def read_off(rates: Sequence[float], losses: Sequence[float], cfg: Tune, stopped_at: float | None) -> RangeTest:
    """The suggestions of a finished curve, one loss per rate.

    Raises TrainingError, saying why, where the curve is too short or its loss never falls."""
    if len(losses) < 10:
        raise TrainingError(f"learning-rate search: the loss diverged after {len(losses)} finite steps, at the rate "
                            f"{rates[len(losses) - 1] if losses else cfg.lowest:.3g}, so no rate can be suggested; "
                            "expected at least 10. Lower tune.lowest, look at the data, or give a rate with --lr.")
    smoothed = smooth(losses, cfg.smoothing * cfg.steps)
    bottom = min(range(len(smoothed)), key=smoothed.__getitem__)
    if smoothed[bottom] > smoothed[0] - min(FALL, smoothed[0] / 10):
        raise TrainingError(f"learning-rate search: the loss hardly falls (from {smoothed[0]:.4g}, lowest "
                            f"{smoothed[bottom]:.4g}), so no rate can be suggested. Look at the data, use "
                            "more epochs if the run has few steps, raise tune.highest or tune.steps, or give a rate "
                            "with --lr.")
    places = {"steepest": steepest(smoothed), "valley": valley(smoothed)}
    suggestions = {name: Suggestion(rates[place], smoothed[place]) for name, place in places.items()}
    steps_of_a_decade = math.log(10) / math.log(rates[1] / rates[0])
    suggestions["minimum/10"] = Suggestion(rates[bottom] / 10, _between(smoothed, bottom - steps_of_a_decade))
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), suggestions, cfg.suggestion,
                     min(cfg.most, cfg.scale * suggestions[cfg.suggestion].rate), stopped_at)


def _between(values: Sequence[float], place: float) -> float:
    """The value at a place between two steps, along a line; the first value before the first step."""
    first = max(0, math.floor(place))
    return values[first] + max(0.0, place - first) * (values[first + 1] - values[first])


def smooth(losses: Sequence[float], width: float) -> list[float]:
    """Gaussian kernel of standard deviation `width` steps around each step; symmetric, so nothing is delayed."""
    values = torch.tensor(losses, dtype=torch.float64)
    step_numbers = torch.arange(len(losses), dtype=torch.float64)
    weights = torch.exp(-((step_numbers[:, None] - step_numbers) / width) ** 2 / 2)
    return list(((weights @ values) / weights.sum(1)).tolist())


def steepest(smoothed: Sequence[float]) -> int:
    """Where the loss falls fastest per decade of rate, before its minimum; rates are equally spaced in decades."""
    bottom = min(range(len(smoothed)), key=smoothed.__getitem__)
    return min(range(1, max(bottom, 2)), key=lambda k: smoothed[k + 1] - smoothed[k - 1])


def valley(smoothed: Sequence[float]) -> int:
    """Half way, in steps, down the longest stretch from a loss to a lower one that is never above where it began nor
    below where it ends; after the valley rule of fastai."""
    best = (0, 0)
    for first, loss in enumerate(smoothed):
        lowest = first
        for last in range(first + 1, len(smoothed)):
            if smoothed[last] > loss:
                break
            if smoothed[last] < smoothed[lowest]:
                lowest = last
        if lowest - first > best[1] - best[0]:
            best = (first, lowest)
    return best[0] + (best[1] - best[0]) // 2
