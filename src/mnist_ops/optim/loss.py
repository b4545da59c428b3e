"""The loss of training and evaluation."""

from torch import Tensor
from torch.nn import functional as F


def loss_of(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats, in float32; label smoothing after Szegedy et al. 2016, arXiv:1512.00567.

    logits (N, classes), labels (N,) -> ()."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
