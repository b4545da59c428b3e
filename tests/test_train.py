"""Training: an epoch against a plain loop, its randomness, and that it learns real digits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mnist_ops.config import RECIPES, Augment, Config, Optimizer, Schedule
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Dataset, Split, batch_count, batches, to_device
from mnist_ops.model import Network, StreamDropout
from mnist_ops.optim import train as stage
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.schedule import RunSchedule, learning_rate
from mnist_ops.optim.train import EpochSoFar, train_epoch, training_batch
from mnist_ops.randomness import stream
from mnist_ops.score.evaluate import evaluate
from tests.miniature import CPU, SHORT, few_digits, few_tensors, generator, network

SCHEDULES = ["one-cycle", "step", "cosine", "plateau", "constant"]


def fit(model: Network, data: Dataset, cfg: Config, losses: Sequence[float] = ()) -> list[EpochSoFar]:
    """All epochs. The last progress of each."""
    lr = float(cfg.lr)
    optimizer = make_optimizer(model, cfg.optimizer, lr)
    plan = RunSchedule(cfg.schedule, lr, cfg.epochs, batch_count(len(data.train), cfg.batch_size))
    return [list(train_epoch(model, optimizer, data, cfg, epoch=epoch, plan=plan, validation_losses=losses[:epoch]))[-1]
            for epoch in range(cfg.epochs)]


def weights(model: Network) -> Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def trained(cfg: Config, model: str = "early-pool") -> Tensor:
    made = network(model)
    fit(made, few_tensors(), cfg)
    return weights(made)


# ---------------------------------------------------------------- one epoch


def test_the_last_epochs_see_the_images_as_they_are():
    turned = replace(SHORT, epochs=2, augment=Augment(degrees=30.0))
    never, once, always = (trained(replace(turned, augment=replace(turned.augment, plain_epochs=count)))
                           for count in (2, 1, 0))
    assert torch.equal(never, trained(replace(SHORT, epochs=2)))
    assert not torch.equal(once, never)
    assert not torch.equal(once, always)


def test_an_epoch_equals_a_plain_loop():
    data, cfg, lr = few_tensors(100), replace(SHORT, epochs=1), 0.1  # the last of four batches is a small one
    made, plain = network(), network()
    progress = fit(made, data, cfg)[0]
    plan = RunSchedule(cfg.schedule, lr, 1, 4)
    velocity = [torch.zeros_like(parameter) for parameter in plain.parameters()]
    loss_sum, right = 0.0, 0
    for number, index in enumerate(batches(100, 32, stream(cfg.seed, "order", 0))):
        images = (data.train.images[index].float() / 255 - data.mean[0]) / data.sd[0]
        logits = plain(images)
        loss = F.cross_entropy(logits, data.train.labels[index])
        loss_sum += float(loss.detach()) * len(index)
        right += int((logits.argmax(1) == data.train.labels[index]).sum())
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        with torch.no_grad():
            for parameter, gradient, speed in zip(plain.parameters(), gradients, velocity, strict=True):
                slope = gradient + (2e-4 * parameter if parameter.dim() > 1 else 0)
                speed.mul_(0.9).add_(slope)
                parameter.sub_(learning_rate(plan, number) * (slope + 0.9 * speed))
    torch.testing.assert_close(weights(made), weights(plain), rtol=1e-3, atol=1e-4)
    assert float(progress.loss_sum) == pytest.approx(loss_sum, rel=1e-4)
    assert int(progress.correct) == right


def test_progress_counts_batches_and_images_and_follows_the_schedule():
    data, cfg = few_tensors(100), replace(SHORT, epochs=4)
    model = network()
    plan = RunSchedule(cfg.schedule, 0.1, 4, 4)
    steps = list(train_epoch(model, make_optimizer(model, cfg.optimizer, 0.1), data, cfg, epoch=2, plan=plan))
    assert [step.batch for step in steps] == [1, 2, 3, 4]
    assert [step.seen for step in steps] == [32, 64, 96, 100]
    assert {step.batches for step in steps} == {4}
    assert [step.lr for step in steps] == [learning_rate(plan, number) for number in (8, 9, 10, 11)]


def test_batches_have_the_shape_scale_and_labels_of_their_images():
    data = few_tensors()
    index = torch.tensor([5, 0, 17])
    images, labels = training_batch(data, index, SHORT, generator())
    assert images.shape == (3, 1, 28, 28)
    assert images.dtype == torch.float32
    assert torch.equal(labels, data.train.labels[index])
    torch.testing.assert_close(images, (data.train.images[index] / 255 - data.mean[0]) / data.sd[0])


@pytest.mark.parametrize("fill", ["mean", "black"])
def test_what_comes_in_at_the_edge_is_the_mean_or_black_after_scaling(fill):
    data = few_tensors()
    white = replace(data, train=Split(torch.full_like(data.train.images, 255), data.train.labels))
    away = replace(SHORT, augment=Augment(shift=20, fill=fill))
    images, _ = training_batch(white, torch.arange(96), away, generator())
    expected = 0.0 if fill == "mean" else -data.mean[0] / data.sd[0]  # the scaled mean is 0
    assert float(images.min()) == pytest.approx(expected, abs=1e-5)
    assert float(((images - expected).abs() < 1e-5).double().mean()) > 0.3


def test_augmentation_changes_what_is_trained_on_and_not_the_dataset():
    data = few_tensors()
    before = data.train.images.clone()
    index = torch.arange(32)
    plain, _ = training_batch(data, index, SHORT, generator())
    changed, labels = training_batch(data, index, replace(SHORT, augment=RECIPES["seed"].augment), generator())
    assert all(not torch.equal(one, other) for one, other in zip(plain, changed, strict=True))
    assert torch.equal(labels, data.train.labels[:32])
    assert torch.equal(data.train.images, before)


# ---------------------------------------------------------------- randomness


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    cfg = replace(SHORT, epochs=2, augment=RECIPES["seed"].augment)
    assert torch.equal(trained(cfg, "seed"), trained(cfg, "seed"))
    assert not torch.equal(trained(cfg), trained(replace(cfg, seed=1)))


def test_training_neither_reads_nor_moves_global_randomness():
    cfg = replace(SHORT, epochs=1, augment=RECIPES["seed"].augment)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trained(cfg, "seed")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(trained(cfg, "seed"), first)


def test_every_epoch_has_an_order_warps_and_dropout_of_its_own(monkeypatch):
    data, model = few_tensors(), network("seed")
    cfg = replace(SHORT, augment=RECIPES["seed"].augment)
    orders: list[list[int]] = []
    states: list[list[int]] = []
    real = stage.training_batch

    def watched(data: Dataset, index: Tensor, cfg: Config, source: torch.Generator,
                **named: Any) -> tuple[Tensor, Tensor]:
        orders.append(index.tolist())
        states.append(source.get_state().tolist())
        states.extend(module.generator.get_state().tolist() for module in model.modules()
                      if isinstance(module, StreamDropout) and module.generator)
        return real(data, index, cfg, source, **named)

    monkeypatch.setattr(stage, "training_batch", watched)
    optimizer = make_optimizer(model, cfg.optimizer, 0.1)
    seen = []
    for epoch in (0, 1, 0):
        orders.clear()
        states.clear()
        next(iter(train_epoch(model, optimizer, data, cfg, epoch=epoch, plan=RunSchedule(cfg.schedule, 0.1, 3, 3))))
        seen.append((orders[0], states[0], states[1]))
    assert seen[0] == seen[2]
    assert all(first != second for first, second in zip(seen[0], seen[1], strict=True))


# ---------------------------------------------------------------- settings take effect


@pytest.mark.parametrize("name", SCHEDULES)
def test_training_follows_each_schedule_to_a_lower_loss(name):
    cfg = replace(SHORT, epochs=4, validation=1, lr=0.05, schedule=Schedule(name=name, every=2, patience=0))
    progress = fit(network(), few_tensors(320), cfg, losses=[1.0, 2.0, 2.0, 2.0])
    assert float(progress[-1].loss_sum) < 0.8 * float(progress[0].loss_sum)
    expected = {"constant": 0.05, "step": 0.05 * 0.1, "plateau": 0.05 * 0.01}.get(name, 0.05 * 1e-4)
    assert progress[-1].lr == pytest.approx(expected)


@pytest.mark.parametrize("changed", [
    {"lr": 0.05}, {"batch_size": 16},
    {"optimizer": Optimizer(momentum=0.5)}, {"optimizer": Optimizer(weight_decay=0.1)},
    {"optimizer": Optimizer(label_smoothing=0.1)}, {"optimizer": Optimizer(name="adamw")},
    {"optimizer": Optimizer(name="muon")}, {"precision": "bfloat16"},
    {"augment": Augment(brightness=0.2)}, {"schedule": Schedule(name="constant")},
], ids=str)
def test_a_setting_changes_what_is_learnt(changed):
    cfg = replace(SHORT, epochs=1)
    assert not torch.equal(trained(cfg), trained(replace(cfg, **changed)))


def test_bfloat16_learns_what_float32_learns_nearly():
    losses = [float(fit(network(), few_tensors(), replace(SHORT, precision=precision))[-1].loss_sum) / 96
              for precision in ("float32", "bfloat16")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


# ---------------------------------------------------------------- it learns


def part(whole: ImageSet, count: int) -> ImageSet:
    return ImageSet(whole.images[:count], whole.labels[:count])


def shortened(source: ImageDataset, train: int, test: int) -> Dataset:
    return to_device(replace(source, train=part(source.train, train), test=part(source.test, test)), 0, CPU)


@pytest.mark.parametrize(("model", "epochs", "recipe", "least"), [
    ("early-pool", 5, "default", 90), ("seed", 3, "seed", 80),
])
def test_it_learns_the_embedded_digits(model, epochs, recipe, least):
    data = to_device(read("digits"), 0, CPU)
    made = network(model)
    cfg = replace(SHORT, lr=0.2, epochs=epochs, augment=RECIPES[recipe].augment)
    progress = fit(made, data, cfg)
    assert float(progress[-1].loss_sum) < 0.5 * float(progress[0].loss_sum)
    assert evaluate(made, data.test, data.mean, data.sd).accuracy > least


def test_it_learns_mnist_from_a_tenth_of_it(mnist_dir):
    data = shortened(read("mnist", mnist_dir, fetch=False), 6000, 2000)
    made = network()
    cfg = replace(SHORT, lr=0.2, epochs=2, batch_size=64, augment=RECIPES["default"].augment)
    progress = fit(made, data, cfg)
    assert float(progress[1].loss_sum) < 0.5 * float(progress[0].loss_sum)
    assert evaluate(made, data.test, data.mean, data.sd).accuracy > 93


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_an_epoch_reads_nothing_back():
    model, cfg = network().to("cuda"), replace(SHORT, device="cuda", augment=RECIPES["seed"].augment)
    data = to_device(few_digits(), 0, torch.device("cuda"))
    optimizer = make_optimizer(model, cfg.optimizer, 0.1)
    plan = RunSchedule(cfg.schedule, 0.1, 3, 3)
    list(train_epoch(model, optimizer, data, cfg, epoch=0, plan=plan))  # whatever is set up once
    torch.cuda.set_sync_debug_mode("error")
    try:
        list(train_epoch(model, optimizer, data, cfg, epoch=1, plan=plan))
    finally:
        torch.cuda.set_sync_debug_mode("default")
