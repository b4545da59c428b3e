"""What changes the weights: groups, steps worked by hand, loss worked by hand."""

import copy
import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from mnist_ops.config import Optimizer
from mnist_ops.optim.loss import loss_of
from mnist_ops.optim.optimizers import make_optimizer, orthogonalise, set_rate
from tests.miniature import generator, network


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


class Kernels(nn.Module):
    """A convolution across channels, one of each channel by itself, one vector."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {"across": (6, 4, 3, 3), "alone": (12, 1, 3, 3), "vector": (5,)}
        draw = generator(1)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=draw)))

    def give(self, seed: int) -> None:
        draw = generator(seed)
        for parameter in self.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)


PYTORCHS = {"sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, fused=True),
            "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.999), fused=True)}


@pytest.mark.parametrize("name", PYTORCHS)
def test_many_steps_leave_the_bits_of_pytorchs_own_optimiser(name):
    cfg, ours = Optimizer(name=name, weight_decay=0.01), Kernels()
    theirs = copy.deepcopy(ours)
    groups = [{"params": [theirs.across, theirs.alone], "weight_decay": 0.01},
              {"params": [theirs.vector], "weight_decay": 0.0}]
    optimizer, reference = make_optimizer(ours, cfg, 0.1), PYTORCHS[name](groups)
    for number in range(5):
        ours.give(number)
        theirs.give(number)
        optimizer.step()
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_training_does_not_import_pytorchs_compiler():
    script = ("import sys, torch; from mnist_ops.config import Optimizer; "
              "from mnist_ops.optim.optimizers import make_optimizer\n"
              "for name in ('sgd', 'muon', 'adamw'):\n"
              "    model = torch.nn.Conv2d(1, 2, 3); optimizer = make_optimizer(model, Optimizer(name=name), 0.1)\n"
              "    model(torch.ones(1, 1, 3, 3)).sum().backward(); optimizer.step(); optimizer.zero_grad()\n"
              "    optimizer.load_state(optimizer.state_dict()['state'])\n"
              "print('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("shape", [(6, 36), (36, 6), (16, 16), (12, 9)])
def test_orthogonal_keeps_the_directions_and_makes_the_lengths_nearly_equal(shape):
    matrix = torch.randn(shape, generator=generator(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonalise(matrix)
    assert (u.T @ made @ v.T - torch.eye(min(shape))).abs().max() < 0.35
    assert 0.65 < torch.linalg.svdvals(made).min() <= torch.linalg.svdvals(made).max() < 1.25


def test_of_a_matrix_without_full_rank_only_the_directions_that_it_has_are_made_equal():
    u, _, v = torch.linalg.svd(torch.randn(6, 6, generator=generator(0)))
    made = orthogonalise(u @ torch.diag(torch.tensor([1.0, 0.1, 0.01, 1e-5, 0.0, 0.0])) @ v)
    lengths = torch.linalg.svdvals(made)
    assert 0.65 < lengths[2] <= lengths[0] < 1.25
    assert lengths[3] < 0.01  # at most 485 times as large
    assert torch.equal(orthogonalise(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_muon_has_no_weight_decay():
    groups = make_optimizer(Kernels(), Optimizer(name="muon", weight_decay=0.1), 0.1).param_groups
    assert [group["weight_decay"] for group in groups] == [0.0, 0.0]


def test_muons_steps_have_a_length_that_gradients_do_not_change():
    lengths = []
    for factor in (1.0, 1000.0):
        model = Kernels()
        before = copy.deepcopy(model)
        optimizer = make_optimizer(model, Optimizer(name="muon", momentum=0, orthogonal=0.5), 0.1)
        model.give(3)
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad *= factor
        optimizer.step()
        pairs = zip(model.parameters(), before.parameters(), strict=True)
        lengths.append([float((new - old).detach().norm()) for new, old in pairs])
    (across, alone, vector), (*kernels, longer) = lengths
    assert kernels == pytest.approx([across, alone], rel=1e-3)
    assert longer == pytest.approx(1000 * vector, rel=1e-3)  # as sgd
    # 0.1 x 0.5 times the norm of a matrix with 6 or 9 singular values of about 1; the second has 12 rows, 9 columns
    assert across == pytest.approx(0.05 * 6**0.5, rel=0.25)
    assert alone == pytest.approx(0.05 * (12 / 9)**0.5 * 9**0.5, rel=0.25)


def test_muon_by_hand_without_momentum_and_with():
    # Of a 1x1 matrix the direction is its sign, times what five rounds make of 1. Second step: v = 0.9 x 2 - 1 = 0.8,
    # -1 + 0.9 x 0.8 = -0.28, so back by the same length, though v itself is above 0.
    cfg = Optimizer(name="muon", momentum=0.9, orthogonal=0.5)
    once = stepped(cfg, [2])
    assert once.matrix.item() == pytest.approx(1 - 0.1 * 0.5 * float(orthogonalise(torch.ones(1, 1))))
    assert once.vector.item() == pytest.approx(1 - 0.1 * 3.8)
    assert stepped(cfg, [2, -1]).matrix.item() == pytest.approx(1)


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


def test_a_weighted_loss_counts_each_image_by_its_label():
    weights = torch.arange(LOGITS.shape[1]) + 0.5
    each = [by_hand(LOGITS[[row]], LABELS[[row]], 0.1) * float(weights[LABELS[row]]) for row in range(len(LABELS))]
    assert float(loss_of(LOGITS, LABELS, 0.1, weights)) == pytest.approx(sum(each) / len(each), abs=1e-6)
    assert float(loss_of(LOGITS, LABELS, 0.1, torch.ones(len(weights)))) == pytest.approx(by_hand(LOGITS, LABELS, 0.1))


def test_the_loss_of_knowing_nothing_is_the_logarithm_of_the_number_of_classes():
    assert float(loss_of(torch.zeros(7, 10), torch.arange(7))) == pytest.approx(math.log(10))


def test_the_loss_is_computed_in_float32():
    loss = loss_of(LOGITS.to(torch.bfloat16), LABELS)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(by_hand(LOGITS, LABELS, 0), abs=1e-6)  # these logits are exact in bfloat16
