"""Networks, augmentations and optimisers of one's own: they are used, named in the run, and never imported."""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mnist_ops
from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, Conv
from mnist_ops.arch.zoo import MODELS
from mnist_ops.cli.main import main
from mnist_ops.config import Config
from mnist_ops.data.source import read
from mnist_ops.errors import MnistOpsError, RunError, UsageError
from mnist_ops.events import EpochDone, Event, Fitted, Started
from mnist_ops.optim.optimizers import make_optimizer, set_rate
from mnist_ops.own_code import name_of
from mnist_ops.run.folder import read_config

pytestmark = pytest.mark.filterwarnings("ignore:only .* training steps")
SHORT = Config(data="digits", epochs=3, batch_size=128, lr=0.01, device="cpu", threads=1,
               precision="float32")
Trained = dict[str, Any]


class Net(nn.Module):
    """Draws from PyTorch's global generators, when it is made and in each step."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(shape[1] * shape[2], classes))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out


def noisy(images: Tensor) -> Tensor:
    assert images.ndim == 4
    assert images.min() >= 0
    assert images.max() <= 1
    return (images + 0.1 * torch.rand_like(images)).clamp(0, 1)


def adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 2e-3}]
    return torch.optim.Adam(groups, lr=1e-3)


OWN: dict[str, Any] = {"network": Net, "augment": noisy, "optimizer": adam}
NAMES = {"network": f"{__name__}.Net", "augment": f"{__name__}.noisy", "optimizer": f"{__name__}.adam"}


class StopError(Exception):
    pass


def stop_after(epoch: int) -> Callable[[Event], None]:
    def look(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row["epoch"] == epoch:
            raise StopError

    return look


def weights(run: str | Path) -> bytes:
    return (Path(run) / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    before = torch.get_rng_state()
    found = mnist_ops.train(SHORT, **OWN, out=tmp_path_factory.mktemp("own") / "run")
    assert torch.equal(before, torch.get_rng_state())
    return found


def test_the_folder_names_the_code_and_counts_the_network(whole):
    config = json.loads((Path(whole["run"]) / "config.json").read_text())
    assert (config["code"], config["model"], config["engine"]) == (NAMES, NAMES["network"], "pytorch")
    assert (whole["parameters"], whole["macs"]) == (784 * 10 + 10, 784 * 10)
    assert whole["test_accuracy"] > 60


def test_stopping_and_resuming_changes_nothing(whole, tmp_path):
    for part in ({"augment": None}, {}):  # what a resumed run lacks, then nothing
        given = OWN | part
        with pytest.raises(StopError):
            mnist_ops.train(SHORT, **given, out=tmp_path / str(len(part)), on_event=stop_after(1))
    torch.manual_seed(99)  # whatever has been drawn elsewhere
    again = mnist_ops.resume(tmp_path / "0", **OWN)
    assert weights(again["run"]) == weights(whole["run"])
    assert again["test_accuracy"] == whole["test_accuracy"]
    with pytest.raises(UsageError, match=r"code\.augment: '' there, 'tests\.test_own_code\.noisy' requested"):
        mnist_ops.resume(tmp_path / "1", **OWN)


@pytest.mark.parametrize("part", OWN)
def test_each_part_alone_is_used_and_asked_for_again_by_name(part, whole, tmp_path, capfd):
    plain = weights(mnist_ops.train(SHORT, out=tmp_path / "plain")["run"])
    with pytest.raises(StopError):
        mnist_ops.train(SHORT, **{part: OWN[part]}, out=tmp_path / "run", on_event=stop_after(2))
    assert weights(tmp_path / "run") != plain
    asked = f"made with code of your own: {part} {NAMES[part]}. Nothing imports it by itself; give it again from Python"
    with pytest.raises(UsageError, match=asked):
        mnist_ops.resume(tmp_path / "run")
    with pytest.raises(UsageError, match=asked):
        mnist_ops.train(read_config(tmp_path / "run"), out=tmp_path / "other")
    config = str(tmp_path / "run" / "config.json")
    for words in (["--out", str(tmp_path / "run"), "--resume"], ["--config", config]):
        assert main(["train", *words]) == 2
        assert asked in " ".join(capfd.readouterr().err.split())
    assert mnist_ops.resume(tmp_path / "run", **{part: OWN[part]})["epochs"] == 3


def test_weights_of_a_module_are_loaded_with_it_alone(whole, capfd, tmp_path):
    test, run = read("digits").test, whole["run"]
    right = mnist_ops.load(run, network=Net).predict(test.images).argmax(1) == test.labels
    assert 100 * float(right.mean()) == pytest.approx(whole["test_accuracy"])
    with pytest.raises(RunError, match=rf"weights of a network of your own, '{NAMES['network']}'\. Nothing imports it"):
        mnist_ops.load(run)
    with pytest.raises(RunError, match="weights are those of another architecture"):
        mnist_ops.load(run, network=lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(784, classes)))
    picture = tmp_path / "picture.png"
    for words in (["score", run], ["predict", run, str(picture)], ["demo", run], ["export", run, "--to", "c"],
                  ["export", run, "--to", "onnx"], ["export", run, "--to", "html"], ["train", "--from", run]):
        assert main(words) in (1, 2), words
        assert NAMES["network"] in " ".join(capfd.readouterr().err.split()), words
    assert main(["check", run, "--accuracy", "1", "--parameters", "10000", "--epochs", "9", "--data", "digits"]) == 0
    assert main(["report", run]) == 0
    said = capfd.readouterr()
    assert NAMES["network"] in said.out + said.err
    assert NAMES["augment"] in said.out + said.err
    page = " ".join((Path(run) / "report.html").read_text().split())
    assert f"The network is code of your own, {NAMES['network']}, which reports do not import." in page
    assert f"Optimizer was code of your own, {NAMES['optimizer']}: give it again from Python" in page


def test_weights_with_layers_need_no_code(tmp_path):
    run = mnist_ops.train(SHORT, network=MODELS["early-pool"], augment=noisy, optimizer=adam, out=tmp_path)["run"]
    assert mnist_ops.load(run).predict(np.zeros((28, 28), np.uint8)).shape == (1, 10)
    assert main(["export", run, "--to", "onnx"]) == 0


def test_seeds_of_ones_own_code_are_the_runs_themselves(whole, tmp_path):
    found = mnist_ops.sweep(SHORT, 2, **OWN, out=tmp_path / "own")
    assert found["test"]["n"] == 2
    assert weights(tmp_path / "own" / "s0") == weights(whole["run"])
    assert weights(tmp_path / "own" / "s1") != weights(whole["run"])
    mnist_ops.sweep(SHORT, 2, network=Net, out=tmp_path / "less")
    compared = mnist_ops.compare([tmp_path / "own", tmp_path / "less"])
    assert [one["n"] for one in compared["recipes"]] == [2, 2]
    assert compared["pairs"][0]["method"] == "paired"


def test_the_last_epochs_without_augmentation_are_without_ones_own(tmp_path):
    seen: list[int] = []

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images

    mnist_ops.train(replace(SHORT, augment=replace(SHORT.augment, plain_epochs=2)), augment=counted,
                    out=tmp_path / "augmented")
    assert sum(seen) == 1437
    with pytest.warns(UserWarning, match=r"counted is not used: the last epochs .*plain_epochs 3.* the run has only 3"):
        mnist_ops.train(replace(SHORT, augment=replace(SHORT.augment, plain_epochs=3)), augment=counted,
                        out=tmp_path / "plain")
    assert sum(seen) == 1437


def test_the_rate_search_takes_it_too(tmp_path):
    calls: list[str] = []

    def changed(images: Tensor) -> Tensor:
        calls.append("augment")
        return images

    def sgd(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        calls.append("optimizer")
        return torch.optim.SGD(parameters, lr=1, momentum=0.9)

    searched = replace(SHORT, lr="auto", epochs=1)
    mnist_ops.train(searched, network=Net, augment=changed, optimizer=sgd, out=tmp_path / "run")
    assert calls.count("optimizer") == 2  # for the search and the run
    assert calls.count("augment") > 12  # the run's own steps
    assert (tmp_path / "run" / "lr.json").exists()


def test_the_run_sets_the_rate_and_groups_keep_their_ratio():
    model = Net((1, 28, 28), 10)
    optimizer = make_optimizer(model, SHORT.optimizer, 0.1, adam)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    set_rate(optimizer, 0.03)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.06]


@pytest.mark.parametrize(("given", "says"), [
    ({"network": Net((1, 28, 28), 10)}, "network: a Net, expected the class or a function that makes one"),
    ({"network": lambda shape, classes: 3}, r"network: .*<lambda> made 3, expected a torch\.nn\.Module"),
    ({"network": lambda shape, classes: nn.Flatten()},
     r"makes \(2, 784\) of 2 images, expected \(2, 10\), a logit for each class"),
    ({"network": lambda shape, classes: nn.Sequential(nn.AdaptiveAvgPool2d((2, 5)), nn.Flatten())},
     "has no weights to train"),
    ({"network": [Conv(8), "ReLU"]}, "network: 'ReLU' is not a layer"),
    ({"network": [Conv(8), AdaptiveAvgPool(2), Conv(10, 1)]}, "model own makes 10x2x2 of images of 1x28x28, expected"),
    ({"augment": lambda images: images[..., 1:]}, r"augment: .* made .*27\).*expected the same shape, type and device"),
    ({"augment": lambda images: None}, "augment: .* made None of"),
    ({"optimizer": lambda parameters: parameters}, r"(?s)optimizer: .* expected a torch\.optim\.Optimizer"),
], ids=lambda one: next(iter(one)) if isinstance(one, dict) else "")
def test_what_does_not_fit_is_refused(given, says, tmp_path):
    with pytest.raises(MnistOpsError, match=says):
        mnist_ops.train(SHORT, **given, out=tmp_path / "run")


def test_compiled_steps_are_missed_where_they_would_pay(tmp_path):
    long = replace(SHORT, engine="compiled", epochs=1)
    with pytest.warns(UserWarning, match="several times as fast: augment and optimizer are code of your own"):
        mnist_ops.train(long, augment=noisy, optimizer=adam, out=tmp_path / "one")
    with pytest.warns(UserWarning, match="the training steps are PyTorch's: network is code of your own"):
        mnist_ops.train(long, network=Net, out=tmp_path / "two")


def test_names_are_those_that_python_imports():
    assert name_of(functools.partial(noisy)) == NAMES["augment"]
    assert name_of(nn.Dropout(0.1)) == "torch.nn.modules.dropout.Dropout"


def test_an_event_tells_of_the_code(tmp_path):
    events: list[Event] = []
    mnist_ops.train(replace(SHORT, epochs=1), network=Net, out=tmp_path / "run", on_event=events.append)
    started = [event for event in events if isinstance(event, Started | Fitted)]
    assert [(type(event), event.config.code.network) for event in started if isinstance(event, Started)] == [
        (Started, NAMES["network"])]


def test_a_run_on_arrays_is_resumed_with_them(tmp_path):
    train, test = read("digits").train, read("digits").test
    arrays = train.images[:200], train.labels[:200], test.images[:50], test.labels[:50]
    whole = mnist_ops.train(SHORT, data=arrays, out=tmp_path / "whole")
    with pytest.raises(StopError):
        mnist_ops.train(SHORT, data=arrays, out=tmp_path / "half", on_event=stop_after(2))
    with pytest.raises(MnistOpsError, match=r"half: was started with arrays; give them again as data=\(images, labels"):
        mnist_ops.resume(tmp_path / "half")
    assert mnist_ops.resume(tmp_path / "half", data=arrays)["test_accuracy"] == whole["test_accuracy"]
    assert weights(tmp_path / "half") == weights(tmp_path / "whole")
