"""The optimisers by name: parameter groups, the state of each parameter, and one update of all.

They update as torch.optim does, SGD and AdamW by its functions, but are not of its class Optimizer: its first use
imports PyTorch's compiler, which takes longer than all other imports except PyTorch itself."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from mnist_ops.config import Optimizer
from mnist_ops.errors import UsageError, brief
from mnist_ops.own_code import MakeOptimizer, name_of

Group: TypeAlias = dict[str, Any]  # params, a list; lr; weight_decay; of Muon also orthogonal, a share of lr

# Five rounds of x -> a x + b (x x') x + c (x x')^2 x bring singular values from 0.0015 to 1 near 1; smaller ones grow
# nearly 485-fold, and 0 stays 0 (Jordan et al. 2024).
ROUNDS, QUINTIC = 5, (3.4445, -4.7750, 2.0315)


class Updates:
    """Groups of parameters, each with its settings, and the state tensors of each parameter, zero at first."""

    keeps: Sequence[str] = ()  # names of these tensors; all but "step" have the parameter's shape

    def __init__(self, groups: Sequence[Group], lr: float | Tensor, *, fused: bool) -> None:
        """`fused`: update all parameters in one call, which PyTorch supports on some devices."""
        self.param_groups: list[Group] = [{**group, "params": list(group["params"]), "lr": lr} for group in groups]
        self.fused = fused
        self.state = {parameter: {name: self._zero(parameter, name) for name in self.keeps}
                      for group in self.param_groups for parameter in group["params"]}

    @staticmethod
    def _zero(parameter: Tensor, name: str) -> Tensor:
        like = parameter.detach()
        if name == "step":  # only CUDA's update reads it on the device
            return torch.zeros((), device=like.device if like.is_cuda else "cpu")
        return torch.zeros_like(like)

    def zero_grad(self) -> None:
        """Reset the gradients."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update each parameter that has a gradient."""
        for group in self.param_groups:
            if parameters := [parameter for parameter in group["params"] if parameter.grad is not None]:
                self._update(group, parameters, [parameter.grad for parameter in parameters])

    def _update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        raise NotImplementedError

    def _kept(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        return [self.state[parameter][name] for parameter in parameters]

    def state_dict(self) -> dict[str, Any]:
        """State and groups, each parameter by its number, counted through all groups; the tensors are not copied."""
        number = {parameter: count for count, parameter in enumerate(self.state)}
        return {"state": {number[parameter]: dict(kept) for parameter, kept in self.state.items() if kept},
                "param_groups": [group | {"params": [number[parameter] for parameter in group["params"]]}
                                 for group in self.param_groups]}

    def load_state(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Copy the tensors of `state_dict()["state"]` into those here; the caller ensures that they fit."""
        for number, kept in enumerate(self.state.values()):
            for name, tensor in kept.items():
                tensor.copy_(state[number][name])


class OwnUpdates(Updates):
    """An optimiser of torch.optim, made by a function of one's own.

    Before each step the first of its groups gets the run's rate, each other one keeps its ratio to the first."""

    def __init__(self, make: MakeOptimizer, parameters: Sequence[nn.Parameter], lr: float) -> None:
        self.make, self.parameters, self.inner = make, parameters, make(parameters)
        if not isinstance(self.inner, torch.optim.Optimizer):
            raise UsageError(f"optimizer: {name_of(make)} made {brief(self.inner)}, expected a torch.optim.Optimizer")
        self.param_groups = self.inner.param_groups
        first = float(self.param_groups[0]["lr"])
        for group in self.param_groups:
            group["ratio"] = float(group["lr"]) / first if first else 1.0
        set_rate(self, lr)

    def zero_grad(self) -> None:
        """Reset the gradients, of parameters in no group too."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update each parameter that has a gradient."""
        self.inner.step()

    def state_dict(self) -> dict[str, Any]:
        """As `Updates` has it; of the groups only what a checkpoint needs, as they may hold anything."""
        state = self.inner.state_dict()
        return {"state": state["state"],
                "param_groups": [{name: group[name] for name in ("params", "lr")} for group in state["param_groups"]]}

    def after_a_step(self) -> dict[str, Any]:
        """`state_dict` after one step, on copies: PyTorch's optimisers have no state before."""
        copies = [nn.Parameter(parameter.detach().clone()) for parameter in self.parameters]
        for one in copies:
            one.grad = torch.zeros_like(one)
        other = OwnUpdates(self.make, copies, 0.0)
        other.step()
        return other.state_dict()

    def load_state(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take over the state; the caller ensures that it fits."""
        self.inner.load_state_dict({**self.inner.state_dict(), "state": state})
        self.param_groups = self.inner.param_groups  # which PyTorch has replaced


class SGD(Updates):
    """Stochastic gradient descent, with Nesterov momentum if momentum is above 0 (Sutskever et al. 2013)."""

    def __init__(self, groups: Sequence[Group], lr: float | Tensor, momentum: float, *, fused: bool) -> None:
        self.momentum = momentum
        self.keeps = ("momentum_buffer",) if momentum else ()
        super().__init__(groups, lr, fused=fused)

    def _update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        velocity: list[Tensor | None] = [*self._kept(parameters, "momentum_buffer")] if self.momentum else (
            [None] * len(parameters))
        sgd(parameters, gradients, velocity, fused=self.fused, foreach=False, weight_decay=group["weight_decay"],
            momentum=self.momentum, lr=group["lr"], dampening=0.0, nesterov=self.momentum > 0, maximize=False)


class Muon(SGD):
    """SGD whose direction is orthogonalised for each parameter in groups whose `orthogonal` is above 0.

    A parameter is a matrix with a row for each output channel. Its step is the nearest matrix with all singular values
    about 1, times the rate, `orthogonal` and, if above 1, the square root of rows over columns, without weight decay.
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/"""

    def _update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        if not group["orthogonal"]:
            super()._update(group, parameters, gradients)
            return
        for parameter, gradient in zip(parameters, gradients, strict=True):
            direction = gradient
            if self.momentum:
                velocity = self.state[parameter]["momentum_buffer"].mul_(self.momentum).add_(gradient)
                direction = gradient.add(velocity, alpha=self.momentum)
            matrix = direction.reshape(len(direction), -1)
            scale = group["orthogonal"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            parameter.sub_(orthogonalise(matrix).reshape(parameter.shape) * (group["lr"] * scale))


class AdamW(Updates):
    """Loshchilov and Hutter 2019, arXiv:1711.05101; its second beta is 0.999."""

    keeps = ("step", "exp_avg", "exp_avg_sq")

    def __init__(self, groups: Sequence[Group], lr: float | Tensor, beta: float, *, fused: bool) -> None:
        self.beta = beta
        super().__init__(groups, lr, fused=fused)

    def _update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        steps = self._kept(parameters, "step")
        adamw(parameters, gradients, self._kept(parameters, "exp_avg"), self._kept(parameters, "exp_avg_sq"), [], steps,
              fused=self.fused, foreach=False, capturable=steps[0].is_cuda, amsgrad=False, beta1=self.beta, beta2=0.999,
              lr=group["lr"], weight_decay=group["weight_decay"], eps=1e-8, maximize=False)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Approximately the nearest matrix with all singular values 1.

    Those of at least 0.0015 of the matrix's norm become 0.68 to 1.21; smaller ones stay below.

    (rows, columns) floating -> the same. Newton-Schulz iteration with the coefficients of `Muon`'s source."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def make_optimizer(model: nn.Module, cfg: Optimizer, lr: float, own: MakeOptimizer | None = None) -> Updates:
    """The optimiser of that name, or that `own` makes of the parameters that are trained.

    Weight decay applies to convolution weights only, not to normalisation or biases, which are vectors; muon has none.
    On a GPU the rate is a tensor there, so that a recorded step reads its current value."""
    if own is not None:
        return OwnUpdates(own, [one for one in model.parameters() if one.requires_grad], lr)
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
    """Its state_dict, with the rate as a number."""
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
            group["lr"].fill_(lr * group.get("ratio", 1.0))
        else:
            group["lr"] = lr * group.get("ratio", 1.0)
