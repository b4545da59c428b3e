"""Learning rates: worked tables, and PyTorch's own schedulers where the definitions agree."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ops.config import Schedule
from mnist_ops.optim.schedule import RunSchedule, learning_rate, plateaus


def rates(cfg: Schedule, peak: float = 1.0, epochs: int = 1, steps: int = 11) -> list[float]:
    plan = RunSchedule(cfg, peak, epochs, steps)
    return [learning_rate(plan, step) for step in range(epochs * steps)]


def sgd(lr: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)


# ---------------------------------------------------------------- worked tables


def test_one_cycle():
    # 11 steps, so the last is number 10; 40 % of it up, along a half cosine: shares (1 - cos(pi k / 4)) / 2 of 0.8.
    found = rates(Schedule(name="one-cycle", warmup=0.4, start=0.2, end=0.0), peak=10.0)
    up = [2, 2 + 8 * 0.146447, 2 + 8 * 0.5, 2 + 8 * 0.853553, 10]
    down = [10 * 0.933013, 10 * 0.75, 10 * 0.5, 10 * 0.25, 10 * 0.066987, 0]
    assert found == pytest.approx(up + down, abs=1e-5)


def test_cosine_rises_along_a_line():
    found = rates(Schedule(name="cosine", warmup=0.4, start=0.2, end=0.1), peak=10.0)
    down = [1 + 9 * share for share in (0.933013, 0.75, 0.5, 0.25, 0.066987, 0)]
    assert found == pytest.approx([2, 4, 6, 8, 10, *down], abs=1e-5)


def test_step_multiplies_after_so_many_epochs():
    found = rates(Schedule(name="step", every=2, factor=0.5), peak=8.0, epochs=5, steps=3)
    assert found == [8] * 6 + [4] * 6 + [2] * 3


def test_constant():
    assert rates(Schedule(name="constant"), peak=0.3) == [0.3] * 11


@pytest.mark.parametrize(("losses", "expected"), [
    ([], 8),
    ([1.0, 0.9, 0.8], 8),  # falls
    ([1.0, 1.0, 1.0], 8),  # two without a lower one are waited for
    ([1.0, 1.0, 1.0, 1.0], 4),  # the third is one too many
    ([1.0, 1.1, 1.1, 1.1, 1.1, 1.1], 4),  # the count starts again
    ([1.0, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1], 2),
    ([1.0, 1.1, 1.1, 0.9, 1.0, 1.0], 8),  # a lower one in time
])
def test_plateau_multiplies_where_the_validation_loss_stops_falling(losses, expected):
    plan = RunSchedule(Schedule(name="plateau", patience=2, factor=0.5), 8.0, 10, 3)
    assert learning_rate(plan, 3 * len(losses), losses) == expected


@pytest.mark.parametrize("name", ["one-cycle", "cosine"])
def test_without_warm_up_the_first_step_has_the_peak(name):
    found = rates(Schedule(name=name, warmup=0.0, end=0.5), peak=2.0)
    assert (found[0], found[-1]) == (2.0, 1.0)


@pytest.mark.parametrize("name", ["one-cycle", "cosine"])
def test_a_run_of_a_few_steps_has_its_peak_among_them(name):
    assert rates(Schedule(name=name), steps=1) == [1]
    assert rates(Schedule(name=name, end=0.1), steps=2) == pytest.approx([1, 0.1])  # step 0.2 x 1 rounds to step 0
    assert rates(Schedule(name=name, start=0.5, end=0.1), steps=4) == pytest.approx([0.5, 1, 0.55, 0.1])  # 0.6 to 1


@given(name=st.sampled_from(["one-cycle", "cosine"]), warmup=st.floats(0, 0.9), start=st.floats(0, 1),
       end=st.floats(0, 1), steps=st.integers(1, 60))
def test_rates_rise_then_fall_between_their_ends_and_the_peak(name, warmup, start, end, steps):
    found = rates(Schedule(name=name, warmup=warmup, start=start, end=end), steps=steps)
    top = found.index(max(found))
    assert max(found) == pytest.approx(1)
    assert found[:top + 1] == sorted(found[:top + 1])
    assert all(first >= second - 1e-12 for first, second in zip(found[top:], found[top + 1:], strict=False))
    assert min(start, end) - 1e-12 <= min(found)
    assert max(found) <= 1 + 1e-12


# ---------------------------------------------------------------- PyTorch's own


@pytest.mark.parametrize(("total", "share"), [(10, 0.3), (40, 0.25), (102, 0.5)])
def test_one_cycle_equals_torch(total, share):
    optimizer = sgd(1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=total, pct_start=share, div_factor=25,
                                                 final_div_factor=100, cycle_momentum=False)
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step() if len(expected) < total else None
    # Theirs has its peak at step share x total - 1, ours at warmup x (total - 1).
    cfg = Schedule(name="one-cycle", warmup=(share * total - 1) / (total - 1), start=1 / 25, end=1 / 2500)
    assert rates(cfg, 0.4, steps=total) == pytest.approx(expected, abs=1e-6)


def test_step_equals_torch():
    optimizer = sgd(0.4)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.2)
    expected = []
    for _ in range(10):
        expected += [optimizer.param_groups[0]["lr"]] * 4
        optimizer.step()
        theirs.step()
    assert rates(Schedule(name="step", every=3, factor=0.2), 0.4, 10, 4) == pytest.approx(expected, abs=1e-9)


def test_cosine_without_warm_up_equals_torch():
    optimizer = sgd(0.4)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=29, eta_min=0.04)
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(Schedule(name="cosine", warmup=0, end=0.1), 0.4, steps=30) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_plateau_equals_torch(patience, seed):
    optimizer = sgd(1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=0, eps=0)
    draw = random.Random(seed)
    losses: list[float] = []
    for epoch in range(40):
        losses.append(round(draw.random() + 1 / (epoch + 1), 1))  # few values, so that some are equal
        theirs.step(losses[-1])
        assert 0.5 ** plateaus(losses, patience) == optimizer.param_groups[0]["lr"]
