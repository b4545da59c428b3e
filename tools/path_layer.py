"""Fits `LAYER` of pictures/costs.py; prints it, and how many numbers held apart are read right with it.

    python -m tools.path_layer RUN

The numbers are those of tools/whole_numbers.py, made from MNIST's training digits, two thirds of them touching; those
held apart are of other digits. With OMP_NUM_THREADS=1 it takes half an hour on two cores.
"""

import base64
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from mnist_ops.data.source import read
from mnist_ops.pictures.costs import UNITS, layered, unpacked
from tools.path_weights import Example, Floats, example, likelihood, right_share
from tools.whole_numbers import numbers

COUNT, HELD, SEED = 9000, 900, 303  # numbers to fit and held apart, and what they are drawn from
DIGITS = 50_000  # of the training set, that the fitted numbers consist of
SPACINGS = ("touching", "touching", "close", "touching", "touching", "wide")
EPOCHS, BATCH, RATE, DECAY = 8, 16, 0.01, 0.01  # of AdamW, with a rate that rises and falls; numbers in a step


def inputs(one: Example) -> Floats:
    """(N, features + 10): the features, and each logit as a share of the row's largest."""
    return np.concatenate([one.values, one.logits / max(float(one.logits.max()), 1e-6)], 1)


def chances(one: Example) -> Floats:
    """The logarithms of the probabilities (N, 10)."""
    return np.asarray(one.logits - np.logaddexp.reduce(one.logits, 1)[:, None])


def fit(found: Sequence[Example], *, epochs: int = EPOCHS, seed: int = 0) -> Floats:
    """The numbers of the layer, as `layered` takes them, of the largest likelihood of the right texts."""
    every, random = np.concatenate([inputs(one) for one in found]), torch.Generator().manual_seed(seed)
    scale = np.where(every.std(0) > 0, every.std(0), 1)
    mean, count = every.mean(0), every.shape[1]
    into, out = (torch.randn(rows, columns + 1, generator=random, dtype=torch.float64) / columns**0.5
                 for rows, columns in ((UNITS, count), (10, UNITS)))
    free = [into, out, torch.zeros(count, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)]
    for one in free:
        one.requires_grad_()
    steps = epochs * -(-len(found) // BATCH)
    optimizer = torch.optim.AdamW(free, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.2)
    order = torch.cat([torch.randperm(len(found), generator=random) for _ in range(epochs)]).numpy()
    for batch in np.array_split(order, steps):
        chosen = [found[index] for index in batch]
        scaled = torch.from_numpy(np.concatenate([(inputs(one) - mean) / scale for one in chosen]))
        costs = _costs(scaled, torch.from_numpy(np.concatenate([chances(one) for one in chosen])), free)
        optimizer.zero_grad()
        costs.backward(_slope(chosen, costs.detach().numpy()))  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    into, out, direct, share = (one.detach().numpy() for one in free)
    into[:, :-1] /= scale
    into[:, -1] -= into[:, :-1] @ mean
    out[:, -1] -= direct / scale @ mean
    return np.concatenate([into.ravel(), out.ravel(), direct / scale, share])


def _costs(scaled: Tensor, known: Tensor, free: list[Tensor]) -> Tensor:
    """What `layered` computes, of scaled inputs."""
    into, out, direct, share = free
    units = torch.relu(scaled @ into[:, :-1].T + into[:, -1])
    return -(units @ out[:, :-1].T + out[:, -1] + (scaled @ direct)[:, None] + share * known)


def _slope(chosen: Sequence[Example], costs: Floats) -> Tensor:
    """Of the mean negative log likelihood of the right texts, by the costs."""
    slopes = []
    for one, own in zip(chosen, np.split(costs, np.cumsum([len(one.row) for one in chosen])[:-1]), strict=True):
        right, wanted = likelihood(one, own, right=True)
        every = likelihood(one, own, right=False)[1]
        slopes.append((wanted - every) / BATCH if np.isfinite(right) else np.zeros_like(own))
    return torch.from_numpy(np.concatenate(slopes))


def packed(layer: Floats) -> str:
    """The numbers as text, rounded to the upper halves of float32; `unpacked` gives them back."""
    bits = layer.astype("<f4").view("<u4").astype(np.int64) + 0x8000
    return base64.b64encode((bits >> 16).astype("<u2").tobytes()).decode()


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    train = read("mnist").train
    images, labels = list(train.images), train.labels.tolist()
    made = numbers(images[:DIGITS], labels[:DIGITS], COUNT, SEED, spacings=SPACINGS)
    held = numbers(images[DIGITS:], labels[DIGITS:], HELD, SEED - 1)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(example, arguments[0]), [*made, *held], chunksize=16))
    text = packed(fit([one for one in found[:COUNT] if one]))
    print("LAYER = (", *textwrap.wrap(text, 112), ")", sep="\n")
    layer = unpacked(text)
    print("read right:", right_share(found[COUNT:], held, lambda one: layered(inputs(one), chances(one), layer)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
