"""The learning-rate range test: what it reads off known curves, when it refuses, and that it leaves no trace."""

import dataclasses
import json
import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ops.config import Optimizer, Tune
from mnist_ops.errors import TrainingError
from mnist_ops.model import StreamDropout
from mnist_ops.optim import train as stage
from mnist_ops.optim import tune
from mnist_ops.optim.tune import (
    RangeTest,
    SweepStep,
    affordable,
    range_test,
    read_off,
    smooth,
    steepest,
    sweep_rates,
    valley,
)
from tests.miniature import SHORT, few_tensors, generator, network, of_kind, train

QUICK = replace(SHORT, epochs=100, batch_size=16, tune=Tune(lowest=1e-3, highest=1.0, steps=30, sweeps=2, scale=1.0))


def finished(cfg: Any = QUICK, model: Any = None) -> RangeTest:
    *_, last = range_test(model or network(), few_tensors(), cfg)
    assert isinstance(last, RangeTest)
    return last


# ---------------------------------------------------------------- curves with known answers

CURVE = Tune(lowest=1e-4, highest=10.0, steps=201, smoothing=0.005, scale=1.0)  # 40 steps to the decade


def curve(steep: int, bottom: int) -> list[float]:
    """A logistic fall from 2.3 to 0.3, steepest at one step, then a parabola upwards from another."""
    return [0.3 + 2 / (1 + math.exp((step - steep) / 8)) + max(0, step - bottom) ** 2 / 400 for step in range(201)]


@pytest.mark.parametrize("steep", [70, 100, 125])
def test_steepest_is_where_a_logistic_fall_has_its_turning_point(steep):
    found = read_off(sweep_rates(CURVE), curve(steep, 180), CURVE, None)
    place = min(range(201), key=lambda step: abs(found.rates[step] - found.suggestions["steepest"].rate))
    assert abs(place - steep) <= 1
    assert found.suggestions["steepest"].loss == pytest.approx(1.3, abs=0.08)


def test_steepest_counts_decades_of_rate_and_not_rates():
    # In steps, and so in decades, the slope is greatest at 100; per unit of rate it would be greatest far below.
    losses = curve(100, 180)
    linear = min(range(1, 180), key=lambda k: (losses[k + 1] - losses[k - 1]) / (1.06 ** (k + 1) - 1.06 ** (k - 1)))
    assert linear < 95
    assert steepest(losses) == 100


def test_minimum_by_ten_is_a_decade_below_the_minimum_with_the_loss_there():
    losses = [1 + ((step - 150) / 100) ** 2 for step in range(201)]
    found = read_off(sweep_rates(CURVE), losses, CURVE, None).suggestions["minimum/10"]
    assert found.rate == pytest.approx(sweep_rates(CURVE)[150] / 10)
    assert found.loss == pytest.approx(1 + 0.4**2, abs=0.01)  # 40 steps below


def test_minimum_by_ten_may_fall_between_two_steps():
    cfg = replace(CURVE, lowest=1e-4, highest=1e4, steps=15, smoothing=0.001)  # 1.75 steps to the decade
    losses = [20.0 - 2 * step if step <= 8 else 5.0 + step for step in range(15)]  # the minimum, 4, at step 8
    found = read_off(sweep_rates(cfg), losses, cfg, None).suggestions["minimum/10"]
    assert found.rate == pytest.approx(sweep_rates(cfg)[8] / 10)
    assert found.loss == pytest.approx(20 - 2 * (8 - 1.75))


def test_minimum_by_ten_below_the_first_rate_has_the_loss_of_the_first():
    losses = [1 + ((step - 20) / 20) ** 2 for step in range(201)]
    found = read_off(sweep_rates(CURVE), losses, CURVE, None)
    assert found.suggestions["minimum/10"].rate < CURVE.lowest
    assert found.suggestions["minimum/10"].loss == found.smoothed[0]


def test_valley_is_half_way_down_the_longest_fall():
    rise, fall = [1.8 + 0.01 * step for step in range(20)], [2.0 - 0.01 * step for step in range(101)]
    losses = rise + fall + [3.0] * 80  # falls from step 20 to step 120
    assert valley(losses) == 70


def longest_fall(losses: list[float]) -> tuple[int, int]:
    """By trying all: the first longest stretch that stays between its first value and its last, lower one."""
    stretches = [(first, last) for first in range(len(losses)) for last in range(first + 1, len(losses))
                 if losses[first] == max(losses[first:last + 1]) and losses[last] == min(losses[first:last + 1])]
    return max(stretches, key=lambda one: (one[1] - one[0], -one[0]), default=(0, 0))


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30, unique=True))
def test_valley_agrees_with_trying_all_stretches(losses):
    first, last = longest_fall(losses)
    assert valley(losses) == first + (last - first) // 2


@pytest.mark.parametrize("name", ["steepest", "valley", "minimum/10"])
def test_the_suggestion_that_is_asked_for_is_scaled_to_the_peak(name):
    cfg = replace(CURVE, suggestion=name, scale=3.0)
    found = read_off(sweep_rates(cfg), curve(100, 150), cfg, None)
    assert found.used == name
    assert found.lr == pytest.approx(3 * found.suggestions[name].rate)


