"""The score that refuses, for the numbers of the map that the C code's last call reads; float32, also in int8 code."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.export.c import int8
from mnist_ops.export.c.int8 import IntegerNetwork
from mnist_ops.export.c.steps import Stage
from mnist_ops.export.forward import BATCH, with_channels
from mnist_ops.score.refusal import LEAST_DOUBT, Refusal, oddness


def of_map(refusal: Refusal | None, network: IntegerNetwork | Sequence[Stage]) -> Refusal | None:
    """The same score for that map, whose numbers are integers in int8; None if the image itself is the map."""
    stages = network.stages if isinstance(network, IntegerNetwork) else network
    if refusal is None or len(stages) < 2:
        return None
    if not isinstance(network, IntegerNetwork):
        return refusal
    grid = network.stages[-2].grid
    assert grid is not None
    weights = refusal.hidden[:, :-1] * grid.unit
    bias = refusal.hidden[:, -1:] - grid.zero * weights.sum(1, keepdim=True)
    return replace(refusal, hidden=torch.cat([weights, bias], 1))


def of_integers(score: Refusal, network: IntegerNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The oddness (N,) of images by the integer reference, for the score of its map."""
    found = []
    for start in range(0, len(images), BATCH):
        maps = int8.run(network.stages[:-1], with_channels(images[start:start + BATCH]).astype(np.float64))
        logits = int8.run(network.stages[-1:], maps).reshape(len(maps), -1).astype(np.int64) - network.zero
        doubts = np.log(LEAST_DOUBT + 1 - int8.probabilities(network, logits).max(1) / 32768)
        features, doubts = torch.from_numpy(maps).flatten(1).float(), torch.from_numpy(doubts).float()
        found.append(oddness(score.hidden, score.output, features, doubts).numpy())
    return np.concatenate(found)
