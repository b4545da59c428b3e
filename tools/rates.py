"""Is the rate that `--lr auto` finds as good as the best of a fixed grid? Paired over seeds, on the validation set.

    python tools/rates.py default --epochs 3
    python tools/rates.py seed --epochs 1

Each run trains on the first --images MNIST training images and is judged by its last epoch on the last 5,000. The same
seed has the same first weights, order and augmentation at every rate. The test set is not read.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from mnist_ops.config import Config, recipe
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.source import read
from mnist_ops.device import available_cores
from mnist_ops.events import Finished
from mnist_ops.experiment import run
from mnist_ops.score.statistics import spread

VALIDATION = 5000  # images
Arm: TypeAlias = float | Literal["auto"]


@cache
def source(images: int) -> ImageDataset:
    """The first `images` and the last 5,000 training images; one of them stands in for the test set."""
    whole = read("mnist")
    chosen = np.r_[:images, len(whole.train.labels) - VALIDATION:len(whole.train.labels)]
    train = ImageSet(whole.train.images[chosen], whole.train.labels[chosen])
    return replace(whole, train=train, test=ImageSet(train.images[:1], train.labels[:1]))


@dataclass(frozen=True)
class Validated:
    """How a run ended, on the validation set."""

    accuracy: float  # percent
    loss: float  # nats
    lr: float  # the peak


def validated(task: tuple[Config, int]) -> Validated:
    """One run of a config, on one thread and so many images."""
    config, images = task
    config = replace(config, threads=1, validation=VALIDATION, test_every=0, target=0.0)
    with tempfile.TemporaryDirectory() as folder:
        *_, last = run(config, source(images), Path(folder) / "run")
    assert isinstance(last, Finished)
    row = last.history[-1]
    return Validated(row["validation_accuracy"], row["validation_loss"], last.summary["peak_lr"])


def validate_all(tasks: Sequence[tuple[Config, int]]) -> Iterator[Validated]:
    """The results in the order of the tasks, one run per core."""
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        yield from pool.map(validated, tasks)


def report(arms: Sequence[Arm], found: dict[tuple[Arm, int], tuple[float, float]], seeds: Sequence[int]) -> str:
    """A row per rate, then the best fixed rate and the paired difference of auto to it."""
    lines = ["rate    validation accuracy: mean, SD, every seed"]
    means = {}
    for arm in arms:
        values = [found[arm, seed][0] for seed in seeds]
        means[arm] = statistics.fmean(values)
        each = " ".join(f"{value:.2f}" for value in values)
        lines.append(f"{arm!s:<6}  {means[arm]:.3f}  {spread(values).sd or 0:.3f}  {each}")
    best: Arm = max((arm for arm in arms if arm != "auto"), key=means.__getitem__)
    difference = spread([found["auto", seed][0] - found[best, seed][0] for seed in seeds])
    rates = [found["auto", seed][1] for seed in seeds]
    found_rates = " ".join(f"{rate:.3f}" for rate in rates)
    lines.append(f"auto's peak rates {found_rates}: max/min {max(rates) / min(rates):.2f}")
    text = f"auto minus the best fixed rate, {best}: {difference.mean:+.3f} points"
    if difference.interval is not None:
        text += ", 95 % interval {:+.3f} to {:+.3f}".format(*difference.interval)
    return "\n".join([*lines, f"{text}, n = {difference.n} paired seeds"])


def main() -> None:
    """Run every rate on every seed, one run per core, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.2, 0.4])
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--images", type=int, default=20_000, help="to train on, at most 55,000")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100)
    given = parser.parse_args()
    arms: list[Arm] = ["auto", *given.rates]
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    pairs = list(itertools.product(arms, seeds))
    tasks = [(replace(recipe(given.recipe), lr=arm, seed=seed, epochs=given.epochs), given.images)
             for arm, seed in pairs]
    found: dict[tuple[Arm, int], tuple[float, float]] = {}
    for number, (pair, result) in enumerate(zip(pairs, validate_all(tasks), strict=True), start=1):
        found[pair] = result.accuracy, result.lr
        text = f"{number} of {len(tasks)}: rate {pair[0]}, seed {pair[1]}: {result.accuracy:.2f} %"
        print(text, file=sys.stderr, flush=True)
    print(report(arms, found, seeds))


if __name__ == "__main__":
    main()
