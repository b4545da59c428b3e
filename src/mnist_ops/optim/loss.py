"""The loss of training and evaluation."""

from typing import assert_never

from torch import Tensor
from torch.nn import functional as F

from mnist_ops.config import Optimizer
from mnist_ops.data.tensors import Dataset


def loss_of(logits: Tensor, labels: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy in nats, in float32; label smoothing after Szegedy et al. 2016, arXiv:1512.00567.

    logits (N, classes), labels (N,), weights (classes,) of an image by its label -> ()."""
    if weights is None:
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
    losses = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")
    return (losses * weights[labels]).mean()


def losses_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each image in nats, (N,), in float32, without smoothing or weights."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def class_weights(data: Dataset, cfg: Optimizer) -> Tensor | None:
    """What the images of each class count for in the loss, (classes,); None if all count the same."""
    match cfg.class_weights:
        case "none":
            return None
        case "balanced":
            return data.balance
    assert_never(cfg.class_weights)
