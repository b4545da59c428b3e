"""Saved tensors -> network and optimiser, only where they fit exactly: whoever saved them may be a stranger."""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_ops.optim.optimizer import state_names


def load_weights(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Put the weights and buffers into the network. Raises ValueError where names, shapes or types are not its own."""
    expected = network.state_dict()
    if set(state) != set(expected):
        raise ValueError("the weights are those of another architecture")
    for name, value in expected.items():
        _check(state[name], value)
    network.load_state_dict(dict(state))  # without what else the saved table may carry


def load_state(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put what the optimiser has kept for each parameter back; its settings stay as they are.

    PyTorch's own check is of numbers of parameters alone, and its fused updates write beyond the end of a tensor that
    is smaller than its parameter: so every tensor must have the parameter's shape and type, and comes to lie in memory
    as the parameter does. Raises ValueError, KeyError or TypeError where one does not."""
    groups = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in groups]:
        raise ValueError("the parameters are in other groups")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    names = state_names(optimizer)
    if not names:
        return
    if set(saved["state"]) != set(range(len(parameters))):
        raise ValueError("the state is that of other parameters")
    state = {number: _beside(parameter, saved["state"][number], names) for number, parameter in enumerate(parameters)}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _beside(parameter: Tensor, saved: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """The saved tensors of one parameter in memory laid out like it."""
    if set(saved) != names:
        raise ValueError("the state is that of another optimiser")
    state = {}
    for name in names:
        like = torch.zeros(()) if name == "step" else parameter.detach()
        _check(saved[name], like)
        state[name] = torch.empty_like(like).copy_(saved[name])
    return state


def _check(value: Any, like: Tensor) -> None:
    """Raise ValueError unless it is a plain tensor in memory with the shape and type of `like`."""
    plain = type(value) is Tensor and value.layout is torch.strided and value.device.type == "cpu"
    if not (plain and value.shape == like.shape and value.dtype == like.dtype):
        raise ValueError("a tensor is of another kind, shape or type")
