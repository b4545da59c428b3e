"""Sharing a batch: every image once, the same gradients, draws, statistics and logits as one process has.

The processes of a team are threads here, whose sums meet at a barrier; tests/test_distributed.py has real ones."""

import contextlib
import copy
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mnist_ops.arch.layers import Conv, Norm, ReLU, Residual, without_norm
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.config import Augment, Optimizer, Tune
from mnist_ops.data.source import read
from mnist_ops.data.tensors import to_device
from mnist_ops.errors import UsageError
from mnist_ops.events import EpochDone, Event, Finished, Started
from mnist_ops.experiment import run
from mnist_ops.model import Network, build, layers_of
from mnist_ops.optim.train import share_statistics, slice_gradient, training_batch
from mnist_ops.parallel.team import LEAST, Slice, Team
from mnist_ops.run.checkpoint import load_checkpoint
from mnist_ops.run.folder import read_history, read_json
from mnist_ops.score import evaluate as evaluation_stage
from mnist_ops.score.evaluate import evaluate, evaluation
from mnist_ops.sync_norm import SyncNorm, synchronise
from tests.miniature import CPU, SHORT, few_digits, few_tensors, generator, network, of_kind, train

Result = TypeVar("Result")
PLAIN = replace(SHORT, norm="none", lr=0.05)  # Adam would make steps of what is rounding alone
MOVING = Augment(brightness=0.2, contrast=0.2, perspective=0.2, degrees=10.0, shift=2.0)


def in_threads(size: int, work: Callable[[Team], Result]) -> list[Result]:
    """The results of `work` in `size` threads, each with its place in one team."""
    barrier = threading.Barrier(size, timeout=60)
    values: list[Any] = [None] * size
    told: list[bytes] = []

    def member(rank: int) -> Result:
        heard = 0

        def add(tensor: Tensor) -> None:
            values[rank] = tensor.clone()
            barrier.wait()
            tensor.copy_(torch.stack(values).sum(0))
            barrier.wait()

        def tell(value: Any) -> Any:
            nonlocal heard
            if rank == 0:
                content = io.BytesIO()
                torch.save(value, content)
                told.append(content.getvalue())
            barrier.wait()
            heard += 1
            return torch.load(io.BytesIO(told[heard - 1]), weights_only=True)

        try:
            return work(Team(rank, size, add, tell))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return [task.result() for task in [pool.submit(member, rank) for rank in range(size)]]


def losses(path: Path) -> list[float]:
    return [row[name] for row in read_history(path) for name in ("train_loss", "test_loss")]


# ---------------------------------------------------------------- slices


@given(st.integers(1, 300), st.integers(1, 40))
def test_slices_cover_a_batch_once_evenly_and_leave_nobody_a_single_image(count, size):
    slices = [Team(rank, size).slice(count) for rank in range(size)]
    assert torch.cat([part.of(torch.arange(count)) for part in slices]).tolist() == list(range(count))
    lengths = [part.last - part.first for part in slices]
    taken = [length for length in lengths if length]
    assert min(taken) >= min(LEAST, count)
    assert max(taken) - min(taken) <= 1
    assert sum(part.share for part in slices) == pytest.approx(1)


def test_a_batch_too_small_for_the_team_is_refused_with_what_would_do():
    Team(0, 3).check_batch(6)
    with pytest.raises(UsageError, match="batch_size: 5 images for 3 processes, expected at least 6, 2 each"):
        Team(0, 3).check_batch(5)


def test_a_process_with_another_config_names_the_fields_but_for_its_threads():
    Team(1, 2).check_same({"seed": 1, "threads": 2}, {"seed": 1, "threads": 8})
    with pytest.raises(UsageError, match="process 1 of this job has another seed, data than process 0"):
        Team(1, 2).check_same({"seed": 1, "lr": 1.0, "data": "mnist"}, {"seed": 2, "lr": 1.0})


# ---------------------------------------------------------------- one batch


@pytest.mark.parametrize("count", [7, 3, 1])
def test_gradients_of_slices_add_up_to_that_of_the_batch_however_uneven(count):
    """Dropout, label smoothing and weights on; a batch of 3 or 1 leaves processes without an image."""
    cfg = replace(PLAIN, model="seed", optimizer=Optimizer(label_smoothing=0.1))
    data, size, index = few_tensors(), 3, torch.arange(count)

    def gradients(parts: list[Slice]) -> tuple[Tensor, float, int]:
        model = build(layers_of(cfg, 10), INPUT, generator())
        model.train()
        loss, right = 0.0, 0
        for part in parts:
            model.feed(generator(7), part)
            batch = training_batch(data, index, cfg, generator(), part=part)
            found = slice_gradient(model, batch, cfg, part.share, weights=data.balance)
            loss, right = loss + float(found[0]), right + int(found[1])
        flat = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])
        return flat, loss, right

    whole = gradients([Slice(0, count, count)])
    shared = gradients([Team(rank, size).slice(count) for rank in range(size)])
    torch.testing.assert_close(shared[0], whole[0], rtol=1e-4, atol=1e-6)
    assert shared[1:] == pytest.approx(whole[1:], rel=1e-5)


