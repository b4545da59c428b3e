"""Whether an image is of any class at all: a small score beside the network, which costs it nothing.

A layer of a few units reads what the last layer reads; with the doubt in the best class they make one number, the
oddness, above 0 for what is refused. No training here, see `fit_refusal`."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from mnist_ops.arch.arithmetic import Shape, walk
from mnist_ops.arch.layers import Layer
from mnist_ops.data.tensors import Split, normalise, to_unit
from mnist_ops.model import Network

MOST_UNITS = 32
READ, UNSURE, REFUSED, STRANGE = "read", "unsure", "not a character", "none of the classes"
LEAST_DOUBT = 1e-3  # a probability this close to 1 is as good as 1
BATCH = 1000  # images
PREFIX = "refusal."


@dataclass(frozen=True, eq=False)
class Refusal:
    """The score of one network, float32, on the CPU. Features: the last layer's input, flattened."""

    hidden: Tensor  # (units, features + 1): the weight of each feature, and the bias
    output: Tensor  # (units + 2,): the weight of each unit and of the doubt, and the bias
    limit: Tensor  # (1,): accepted images whose probability is below it are unsure

    def share(self, features: Tensor, logits: Tensor) -> float:
        """Percent of the images that are refused."""
        return 100 * float((self.oddness(features, logits) > 0).float().mean())

    def tensors(self) -> dict[str, Tensor]:
        """As they are named in a weights file."""
        return {f"{PREFIX}{one.name}": getattr(self, one.name) for one in fields(self)}

    def oddness(self, features: Tensor, logits: Tensor) -> Tensor:
        """features (N, features), logits (N, classes) -> (N,), above 0 for images to refuse.

        The doubt is log(LEAST_DOUBT + 1 - probability of the best class)."""
        return oddness(self.hidden, self.output, features, doubt(logits))

    def verdicts(self, features: Tensor, logits: Tensor, prepare: str, *,
                 sure: Tensor | None = None) -> list[str]:
        """READ, UNSURE or, by the preparation, REFUSED or STRANGE, for each image.

        sure: (N,) the probabilities of their classes, if they are not the network's largest."""
        refused, odd = refused_word(prepare), self.oddness(features, logits) > 0
        unsure = (logits.softmax(1).amax(1) if sure is None else sure) < self.limit
        return [refused if one else UNSURE if other else READ
                for one, other in zip(odd.tolist(), unsure.tolist(), strict=True)]


def refused_word(prepare: str) -> str:
    """What a refused image is called, by the preparation of pictures."""
    return REFUSED if prepare == "mnist" else STRANGE


def oddness(hidden: Tensor, output: Tensor, features: Tensor, doubts: Tensor) -> Tensor:
    """The same for those weights, and doubts (N,)."""
    units = F.relu(F.linear(features, hidden[:, :-1], hidden[:, -1]))
    return units @ output[:-2] + output[-2] * doubts + output[-1]


def doubt(logits: Tensor) -> Tensor:
    """(N, classes) -> (N,)"""
    return torch.log(LEAST_DOUBT + 1 - logits.softmax(1).amax(1))


def looked_at(network: Network, split: Split, mean: tuple[float, ...], sd: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Features (N, features) and logits (N, classes) of the images of `split`, on the CPU."""
    network.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(split), BATCH):
            images = split.images[start:start + BATCH]
            features = network.body[:-1](normalise(to_unit(images), mean, sd))
            found.append((features.flatten(1), network.body[-1](features).flatten(1)))
    features, logits = (torch.cat(part).cpu() for part in zip(*found, strict=True))
    return features, logits


def take_refusal(tensors: dict[str, Tensor], layers: tuple[Layer, ...], shape: Shape) -> Refusal | None:
    """The score, taken out of the tensors of a weights file of that network; None if it has none.

    Raises ValueError if it does not fit the network or has a number that is not finite, KeyError if it lacks a part."""
    names = [name for name in tensors if name.startswith(PREFIX)]
    if not names:
        return None
    found = Refusal(*(tensors.pop(f"{PREFIX}{one.name}") for one in fields(Refusal)))
    before = walk(layers[:-1], shape)
    features, units = math.prod(before[-1].output_shape if before else shape), len(found.output) - 2
    expected = (units, features + 1), (units + 2,), (1,)
    if tuple(tuple(one.shape) for one in vars(found).values()) != expected or not 0 < units <= MOST_UNITS:
        raise ValueError("the score that refuses is that of another network")
    if not all(one.dtype == torch.float32 and one.isfinite().all() for one in vars(found).values()):
        raise ValueError("the score that refuses has a number that is not finite float32")
    return found
