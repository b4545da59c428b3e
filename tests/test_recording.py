"""Recorded steps, with a recorder that calls again what it was given: what is replayed trains as what is called."""

from dataclasses import replace

import pytest
import torch

from mnist_ops.config import Augment, Config
from mnist_ops.data.tensors import batch_count, to_device
from mnist_ops.optim.cuda_graph import WARM_UP, Recordings, Replayed
from mnist_ops.optim.optimizers import make_optimizer, state_of
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import step, train_epoch, training_batch
from mnist_ops.randomness import stream
from tests.miniature import CPU, few_digits, network

BOTH = Config(epochs=2, batch_size=13, device="cpu", threads=1, precision="float32",
              augment=Augment(degrees=10, shift=2, perspective=0.2, plain_epochs=1))


class Again:
    """Keeps the call instead of its kernels, and counts what it is asked for."""

    def __init__(self, generators=()):
        self.asked = []

    def warm(self, call):
        self.asked.append("warm")
        return call()

    def record(self, call):
        self.asked.append("record")
        self.call = call
        self.results = (torch.zeros(()), torch.zeros((), dtype=torch.int64))
        return self.results

    def replay(self):
        self.asked.append("replay")
        for fixed, new in zip(self.results, self.call(), strict=True):
            fixed.copy_(new)


class Refusing(Again):
    def record(self, call):
        raise RuntimeError("operation not permitted when stream is capturing")


class Counting(Recordings):
    """Recordings of whose recorders it keeps what they were asked for."""

    def asked(self):
        return [vars(one.recorder)["asked"] for one in self.steps.values()]


def trained(cfg, recordings):
    """The weights after every epoch of a small network with dropout, and the sums of the last."""
    data, model = to_device(few_digits(), 0, CPU), network("seed")
    optimizer = make_optimizer(model, cfg.optimizer, 0.1)
    plan = RunSchedule(cfg.schedule, 0.1, cfg.epochs, batch_count(len(data.train), cfg.batch_size))
    for epoch in range(cfg.epochs):
        *_, last = train_epoch(model, optimizer, data, cfg, epoch=epoch, plan=plan, recordings=recordings)
    return torch.cat([value.flatten().float() for value in model.state_dict().values()]), last


def test_replayed_steps_leave_the_bits_that_called_ones_do():
    recordings = Counting(CPU, Again)
    called, replayed = trained(BOTH, None), trained(BOTH, recordings)
    assert torch.equal(called[0], replayed[0])
    assert called[1].loss_sum == replayed[1].loss_sum
    assert called[1].correct == replayed[1].correct
    assert len(recordings.steps) == 2  # with augmentation and without
    for asked in recordings.asked():
        assert asked[:WARM_UP + 2] == ["warm"] * WARM_UP + ["record", "replay"]
        assert asked.count("record") == 1


def test_a_later_epoch_replays_what_an_earlier_one_recorded():
    cfg, recordings = replace(BOTH, epochs=3), Counting(CPU, Again)
    assert torch.equal(trained(cfg, None)[0], trained(cfg, recordings)[0])
    assert [asked.count("record") for asked in recordings.asked()] == [1, 1]


def test_a_batch_of_another_size_is_never_recorded():
    recorder = Again()
    doubled = Replayed(lambda given: (given.sum() * 2, given.numel() + torch.zeros((), dtype=torch.int64)), recorder)
    for count in (4, 4, 3, 4, 4, 3, 4):
        given = torch.arange(float(count))
        assert doubled(given)[0] == 2 * given.sum()
    assert recorder.asked == ["warm"] * 4 + ["record", "replay", "warm", "replay"]


def test_a_step_that_cannot_be_recorded_is_called_and_a_warning_says_why():
    recordings = Recordings(CPU, Refusing)
    with pytest.warns(RuntimeWarning, match=r"could not be recorded.*not permitted when stream is capturing"):
        refused = trained(BOTH, recordings)
    assert torch.equal(trained(BOTH, None)[0], refused[0])


def test_only_a_gpu_and_a_process_alone_record():
    assert Recordings.on(CPU, 1) is None
    assert Recordings.on(torch.device("cuda"), 2) is None
    assert Recordings.on(torch.device("cuda"), 1) is not None


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_a_training_step_reads_no_number_back(monkeypatch, name):
    """Each way to give Python a tensor's number fails, as it would while a GPU records, and makes it wait otherwise."""
    def refuse(*_):
        raise AssertionError("a number was read")

    cfg = replace(BOTH, optimizer=replace(BOTH.optimizer, name=name))
    data, model = to_device(few_digits(), 0, CPU), network()
    optimizer, warp = make_optimizer(model, cfg.optimizer, 0.1), stream(0, "warp")
    for way in ("item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, way, refuse)
    step(model, optimizer, training_batch(data, torch.arange(32), cfg, warp), cfg)
    with pytest.raises(AssertionError, match="a number was read"):
        float(next(model.parameters()).sum())


def test_the_saved_rate_is_a_number_wherever_the_rate_lies():
    optimizer = make_optimizer(network(), BOTH.optimizer, 0.1)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.25)
    assert [group["lr"] for group in state_of(optimizer)["param_groups"]] == [0.25, 0.25]
