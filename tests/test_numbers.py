"""Numbers at the edge, through whole runs: each has a defined outcome, a result or a named error.

- A rate of 0 trains no weight; the statistics of the normalisation still move, so there is a figure.
- A loss or a weight that is not finite ends the run, which keeps its last finished epoch (`experiment.run`).
- A batch of one image is normalised over its own pixels: no network here normalises a map of one pixel
  (`data.tensors.batches` merges a last batch of one into the one before).
- A batch larger than the training set is the training set.
- Training images that are all equal have SD 0 and cannot be scaled: refused (`data.tensors.to_device`)."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mnist_ops.api import train as train_by_name
from mnist_ops.arch.zoo import named_network
from mnist_ops.config import Augment, Optimizer, Schedule, Tune
from mnist_ops.data.dataset import ImageSet
from mnist_ops.errors import ConfigError, TrainingError
from mnist_ops.events import StepDone
from mnist_ops.experiment import run
from mnist_ops.model import initial_network
from mnist_ops.optim import train as training
from mnist_ops.optim.loss import loss_of
from mnist_ops.optim.tune import RangeTest
from mnist_ops.report import style
from mnist_ops.report.findings import gather
from mnist_ops.report.plots import CURVES_PICTURE, RATE_PICTURE, pictures
from mnist_ops.run.checkpoint import load_checkpoint
from mnist_ops.run.folder import read_history, read_json
from mnist_ops.run.trained import load_trained
from tests.miniature import CPU, SHORT, few_digits, of_kind, train

ONE = replace(SHORT, epochs=1)


# ---------------------------------------------------------------- learning rates


@pytest.mark.parametrize("schedule", ["one-cycle", "constant", "cosine", "step"])
def test_a_rate_of_0_trains_no_weight_and_ends_in_a_figure(schedule, tmp_path):
    cfg = replace(SHORT, lr=0.0, schedule=Schedule(name=schedule))
    finished = train(cfg, tmp_path)
    before = initial_network(cfg, named_network(cfg.model), CPU)
    after = load_trained(tmp_path).network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.named_parameters())
    assert not any(torch.equal(value, after[name]) for name, value in before.named_buffers())
    assert {row["last_lr"] for row in finished.history} == {finished.summary["peak_lr"]} == {0.0}
    assert 0 <= finished.summary["test_accuracy"] <= 100


def test_a_rate_of_0_can_be_drawn(tmp_path):
    train(replace(ONE, lr=0.0), tmp_path)
    drawers = {picture.name: draw for picture, draw in pictures(gather(tmp_path, source=few_digits()))}
    with style.look():
        assert len(drawers[CURVES_PICTURE]().axes) >= 3  # accuracy, loss, learning rate
    assert RATE_PICTURE not in drawers


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_a_rate_of_1e30_ends_the_run_with_the_rate_and_the_way_out_named(optimizer, schedule, batch_size, tmp_path):
    cfg = replace(SHORT, lr=1e30, batch_size=batch_size, schedule=Schedule(name=schedule),
                  optimizer=Optimizer(name=optimizer))
    with pytest.raises(TrainingError, match=r"epoch \d.*at the rate [0-9.]+e\+\d\d.*kept\. Try a lower --lr"):
        train(cfg, tmp_path)
    assert not (tmp_path / "summary.json").exists()


def test_a_rate_that_is_just_above_0_and_the_largest_that_is_allowed_are_numbers_and_no_more(tmp_path):
    finished = train(replace(ONE, lr=5e-324), tmp_path / "least")
    assert math.isfinite(finished.summary["test_accuracy"])
    with pytest.raises(ConfigError, match=r"lr: found 1e\+31, expected 'auto' or a number from 0 to 1e\+30"):
        train_by_name(replace(ONE, lr=1e31), out=tmp_path / "most")


def test_a_search_whose_loss_overflows_at_its_first_rate_is_named(tmp_path):
    cfg = replace(SHORT, lr="auto", tune=Tune(lowest=1e5, highest=1e6, steps=20, sweeps=1))
    with pytest.raises(TrainingError, match=r"learning-rate search: the loss (diverged after|hardly falls)"):
        train(cfg, tmp_path)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [1, 4])  # the first step, and one of the second epoch of three steps each
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_epoch(value, at, tmp_path, monkeypatch):
    calls = []

    def broken(*given: Any) -> torch.Tensor:
        calls.append(given)
        loss = loss_of(*given)
        return loss * 0 + value if len(calls) == at else loss

    monkeypatch.setattr(training, "loss_of", broken)
    with pytest.raises(TrainingError, match=rf"epoch {1 + at // 4}, batch 1: the training loss is (nan|inf|-inf) at"):
        train(SHORT, tmp_path)
    kept = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (0 if kept is None else len(kept.history)) == at // 4 == len(read_history(tmp_path))
    assert not (tmp_path / "summary.json").exists()
    monkeypatch.undo()
    if at > 1:  # what was kept is sound: the run can be gone on with, and ends
        assert len(train(SHORT, tmp_path, resume=True).history) == 3


def test_no_file_of_a_run_ever_holds_nan_or_infinity(tmp_path):
    """JSON has no such numbers: other programs would refuse the whole file."""
    train(replace(ONE, lr="auto", tune=Tune(steps=40, sweeps=1, highest=1e4)), tmp_path)
    for name in ("config.json", "lr.json", "summary.json", "history.jsonl"):
        assert not re.search(r"NaN|Infinity", (tmp_path / name).read_text()), name
    search = read_json(tmp_path / "lr.json")
    assert search["stopped_at"] is None or search["stopped_at"] > search["rates"][0]


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize(("images", "batch", "batches"), [
    (33, 32, 1),  # 32 and 1: the one joins the others
    (65, 32, 2),  # 32 and 33
    (34, 32, 2),  # 32 and 2
    (20, 10_000_000, 1),  # more than there are, up to the most that a config allows
    (2, 1, 2), (2, 2, 1), (3, 2, 1),
])
def test_last_batches_of_one_and_batches_larger_than_the_dataset(images, batch, batches, tmp_path):
    events = list(run(replace(ONE, batch_size=batch), few_digits(images, 10), tmp_path))
    steps = [event for event in of_kind(events, StepDone) if event.part == "train"]
    assert [(step.batch, step.batches) for step in steps] == [(number + 1, batches) for number in range(batches)]


def test_a_search_on_fewer_images_than_a_batch_uses_all_of_them(tmp_path):
    cfg = replace(ONE, lr="auto", batch_size=500, tune=Tune(steps=60, sweeps=1))
    assert len(of_kind(run(cfg, few_digits(30, 10), tmp_path), RangeTest)) == 1


@pytest.mark.parametrize(("images", "validation", "left"), [(1, 0, 1), (5, 4, 1), (5, 5, 0)])
def test_less_than_two_training_images_are_refused(images, validation, left, tmp_path):
    with pytest.raises(ConfigError, match=rf"would leave {left} for training; expected at least 2"):
        train(replace(ONE, validation=validation), tmp_path / "run", source=few_digits(images, 10))
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- images


def shaded(shade: int, other: int | None = None) -> Any:
    """The few digits with every training image of one shade, but for one pixel where `other` is given."""
    source = few_digits()
    images = np.full_like(source.train.images, shade)
    if other is not None:
        images[0, 0, 0] = other
    return replace(source, train=ImageSet(images, source.train.labels))


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_images_that_are_all_equal_are_refused_before_a_folder_is_made(shade, tmp_path):
    with pytest.raises(ConfigError, match=rf"all 96 training images of digits have the same grey value {shade}"):
        train(ONE, tmp_path / "run", source=shaded(shade))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changed", [{}, {"augment": Augment(brightness=0.3, contrast=0.3, degrees=10, shift=2)}])
def test_one_pixel_that_differs_in_all_images_is_enough_for_numbers_that_are_finite(changed, tmp_path):
    finished = train(replace(ONE, **changed), tmp_path, source=shaded(128, 129))
    assert math.isfinite(finished.summary["running_train_accuracy"])
    assert 0 < load_trained(tmp_path).sd[0] < 1e-4


def test_a_test_part_whose_images_are_all_equal_is_scored(tmp_path):
    source = few_digits()
    blank = replace(source, test=ImageSet(np.zeros_like(source.test.images), source.test.labels))
    finished = train(ONE, tmp_path, source=blank)
    most = max(np.bincount(source.test.labels)) / len(source.test.labels)
    assert finished.summary["test_accuracy"] <= 100 * most  # one answer to all


def test_images_all_of_one_class_are_learnt(tmp_path):
    source = few_digits()
    same = replace(source, train=ImageSet(source.train.images, np.full_like(source.train.labels, 3)))
    finished = train(replace(SHORT, epochs=2), tmp_path, source=same)
    assert finished.summary["running_train_accuracy"] > 90


