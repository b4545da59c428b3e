"""Fits the score that refuses: training images against pictures made of them, beside the finished network."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mnist_ops.data.tensors import Dataset, Split, to_unit
from mnist_ops.model import Network
from mnist_ops.optim.optimizers import AdamW, set_rate
from mnist_ops.randomness import stream
from mnist_ops.score.outliers import outliers
from mnist_ops.score.refusal import MOST_UNITS, Refusal, doubt, looked_at, oddness

SIZE = 0.05  # of the network's parameters: the most that the score may add
FITTED, HELD, FEWEST = 4000, 4000, 100  # images to fit it on; to set its bounds, at most and at least
REFUSED = 0.01  # share of the held images that is refused
UNSURE = 0.02  # share of the held images whose probability is below the limit
STEPS, PER_STEP, RATE = 500, 512, 0.02


def fit_refusal(network: Network, data: Dataset, seed: int) -> Refusal | None:
    """The score for a trained network, on the CPU; None with fewer than FEWEST images to set its bounds, without
    room, or where a number is not finite.

    They are validation images or, without enough of these, a fifth of the training images, which the fit of the score
    does not see. All randomness comes from `seed`."""
    generator = stream(seed, "refusal")
    train, held = _shares(data, generator)
    if len(held) < FEWEST:
        return None
    images = to_unit(train.images)
    own = looked_at(network, train, data.mean, data.sd)
    made = (255 * outliers(images, generator)).round().to(torch.uint8)
    others = looked_at(network, Split(made, train.labels), data.mean, data.sd)
    units = int((SIZE * sum(one.numel() for one in network.parameters()) - 3) / (own[0].shape[1] + 2))
    if units < 1:
        return None
    hidden, output = _fitted(own, others, min(units, MOST_UNITS), generator)
    features, logits = looked_at(network, held, data.mean, data.sd)
    odd = oddness(hidden, output, features, doubt(logits))
    output[-1] -= odd.quantile(1 - REFUSED)
    found = Refusal(hidden, output, logits.softmax(1).amax(1).quantile(UNSURE).reshape(1))
    return found if all(one.isfinite().all() for one in found.tensors().values()) else None


def _shares(data: Dataset, generator: Generator) -> tuple[Split, Split]:
    """Images to fit the score on, and others to set its bounds, on the CPU."""
    order = torch.randperm(len(data.train), generator=generator)
    apart = data.validation
    if apart is not None and len(apart) >= FEWEST:
        return _chosen(data.train, order[:FITTED]), _chosen(apart, torch.arange(len(apart))[:HELD])
    count = min(HELD, len(order) // 5)
    return _chosen(data.train, order[count:count + FITTED]), _chosen(data.train, order[:count])


def _chosen(split: Split, index: Tensor) -> Split:
    index = index.to(split.labels.device)
    return Split(split.images[index].cpu(), split.labels[index].cpu())


def _fitted(own: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], units: int,
            generator: Generator) -> tuple[Tensor, Tensor]:
    """The weights of a `Refusal`, `hidden` and `output`, from features and logits of both.

    Logistic regression of which of the two an image is, by Adam (Kingma and Ba 2015) with a falling rate."""
    features, doubts = torch.cat([own[0], others[0]]), doubt(torch.cat([own[1], others[1]]))
    target = torch.cat([torch.zeros(len(own[0])), torch.ones(len(others[0]))])
    mean, sd = own[0].mean(0), own[0].std(0).clamp(min=1e-3)
    scaled, count = (features - mean) / sd, features.shape[1]
    hidden = ((torch.rand(units, count + 1, generator=generator) * 2 - 1) / count**0.5).requires_grad_()
    output = ((torch.rand(units + 2, generator=generator) * 2 - 1) / units**0.5).requires_grad_()
    optimizer = AdamW([{"params": [hidden, output], "weight_decay": 0.0}], RATE, 0.9, fused=False)
    for step in range(STEPS):
        set_rate(optimizer, RATE * (1 - step / STEPS))
        drawn = torch.randint(len(target), (PER_STEP,), generator=generator)
        found = oddness(hidden, output, scaled[drawn], doubts[drawn])
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(found, target[drawn]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weights, bias = hidden.detach()[:, :-1] / sd, hidden.detach()[:, -1:]  # for features as they are
    return torch.cat([weights, bias - weights @ mean[:, None]], 1), output.detach()

