"""Saved tensors -> network and optimiser, only if they fit exactly: the file may come from a stranger."""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_ops.optim.optimizers import OwnUpdates, Updates


def load_weights(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the weights and buffers into the network. Raises ValueError if names, shapes or types differ."""
    expected = network.state_dict()
    if set(state) != set(expected):
        raise ValueError("the weights are those of another architecture")
    for name, value in expected.items():
        _check(state[name], value)
    network.load_state_dict(dict(state))  # without other attributes of the saved table


def load_state(optimizer: Updates, saved: dict[str, Any]) -> None:
    """Restore the optimiser's state of each parameter; its settings are kept.

    A fused update would write past the end of a tensor smaller than its parameter, so every tensor must have the shape
    and type of the one it replaces. Raises ValueError, KeyError or TypeError if one does not."""
    own = optimizer.after_a_step() if isinstance(optimizer, OwnUpdates) else optimizer.state_dict()
    if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in own["param_groups"]]:
        raise ValueError("the parameters are in other groups")
    if set(saved["state"]) != set(own["state"]):
        raise ValueError("the state is that of other parameters")
    for number, kept in own["state"].items():
        if set(saved["state"][number]) != set(kept):
            raise ValueError("the state is that of another optimiser")
        for name, value in kept.items():
            if isinstance(value, Tensor):
                _check(saved["state"][number][name], value)
            elif type(saved["state"][number][name]) is not type(value):
                raise ValueError("the state holds another kind of value")
    optimizer.load_state(saved["state"])


def _check(value: Any, like: Tensor) -> None:
    """Raise ValueError unless it is a plain tensor in memory with the shape and type of `like`."""
    plain = type(value) is Tensor and value.layout is torch.strided and value.device.type == "cpu"
    if not (plain and value.shape == like.shape and value.dtype == like.dtype):
        raise ValueError("a tensor is of another kind, shape or type")
