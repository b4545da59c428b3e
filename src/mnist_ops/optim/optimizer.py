"""Parameter groups, optimiser and loss."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnist_ops.config import Optimizer


def make_optimizer(model: nn.Module, cfg: Optimizer, lr: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (Sutskever et al. 2013) or AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Weight decay reaches convolution weights only, never normalisation or biases, which are vectors. On a GPU the rate
    lies there, so that a recorded step reads it anew."""
    rate = torch.tensor(lr, device="cuda") if on_gpu(model) else lr
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": cfg.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if cfg.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=cfg.momentum, nesterov=cfg.momentum > 0, fused=fusable(model))
    return torch.optim.AdamW(groups, lr=rate, betas=(cfg.momentum, 0.999), fused=fusable(model),
                             capturable=on_gpu(model))


def state_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Its state_dict, the rate a number wherever it lies."""
    state = optimizer.state_dict()
    return state | {"param_groups": [group | {"lr": float(group["lr"])} for group in state["param_groups"]]}


def state_names(optimizer: torch.optim.Optimizer) -> set[str]:
    """What the optimiser keeps for each parameter once it has made a step: one tensor of each of these names."""
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer"} if optimizer.defaults["momentum"] else set()
    return {"step", "exp_avg", "exp_avg_sq"}


def fusable(model: nn.Module) -> bool:
    """Whether PyTorch has a fused update, one call for all parameters, on the model's device."""
    return next(model.parameters()).device.type in ("cpu", "cuda")


def on_gpu(model: nn.Module) -> bool:
    """Whether the model is on a CUDA device."""
    return next(model.parameters()).device.type == "cuda"


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
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