def test_each_image_of_a_slice_is_augmented_as_in_the_whole_batch():
    data, index = few_tensors(), torch.randperm(31, generator=generator(1))
    cfg = replace(SHORT, augment=MOVING)
    images, labels = training_batch(data, index, cfg, generator(5))
    parts = [training_batch(data, index, cfg, generator(5), part=Team(rank, 4).slice(31)) for rank in range(4)]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), images, rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_dropout_takes_the_same_elements_in_one_process_and_in_three():
    model = network("seed")
    kept = []
    for part in (Slice(0, 10, 10), *(Team(rank, 3).slice(10) for rank in range(3))):
        model.feed(generator(2), part)
        kept.append(model.body[2](torch.ones(part.last - part.first, 10, 26, 26)) != 0)  # the first dropout
    assert torch.equal(torch.cat(kept[1:]), kept[0])
    assert not kept[0].all()


# ---------------------------------------------------------------- normalisation


@pytest.mark.parametrize(("count", "size"), [(9, 2), (2, 3)])
def test_synchronised_normalisation_is_that_of_the_whole_batch_forward_and_backward(count, size):
    """Against torch.nn.BatchNorm2d on all images at once; channels far from 0 would lose digits in a sum of squares."""
    images = torch.randn(count, 4, 5, 5, generator=generator()) * 0.1 + torch.tensor([0.0, 1, 30, -100])[:, None, None]
    weights = torch.randn(count, 4, 5, 5, generator=generator(1))
    expected, input_ = nn.BatchNorm2d(4), images.clone().requires_grad_()
    output = expected(input_)
    (output * weights).sum().backward()

    def work(team: Team) -> tuple[Tensor, Tensor, SyncNorm]:
        part = team.slice(count)
        norm, own = SyncNorm(nn.BatchNorm2d(4), team), part.of(images).clone().requires_grad_()
        made = norm(own)
        (made * part.of(weights)).sum().backward()
        assert own.grad is not None
        return made.detach(), own.grad, norm

    found = in_threads(size, work)
    torch.testing.assert_close(torch.cat([one[0] for one in found]), output.detach(), rtol=1e-3, atol=1e-3)
    assert input_.grad is not None
    torch.testing.assert_close(torch.cat([one[1] for one in found]), input_.grad, rtol=1e-3, atol=2e-3)
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(found[-1][2].get_buffer(name), buffer, rtol=1e-4, atol=1e-5)
    scale = torch.stack([one[2].weight.grad for one in found if one[2].weight.grad is not None]).sum(0)
    torch.testing.assert_close(scale, expected.weight.grad, rtol=1e-3, atol=2e-3)


def test_a_synchronised_network_has_the_same_state_and_answers():
    model = network()
    before, images = copy.deepcopy(model), torch.rand(3, 1, 28, 28, generator=generator())
    synchronise(model, Team(0, 2))
    assert [type(one) for one in model.modules()].count(SyncNorm) == 5
    assert list(model.state_dict()) == list(before.state_dict())
    assert torch.equal(model.eval()(images), before.eval()(images))


def test_running_statistics_become_the_mean_of_all_processes_own():
    def work(team: Team) -> tuple[Network, Network]:
        model = network().train()
        model(torch.rand(8, 1, 28, 28, generator=generator(team.rank)))
        own = copy.deepcopy(model)
        share_statistics(model, team)
        return own, model

    (first, shared), (second, other) = in_threads(2, work)
    for name, value in shared.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
        if "running" in name:
            mean = (first.state_dict()[name] + second.state_dict()[name]) / 2
            torch.testing.assert_close(value, mean, rtol=1e-6, atol=1e-7)


def test_without_normalisation_the_convolutions_before_it_get_a_bias():
    residual = Residual((Conv(4, padding=1), Norm(), ReLU()))
    found = without_norm((Conv(4), Norm(), ReLU(), residual, Conv(10, kernel=1)))
    assert found == (Conv(4, bias=True), ReLU(), Residual((Conv(4, padding=1, bias=True), ReLU())), Conv(10, kernel=1))
    assert without_norm(found) == found
    assert not any(isinstance(layer, Norm) for name in MODELS for layer in layers_of(replace(PLAIN, model=name), 10))


