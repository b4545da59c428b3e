"""Fits `WEIGHTS` of pictures/costs.py; prints them, and how many numbers held apart are read right with them.

    python -m tools.path_weights RUN

The numbers are those of tools/whole_numbers.py, made from MNIST's training digits; two thirds of them are fitted. With
OMP_NUM_THREADS=1 it takes a quarter of an hour on two cores.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.classifier import Classifier, load
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from mnist_ops.pictures.candidates import Candidate, rows_of
from mnist_ops.pictures.costs import features
from mnist_ops.pictures.sampling import shrink
from mnist_ops.pictures.several import LEFT_OUT, LONGEST, best_path
from tools.whole_numbers import GAPS, Number, numbers

COUNT, SEED = 1800, 101  # numbers, and what they are drawn from
EPOCHS, BATCH, RATE, DECAY = 8, 16, 0.05, 1e-3  # of Adam, with a rate that falls to 0; numbers in a step; L2
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Example:
    """The candidates of a number found as one row."""

    row: list[Candidate]
    values: Floats  # (N, features)
    logits: Floats  # (N, 10), of the digits
    text: str  # that is right
    spacing: str


def example(run: str, number: Number) -> Example | None:
    """None if the number is not found as one row."""
    try:
        rows, _ = rows_of(shrink(number.image, LONGEST))
    except DataError:
        return None
    if len(rows) != 1 or not rows[0]:
        return None
    logits = _loaded(run).logits(np.stack([one.seen for one in rows[0]]))
    return Example(rows[0], features(rows[0], logits), logits.astype(np.float64), number.text, number.spacing)


@cache
def _loaded(run: str) -> Classifier:
    torch.set_num_threads(1)
    return load(run)


def likelihood(one: Example, costs: Floats, *, right: bool) -> tuple[float, Floats]:
    """The log of the sum over all paths, or those that give the right text, of exp(-cost), and the share (N, 10) of the
    sum that goes through each candidate read as each digit; -inf if there is no path. costs: (N, 10).

    By the forward-backward algorithm over the cuts and, for the right text, the characters read so far."""
    letters = [int(letter) for letter in one.text] if right else []
    end, length, step = max(candidate.last for candidate in one.row), len(letters), len(letters) > 0
    ways = -costs[:, letters] if right else np.logaddexp.reduce(-costs, 1)[:, None]
    before, after = np.full((2, end + 1, length + 1), -np.inf)
    before[0, 0] = after[end, length] = 0
    for cut in range(1, end + 1):
        before[cut] = before[cut - 1] - LEFT_OUT
        for index, candidate in enumerate(one.row):
            if candidate.last == cut:
                np.logaddexp(before[cut, step:], before[candidate.first, :length + 1 - step] + ways[index],
                             out=before[cut, step:])
    shares, total = np.zeros_like(costs), float(before[end, length])
    if not np.isfinite(total):
        return total, shares
    for cut in range(end - 1, -1, -1):
        after[cut] = after[cut + 1] - LEFT_OUT
        for index, candidate in enumerate(one.row):
            if candidate.first == cut:
                rest = after[candidate.last, step:] + ways[index]
                through = np.exp(before[cut, :length + 1 - step] + rest - total)
                if right:
                    np.add.at(shares[index], letters, through)
                else:
                    shares[index] = through * np.exp(-costs[index] - ways[index])
                np.logaddexp(after[cut, :length + 1 - step], rest, out=after[cut, :length + 1 - step])
    return total, shares


def by_best(one: Example, costs: Floats) -> Floats:
    """The costs (N,) of the best class, as costs (N, 10) that rule out all others."""
    ruled = np.full(one.logits.shape, np.inf)
    ruled[np.arange(len(costs)), one.logits.argmax(1)] = costs
    return ruled


def fit(found: Sequence[Example], seed: int = 0) -> Floats:
    """The weights (features,) of the largest likelihood of the right texts."""
    every, random = np.concatenate([one.values for one in found]), np.random.default_rng(seed)
    scale = np.where(every.std(0) > 0, every.std(0), 1)  # the first feature, which is 1, stays
    mean = np.where(every.std(0) > 0, every.mean(0), 0)
    weights = first = second = np.zeros(every.shape[1])
    steps = EPOCHS * -(-len(found) // BATCH)
    order = np.concatenate([random.permutation(len(found)) for _ in range(EPOCHS)])
    for step, batch in enumerate(np.array_split(order, steps), 1):
        slope = DECAY * weights
        for index in batch:
            one, values = found[index], (found[index].values - mean) / scale
            costs = by_best(one, values @ weights)
            right, wanted = likelihood(one, costs, right=True)
            if np.isfinite(right):
                slope = slope + (wanted - likelihood(one, costs, right=False)[1]).sum(1) @ values / BATCH
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        weights = weights - RATE * (1 - step / steps) * move
    own = weights / scale
    own[0] -= mean @ own
    return own


def right_share(found: Sequence[Example | None], made: Sequence[Number], costs: Callable[[Example], Floats]
                ) -> dict[str, float]:
    """Percent of the numbers read right with those costs (N, 10), by spacing and in all."""
    right = [one is not None and one.text == text(one, costs(one)) for one in found]
    return {spacing: round(100 * float(np.mean([good for good, number in zip(right, made, strict=True)
                                                if spacing in ("all", number.spacing)])), 1)
            for spacing in (*GAPS, "all")}


def text(one: Example, costs: Floats) -> str:
    """What the best path reads."""
    return "".join(str(costs[index].argmin()) for index in best_path(one.row, costs.min(1)))


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    train = read("mnist").train
    made = numbers(list(train.images), train.labels.tolist(), COUNT, SEED)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(example, arguments[0]), made, chunksize=16))
    own = 2 * COUNT // 3
    weights = fit([one for one in found[:own] if one]).round(2)
    shares = right_share(found[own:], made[own:], lambda one: by_best(one, one.values @ weights))
    print(f"WEIGHTS = {tuple(weights.tolist())}\nread right: {shares}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
