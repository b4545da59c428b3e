"""Parameter groups, optimiser and loss."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_ops.config import Optimizer
from mnist_ops.optim.updates import SGD, AdamW, Muon, Updates


def make_optimizer(model: nn.Module, cfg: Optimizer, lr: float) -> Updates:
    """The optimiser of that name.

    Weight decay reaches convolution weights only, never normalisation or biases, which are vectors; muon has none. On a
    GPU the rate lies there, so that a recorded step reads it anew."""
    rate = torch.tensor(lr, device="cuda") if on_gpu(model) else lr
    kernels = {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": cfg.weight_decay}
    vectors = {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0}
    match cfg.name:
        case "sgd":
            return SGD([kernels, vectors], rate, cfg.momentum, fused=fusable(model))
        case "muon":
            return Muon([kernels | {"weight_decay": 0.0, "orthogonal": cfg.orthogonal}, vectors | {"orthogonal": 0.0}],
                        rate, cfg.momentum, fused=fusable(model))
        case "adamw":
            return AdamW([kernels, vectors], rate, cfg.momentum, fused=fusable(model))


def state_of(optimizer: Updates) -> dict[str, Any]:
    """Its state_dict, the rate a number wherever it lies."""
    state = optimizer.state_dict()
    return state | {"param_groups": [group | {"lr": float(group["lr"])} for group in state["param_groups"]]}


def fusable(model: nn.Module) -> bool:
    """Whether PyTorch has a fused update, one call for all parameters, on the model's device."""
    return next(model.parameters()).device.type in ("cpu", "cuda")


def on_gpu(model: nn.Module) -> bool:
    """Whether the model is on a CUDA device."""
    return next(model.parameters()).device.type == "cuda"


def set_rate(optimizer: Updates, lr: float) -> None:
    """The learning rate of every group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def loss_of(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats, in float32; label smoothing after Szegedy et al. 2016, arXiv:1512.00567.

    logits (N, classes), labels (N,) -> ()."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
