"""What changes the weights: groups, steps worked by hand, loss worked by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from mnist_ops.config import Optimizer
from mnist_ops.optim.optimizer import loss_of, make_optimizer, set_rate
from tests.miniature import network


class Two(nn.Module):
    """A matrix and a vector, both 1 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(1, 1))
        self.vector = nn.Parameter(torch.ones(1))

    def give(self, gradient: float) -> None:
        for parameter in self.parameters():
            parameter.grad = torch.full_like(parameter, gradient)


def stepped(cfg: Optimizer, gradients: list[float], lr: float = 0.1) -> Two:
    model = Two()
    optimizer = make_optimizer(model, cfg, lr)
    for gradient in gradients:
        model.give(gradient)
        optimizer.step()
    return model


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_reaches_convolution_weights_only(name):
    model = network("early-pool")
    decays = {id(parameter): group["weight_decay"]
              for group in make_optimizer(model, Optimizer(name=name, weight_decay=0.01), 0.1).param_groups
              for parameter in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            expected = 0.01 if isinstance(module, nn.Conv2d) and parameter is module.weight else 0
            assert decays[id(parameter)] == expected


def test_nesterov_momentum_by_hand():
    # v1 = g1 = 2, step (g1 + 0.9 v1) = 3.8; v2 = 0.9 x 2 + 1 = 2.8, step 1 + 0.9 x 2.8 = 3.52; 1 - 0.1 x 7.32 = 0.268.
    model = stepped(Optimizer(momentum=0.9, weight_decay=0), [2, 1])
    assert model.matrix.item() == pytest.approx(0.268)
    assert model.vector.item() == pytest.approx(0.268)


def test_sgd_with_weight_decay_by_hand():
    # The matrix's gradient becomes 2 + 0.5 x 1 = 2.5, and 2.5 + 0.9 x 2.5 = 4.75; the vector's stays 2: 3.8.
    model = stepped(Optimizer(momentum=0.9, weight_decay=0.5), [2])
    assert model.matrix.item() == pytest.approx(1 - 0.475)
    assert model.vector.item() == pytest.approx(1 - 0.38)


def test_sgd_without_momentum_by_hand():
    assert stepped(Optimizer(momentum=0, weight_decay=0), [2, 1]).vector.item() == pytest.approx(1 - 0.3)


def test_adamw_by_hand():
    # The first step of Adam is the rate times the gradient's sign; decay is apart from it: 1 - 0.1 x 0.5, then - 0.1.
    model = stepped(Optimizer(name="adamw", weight_decay=0.5), [3])
    assert model.matrix.item() == pytest.approx(0.85, abs=1e-6)
    assert model.vector.item() == pytest.approx(0.9, abs=1e-6)


def test_the_rate_reaches_every_group():
    model = Two()
    optimizer = make_optimizer(model, Optimizer(momentum=0, weight_decay=0), 1.0)
    set_rate(optimizer, 0.25)
    model.give(1)
    optimizer.step()
    assert (model.matrix.item(), model.vector.item()) == (0.75, 0.75)


LOGITS = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([2, 1])


def by_hand(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        whole = math.log(sum(map(math.exp, row)))
        for place, value in enumerate(row):
            wanted = smoothing / len(row) + (1 - smoothing if place == label else 0)
            total += wanted * (whole - value)
    return total / len(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_with_label_smoothing_by_hand(smoothing):
    assert float(loss_of(LOGITS, LABELS, smoothing)) == pytest.approx(by_hand(LOGITS, LABELS, smoothing), abs=1e-6)


def test_the_loss_of_knowing_nothing_is_the_logarithm_of_the_number_of_classes():
    assert float(loss_of(torch.zeros(7, 10), torch.arange(7))) == pytest.approx(math.log(10))


def test_the_loss_is_computed_in_float32():
    loss = loss_of(LOGITS.to(torch.bfloat16), LABELS)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(by_hand(LOGITS, LABELS, 0), abs=1e-6)  # these logits are exact in bfloat16