# ---------------------------------------------------------------- evaluation


@pytest.mark.parametrize("size", [2, 5])
def test_every_image_is_evaluated_once_with_the_same_bits(size, monkeypatch):
    """40 test images in batches of 15: three batches for five processes, the last of them short."""
    monkeypatch.setattr(evaluation_stage, "BATCH", 15)
    data, model = few_tensors(), network()
    alone = evaluate(model, data.test, data.mean, data.sd)
    seen: list[int] = []

    def work(team: Team) -> Any:
        *parts, last = evaluation(copy.deepcopy(model), data.test, data.mean, data.sd, team=team)
        seen.append(sum(getattr(part, "seen", 0) for part in parts[-1:]))
        return last

    for found in in_threads(size, work):
        assert torch.equal(found.logits, alone.logits)
        assert torch.equal(found.labels, alone.labels)
    assert sum(seen) == 40


# ---------------------------------------------------------------- whole runs


@pytest.mark.parametrize(("changed", "size"), [
    ({}, 2), ({"batch_size": 19}, 3),  # 96 images: four batches of 19 and one of 20
    ({"batch_size": 31}, 2),  # the last batch has 3 images, too few for two processes
    ({"model": "seed", "augment": MOVING}, 2),  # which drops 5 % of every feature map
], ids=["plain", "uneven", "lone", "dropout"])
def test_a_team_has_the_losses_of_one_process(changed, size, tmp_path):
    cfg = replace(PLAIN, **changed)
    train(cfg, tmp_path / "one")
    events = in_threads(size, lambda team: list(run(cfg, few_digits(), tmp_path / "team", team=team)))
    assert losses(tmp_path / "team") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert len(set(losses(tmp_path / "one"))) == 6
    assert isinstance(events[0][-1], Finished)
    assert events[0][-1].summary["processes"] == size
    assert not of_kind(events[1], Started) + of_kind(events[1], EpochDone) + of_kind(events[1], Finished)


def test_synchronised_normalisation_makes_the_number_of_processes_no_matter(tmp_path):
    """Two and three to rounding. One process computes in PyTorch's own order of summation, which training magnifies."""
    cfg = replace(SHORT, norm="synchronised", augment=MOVING, lr=0.01, epochs=2)
    train(cfg, tmp_path / "1")
    for size in (2, 3):
        path = tmp_path / str(size)
        in_threads(size, lambda team, path=path: list(run(cfg, few_digits(), path, team=team)))  # type: ignore[misc]
    assert losses(tmp_path / "3") == pytest.approx(losses(tmp_path / "2"), abs=1e-4)
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), abs=1e-3)
    in_threads(2, lambda team: list(run(replace(cfg, norm="batch"), few_digits(), tmp_path / "own", team=team)))
    assert losses(tmp_path / "own") != pytest.approx(losses(tmp_path / "1"), abs=1e-3)


def test_the_leader_finds_the_rate_that_one_process_finds(tmp_path):
    cfg = replace(SHORT, epochs=1, lr="auto", batch_size=16,
                  tune=Tune(lowest=1e-3, highest=1.0, steps=30, sweeps=1, scale=1.0))
    alone = train(cfg, tmp_path / "one").summary["peak_lr"]
    in_threads(2, lambda team: list(run(cfg, few_digits(), tmp_path / "team", team=team)))
    assert read_json(tmp_path / "team" / "summary.json")["peak_lr"] == alone
    assert read_json(tmp_path / "team" / "lr.json")["lr"] == alone


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_a_run_goes_on_with_another_number_of_processes(before, after, tmp_path):
    cfg = replace(PLAIN, validation=16)
    train(cfg, tmp_path / "whole")

    def begin(team: Team) -> None:
        events: Any = run(cfg, few_digits(), tmp_path / "run", team=team)
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, EpochDone) and event.row["epoch"] == 2:
                    raise InterruptedError

    with pytest.raises((InterruptedError, threading.BrokenBarrierError)):
        in_threads(before, begin)
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved is not None
    assert len(saved.history) == 2
    events: list[list[Event]] = in_threads(
        after, lambda team: list(run(cfg, few_digits(), tmp_path / "run", resume=True, team=team)))
    assert of_kind(events[0], Started)[0].epochs_done == 2
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_a_team_learns_with_the_statistics_of_each_slice(tmp_path):
    data = to_device(read("digits"), 0, CPU)
    cfg = replace(SHORT, lr=0.2, epochs=2)
    in_threads(2, lambda team: list(run(cfg, read("digits"), tmp_path / "team", team=team)))
    assert len(data.test) == 360
    assert read_json(tmp_path / "team" / "summary.json")["test_accuracy"] > 80