@pytest.mark.parametrize("name", ["steepest", "valley"])
def test_a_suggestion_bears_the_smoothed_loss_at_its_rate(name):
    found = read_off(sweep_rates(CURVE), curve(100, 150), CURVE, None)
    suggestion = found.suggestions[name]
    assert found.smoothed[found.rates.index(suggestion.rate)] == suggestion.loss


def test_noise_on_a_curve_moves_the_steepest_point_little():
    cfg = replace(CURVE, smoothing=0.05)
    for seed in range(10):
        draw = random.Random(seed)
        noisy = [loss + draw.gauss(0, 0.1) for loss in curve(100, 180)]
        decades = math.log10(read_off(sweep_rates(cfg), noisy, cfg, None).lr / sweep_rates(cfg)[100])
        assert abs(decades) < 0.1


def test_smoothing_keeps_a_constant_and_delays_nothing():
    assert smooth([2.0] * 20, 3) == pytest.approx([2.0] * 20)
    peak = smooth([0.0] * 10 + [1.0] + [0.0] * 10, 2)
    assert peak.index(max(peak)) == 10
    assert peak == pytest.approx(peak[::-1])


def test_rates_are_equally_spaced_in_their_logarithm_from_the_lowest_to_the_highest():
    assert sweep_rates(Tune(lowest=0.01, highest=100, steps=10)) == pytest.approx(np.geomspace(0.01, 100, 10))


# ---------------------------------------------------------------- refusals


def test_a_loss_that_never_falls_gets_no_suggestion_and_the_reason():
    cfg = replace(QUICK, tune=replace(QUICK.tune, lowest=1e-9, highest=1e-8))
    with pytest.raises(TrainingError, match=r"hardly falls \(from .*\), .* use more epochs .* raise tune.highest"):
        finished(cfg)


def test_a_loss_that_only_rises_gets_no_suggestion():
    with pytest.raises(TrainingError, match="hardly falls"):
        read_off(sweep_rates(CURVE), [1 + step / 10 for step in range(201)], CURVE, None)


def test_a_loss_that_is_not_a_number_from_the_start_gets_no_suggestion_and_the_reason():
    model = network()
    next(model.parameters()).data.fill_(math.inf)
    with pytest.raises(TrainingError, match=r"diverged after 0 finite steps, at the rate 0\.001, so no rate.*--lr"):
        finished(model=model)


def test_a_loss_that_is_infinite_from_the_start_stops_the_sweep_at_once(monkeypatch):
    monkeypatch.setattr(tune, "step", lambda *_, **__: (torch.tensor(math.inf), torch.tensor(0)))
    seen: list[Any] = []
    with pytest.raises(TrainingError, match="diverged after 0 finite steps"):
        seen.extend(range_test(network(), few_tensors(), QUICK))
    assert len(seen) <= QUICK.tune.sweeps


# ---------------------------------------------------------------- real sweeps


def test_a_sweep_reports_every_step_and_ends_with_a_result():
    events = list(range_test(network(), few_tensors(), QUICK))
    steps, result = of_kind(events, SweepStep), events[-1]
    assert isinstance(result, RangeTest)
    assert len(steps) == len(events) - 1 <= 60
    assert steps[0].step == 1
    assert all(step.steps == 60 and math.isfinite(step.loss) for step in steps)
    assert [step.rate for step in steps[:5]] == sweep_rates(QUICK.tune)[:5]
    assert len(result.rates) == len(result.losses) == len(result.smoothed)
    assert set(result.suggestions) == {"steepest", "valley", "minimum/10"}
    assert QUICK.tune.lowest <= result.lr <= QUICK.tune.highest


def test_the_result_averages_the_sweeps():
    events = list(range_test(network(), few_tensors(), QUICK))
    first = {step.rate: step.loss for step in of_kind(events, SweepStep) if step.step <= 30}
    second = {step.rate: step.loss for step in of_kind(events, SweepStep) if step.step > 30}
    result = events[-1]
    assert isinstance(result, RangeTest)
    assert result.losses == pytest.approx([(first[rate] + second[rate]) / 2 for rate in result.rates])
    assert first[result.rates[0]] != second[result.rates[0]]  # other images


