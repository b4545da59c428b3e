"""Epochs on the images that were hardest in the last epoch on all: which they are, their steps, and a stopped run."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mnist_ops.config import RECIPES, Config, Hard, Schedule
from mnist_ops.data.tensors import Dataset, batches
from mnist_ops.errors import RunError
from mnist_ops.model import layers_of
from mnist_ops.optim import train as training
from mnist_ops.optim.agreement import compile_steps
from mnist_ops.optim.hard import HardImages, hard_images
from mnist_ops.optim.length import fitted, run_schedule, steps_of
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.schedule import RunSchedule, learning_rate
from mnist_ops.optim.train import train_epoch
from mnist_ops.parallel.team import ALONE, Team
from mnist_ops.run.checkpoint import load_checkpoint, save_checkpoint
from mnist_ops.run.folder import read_history
from tests.miniature import CPU, SHORT, few_tensors, generator, network, same_run, stopped, train

QUARTER = replace(SHORT, hard=Hard(share=0.25, every=3), epochs=5, batch_size=16)


def test_the_hardest_are_those_of_the_highest_rank_within_their_batch():
    hard = HardImages(8, 4, 2, CPU)
    hard.note(torch.tensor([6, 1, 3, 0]), torch.tensor([9.0, 8.0, 7.0, 6.0]))  # a first batch: all are hard
    hard.note(torch.tensor([2, 7, 5, 4]), torch.tensor([0.1, 0.4, 0.3, 0.2]))
    hard.choose([torch.tensor([6, 1, 3, 0]), torch.tensor([2, 7, 5, 4])], ALONE)
    assert hard.chosen is not None
    assert hard.chosen.tolist() == [1, 5, 6, 7]


def test_processes_that_see_a_part_of_each_batch_choose_the_same():
    losses, order = torch.rand(40, generator=generator()), list(batches(40, 10, generator(1)))
    whole, first, second = (HardImages(40, 13, 2, CPU) for _ in range(3))
    for index in order:
        whole.note(index, losses[index])
        first.note(index[:5], losses[index[:5]])
        second.note(index[5:], losses[index[5:]])

    def add(losses: torch.Tensor) -> None:
        losses += second.losses

    whole.choose(order, ALONE)
    first.choose(order, Team(0, 2, add=add))
    assert whole.chosen is not None
    assert first.chosen is not None
    assert torch.equal(whole.chosen, first.chosen)


def test_a_share_of_one_is_all_images():
    assert hard_images(SHORT, 60_000, CPU) is None
    found = hard_images(replace(SHORT, hard=Hard(share=0.25)), 60_000, CPU)
    assert found is not None
    assert found.count == 15_000


def test_the_work_of_epochs_is_counted_in_passes_over_all_images():
    hard = Hard(share=0.25, every=4)
    assert [hard.passes(epochs) for epochs in range(6)] == [0, 1, 1.25, 1.5, 1.75, 2.75]
    assert [Hard().passes(epochs) for epochs in (1, 7, 18)] == [1, 7, 18]


def test_few_pictures_are_all_taken_unless_a_share_was_asked_for():
    sprint = RECIPES["sprint"]
    assert sprint.hard.share == 0.25
    assert fitted(sprint, 60_000).hard == sprint.hard
    few, micro = fitted(sprint, 29_999), fitted(RECIPES["micro"], 29_999)
    found = [(one.hard, one.epochs, one.augment.plain_epochs) for one in (few, micro)]
    assert found == [(Hard(), 4, 1), (Hard(), 19, 7)]  # as many steps as 2 epochs of all 60,000
    assert fitted(replace(sprint, epochs=3), 29_999).epochs == 3
    asked = replace(sprint, hard=Hard(share=0.25))
    assert fitted(asked, 29_999).hard == asked.hard


def test_the_rate_falls_over_the_steps_that_there_are():
    config = Config(hard=Hard(share=0.25, every=3), epochs=5, batch_size=128)
    plan = run_schedule(config, 60_000, 0.3)
    assert steps_of(config, 60_000) == plan.first_step(5) == 2 * 469 + 3 * 118
    assert [plan.first_step(epoch) for epoch in range(5)] == [0, 469, 587, 705, 1174]
    assert [plan.epoch_of(step) for step in (0, 468, 469, 586, 587, 704, 705, 1173, 1174, 1291)] == [
        0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert learning_rate(plan, 1291) == pytest.approx(0.3 * config.schedule.end)
    steps = run_schedule(replace(config, schedule=Schedule(name="step", every=2)), 60_000, 0.3)
    assert [learning_rate(steps, steps.first_step(epoch)) for epoch in range(5)] == pytest.approx(
        [0.3, 0.3, 0.03, 0.03, 0.003])


def test_an_epoch_is_on_all_images_or_on_those_that_the_last_such_chose(monkeypatch):
    taken: list[list[int]] = []
    batch = training.training_batch

    def watched(data: Dataset, index: torch.Tensor, *given: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
        taken[-1] += index.tolist()
        return batch(data, index, *given, **named)

    monkeypatch.setattr(training, "training_batch", watched)
    data, model, hard = few_tensors(), network(), hard_images(QUARTER, 96, CPU)
    optimizer, plan = make_optimizer(model, QUARTER.optimizer, 0.1), run_schedule(QUARTER, 96, 0.1)
    assert hard is not None
    chosen: list[list[int]] = []
    for epoch in range(5):
        taken.append([])
        list(train_epoch(model, optimizer, data, QUARTER, epoch=epoch, plan=plan, hard=hard))
        assert hard.chosen is not None
        chosen.append(hard.chosen.tolist())
    assert [sorted(indexes) for indexes in taken] == [list(range(96)), chosen[0], chosen[0], list(range(96)), chosen[3]]
    assert taken[1] != taken[2]
    assert chosen[0] != chosen[3]


def test_compiled_steps_tell_the_losses_of_pytorch(monkeypatch):
    config, data = replace(SHORT, batch_size=96, epochs=1), few_tensors()
    with torch.no_grad():
        images = (data.train.images.float() / 255 - data.mean[0]) / data.sd[0]
        expected = functional.cross_entropy(network().train()(images), data.train.labels, reduction="none")
    assert len(set(expected.tolist())) > 90
    monkeypatch.setattr(HardImages, "choose", lambda *_: None)
    for steps in (None, compile_steps(config, layers_of(config, 10))):
        model, hard = network(), HardImages(96, 24, 2, CPU)
        list(train_epoch(model, make_optimizer(model, config.optimizer, 0.1), data, config, epoch=0,
                         plan=RunSchedule(config.schedule, 0.1, 1, 1), compiled=steps, hard=hard))
        assert torch.allclose(hard.losses, expected, atol=1e-4)


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_stopped_run_goes_on_with_the_images_that_it_had_chosen(tmp_path, after):
    stopped(QUARTER, tmp_path / "half", after=after, batches=1)
    train(QUARTER, tmp_path / "half", resume=True)
    train(QUARTER, tmp_path / "whole")
    same_run(tmp_path / "half", tmp_path / "whole")
    assert len(read_history(tmp_path / "whole")) == 5


@pytest.mark.parametrize("chosen", [
    None, torch.arange(23), torch.arange(73, 97), torch.arange(24.0), torch.arange(24).flip(0), torch.zeros(24, 1),
    "all"])
def test_images_that_no_first_epoch_chose_are_refused(tmp_path, chosen):
    stopped(QUARTER, tmp_path, after=1)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "checkpoint.pt", replace(saved, chosen=chosen))
    with pytest.raises(RunError, match=r"checkpoint.pt: (does not fit|the images chosen as the hardest)"):
        train(QUARTER, tmp_path, resume=True)


def test_a_checkpoint_without_them_is_of_a_run_on_all_images(tmp_path):
    stopped(SHORT, tmp_path / "half", after=1)
    saved = load_checkpoint(tmp_path / "half" / "checkpoint.pt")
    assert saved is not None
    assert saved.chosen is None
    train(SHORT, tmp_path / "half", resume=True)
    train(SHORT, tmp_path / "whole")
    same_run(tmp_path / "half", tmp_path / "whole")