def test_the_first_loss_is_that_of_the_network_as_it_is():
    found = finished(replace(QUICK, tune=replace(QUICK.tune, lowest=1e-6)))
    assert found.losses[0] == pytest.approx(math.log(10), abs=0.5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_loss_that_diverges_stops_the_sweep_early_and_the_rate_is_said(optimizer):
    cfg = replace(QUICK, optimizer=Optimizer(name=optimizer), tune=replace(QUICK.tune, highest=1e6, steps=60))
    events = list(range_test(network(), few_tensors(), cfg))
    steps, result = of_kind(events, SweepStep), events[-1]
    stops = [step for step in steps if step.stopped_at is not None]
    assert isinstance(result, RangeTest)
    assert len(stops) == 2
    assert all(step.stopped_at == step.rate for step in stops)
    assert len(steps) < 120
    assert result.stopped_at == min(step.rate for step in stops)
    assert len(result.rates) < 60
    assert max(result.rates) <= max(step.rate for step in stops)


def test_a_sweep_that_does_not_diverge_says_so():
    cfg = replace(QUICK, tune=replace(QUICK.tune, highest=0.3, diverged=1e6))
    assert finished(cfg).stopped_at is None


def test_the_same_seed_gives_the_same_result_and_another_seed_another():
    first, again, other = (finished(replace(QUICK, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first.losses != other.losses


def test_a_dataset_smaller_than_a_batch_is_one_batch():
    assert len(finished(replace(QUICK, batch_size=1000)).losses) > 10


def test_a_result_is_plain_data():
    found = finished()
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))["lr"] == found.lr


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize(("images", "epochs", "batch_size", "expected"), [
    (60_000, 11, 128, (3, 200, 128)),  # 600 batches of 128 are 76,800 images, the run has 660,000
    (60_000, 1, 128, (2, 200, 128)),  # 60,000 images are two sweeps of 25,600
    (30_000, 1, 128, (1, 200, 128)),  # 30,000 are one sweep of 25,600
    (29_999, 5, 128, (1, 200, 128)),  # likewise a fifth of 149,995
    (1437, 88, 32, (3, 200, 32)),  # a fifth of 126,456 is 25,291, and three sweeps are 19,200
    (1437, 11, 128, (1, 60, 52)),  # a fifth of 15,807 is 3,161, or 60 batches of 52
    (96, 167, 16, (1, 200, 16)),
    (96, 60, 16, (1, 120, 16)),  # 1,920 of 5,760 images are 120 batches
    (1437, 1, 5000, (1, 60, 23)),  # 1,437 are 60 batches of 23
    (30, 1, 500, (1, 60, 16)),  # 960 images, the least
])
def test_a_range_test_costs_no_more_than_the_run_and_a_fifth_of_one_on_few_images(images, epochs, batch_size, expected):
    found = affordable(replace(SHORT, epochs=epochs, batch_size=batch_size, tune=Tune()), images)
    assert (found.tune.sweeps, found.tune.steps, found.batch_size) == expected


# ---------------------------------------------------------------- no trace


def everything(model: Any, data: Any) -> list[Any]:
    """All that a range test might touch, as plain values."""
    return [
        {name: value.numpy().tobytes() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(parameter.grad, parameter.requires_grad) for parameter in model.parameters()],
        [bytes(module.generator.get_state().numpy()) for module in model.modules()
         if isinstance(module, StreamDropout) and module.generator],
        data.train.images.numpy().tobytes(),
        torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()),
    ]


@pytest.mark.parametrize("ending", ["finished", "failed", "interrupted", "closed", "refused"])
@pytest.mark.parametrize("training", [True, False])
def test_a_range_test_leaves_no_trace_however_it_ends(ending, training, monkeypatch):
    model, data = network("seed"), few_tensors()
    model.feed(generator(3))
    model.train(training)
    cfg = replace(QUICK, tune=replace(QUICK.tune, steps=20, sweeps=1))
    if ending == "refused":
        cfg = replace(cfg, tune=replace(cfg.tune, lowest=1e-9, highest=1e-8))
    calls: list[int] = []
    real = stage.step

    def failing(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 7 and ending in ("failed", "interrupted"):
            raise MemoryError if ending == "failed" else KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(tune, "step", failing)
    before = everything(model, data)
    sweep: Any = range_test(model, data, cfg)
    if ending == "finished":
        assert isinstance(list(sweep)[-1], RangeTest)
    elif ending == "closed":
        for _ in range(7):
            next(sweep)
        sweep.close()
    else:
        with pytest.raises((MemoryError, KeyboardInterrupt, TrainingError)):
            list(sweep)
    assert len(calls) >= 7
    assert everything(model, data) == before


@pytest.mark.parametrize(("batch_size", "largest"), [(16, 0.125), (64, 0.5), (128, 1.0), (96, 0.75)])
def test_the_largest_rate_is_in_proportion_to_a_batch_below_128(batch_size, largest, monkeypatch):
    monkeypatch.setattr(tune, "_sweep", lambda *_, **__: iter(()))
    monkeypatch.setattr(tune, "read_off", lambda rates, losses, cfg, stopped: cfg.most)
    *_, most = range_test(network(), few_tensors(), replace(SHORT, batch_size=batch_size))
    assert most == largest


def test_training_after_a_range_test_has_the_same_bits_as_without(tmp_path):
    searched = train(replace(QUICK, lr="auto"), tmp_path / "searched")
    train(replace(QUICK, lr=searched.summary["peak_lr"]), tmp_path / "given")
    assert (tmp_path / "searched/model.safetensors").read_bytes() == (tmp_path / "given/model.safetensors").read_bytes()
