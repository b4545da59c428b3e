"""A run that starts from the weights of another, and what is the run's own when it is continued."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_ops import experiment
from mnist_ops.cli.main import main
from mnist_ops.cli.settings import Selection, configure
from mnist_ops.config import RECIPES, Config
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.errors import RunError, UsageError
from mnist_ops.events import Started
from mnist_ops.experiment import run
from mnist_ops.report.findings import gather
from mnist_ops.run.checkpoint import load_checkpoint
from mnist_ops.run.folder import read_config, read_json
from mnist_ops.run.start import settings_of, settle_start
from mnist_ops.run.trained import load_trained
from mnist_ops.score.evaluate import evaluate
from tests.miniature import SHORT, few_digits, few_tensors, train


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first") / "run"
    train(replace(SHORT, epochs=8), path)
    return path


def further(first: Path, **changed: object) -> Config:
    return settle_start(replace(SHORT, start=str(first), **changed))  # type: ignore[arg-type]


def test_a_run_begins_as_the_function_that_the_weights_compute(first, tmp_path):
    """Before its first step: the same network, and the scaling that it was trained with, not that of the new images."""
    other = few_digits()
    darker = replace(other, train=ImageSet((other.train.images // 2).astype(np.uint8), other.train.labels))
    seen = []

    def look(self: object, *_: object, **__: object) -> object:
        seen.append({name: value.clone() for name, value in self.network.state_dict().items()})  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "run_epoch", look)
        with pytest.raises(KeyboardInterrupt):
            list(run(further(first), darker, tmp_path / "second"))
    weights = load_trained(first)
    assert all(torch.equal(seen[0][name], value) for name, value in weights.network.state_dict().items())
    train(further(first, epochs=1), tmp_path / "third", source=darker)
    scaled = load_trained(tmp_path / "third")
    assert (scaled.mean, scaled.sd) == (weights.mean, weights.sd)


def test_training_further_lowers_the_loss_that_the_weights_had(first, tmp_path):
    data, weights = few_tensors(), load_trained(first)
    before = evaluate(weights.network, data.train, weights.mean, weights.sd).loss
    train(further(first), tmp_path)
    after = load_trained(tmp_path)
    assert evaluate(after.network, data.train, after.mean, after.sd).loss < before


def test_where_the_classes_differ_the_last_layer_alone_begins_anew(first, tmp_path):
    train_part, test_part = (ImageSet(part.images, part.labels % 2) for part in (few_digits().train, few_digits().test))
    parity = ImageDataset("parity", ("even", "odd"), train_part, test_part, ())
    train(further(first, epochs=1, lr=1e-30), tmp_path, source=parity)
    old, new = (load_trained(path).network.state_dict() for path in (first, tmp_path))
    last = max(int(name.split(".")[1]) for name in new)
    assert new[f"body.{last}.weight"].shape[0] == 2
    kept = [name for name in new if not name.startswith(f"body.{last}.") and name.endswith("weight")]
    assert kept
    assert all(torch.equal(new[name], old[name]) for name in kept)


def test_the_rate_that_is_searched_is_half_of_what_a_new_network_gets(first, tmp_path):
    searching = replace(SHORT, lr="auto", epochs=20, tune=replace(SHORT.tune, steps=40, sweeps=1, most=100.0))
    new = train(searching, tmp_path / "new").summary["peak_lr"]
    settled = settle_start(replace(searching, start=str(first)))
    assert train(settled, tmp_path / "further").summary["peak_lr"] == pytest.approx(experiment.FINE_TUNE * new)


def test_stopping_and_resuming_changes_nothing_even_where_the_first_run_is_gone(first, tmp_path):
    gone = Path(shutil.copytree(first, tmp_path / "gone"))
    config = further(gone)
    train(config, tmp_path / "whole")
    events = run(config, few_digits(), tmp_path / "half")
    for event in events:
        if load_checkpoint(tmp_path / "half" / "checkpoint.pt") and not isinstance(event, Started):
            break
    events.close()
    shutil.rmtree(gone)
    train(read_config(tmp_path / "half"), tmp_path / "half", resume=True)
    assert (tmp_path / "half/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_what_it_started_from_is_recorded(first, tmp_path):
    train(further(first, epochs=1), tmp_path)
    config = read_json(tmp_path / "config.json")
    assert (config["start"], len(config["start_sha256"])) == (str(first.resolve()), 64)
    told = f"{first.name}, SHA-256 {config['start_sha256'][:12]}"
    assert read_json(tmp_path / "summary.json")["started_from"] == told
    assert (tmp_path / "start.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    from mnist_ops.report.provenance_section import made_by

    assert ("Started from the weights of", told) in made_by(gather(tmp_path, source=few_digits())).rows


def test_other_weights_under_the_same_name_are_refused(first, tmp_path):
    copy = Path(shutil.copytree(first, tmp_path / "copy"))
    config = further(copy)
    train(replace(SHORT, seed=1), tmp_path / "other")
    shutil.copy(tmp_path / "other/model.safetensors", copy)
    with pytest.raises(UsageError, match=r"model.safetensors: not the weights that this run starts from .SHA-256 "):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_settings_are_those_of_the_run_or_of_the_recipe_of_its_network(first):
    assert settings_of(str(first)) == replace(read_config(first), lr="auto", device="auto", threads=0, precision="auto",
                                              target="auto")
    assert settings_of(str(first / "model.safetensors")).model == "early-pool"
    assert settings_of("default") == RECIPES["default"]
    chosen = configure(None, Selection(data="my-digits"), start="default", epochs=2)
    assert (chosen.recipe, chosen.model, chosen.prepare, chosen.epochs) == ("default", "early-pool-wide", "mnist", 2)


@pytest.mark.parametrize(("words", "message"), [
    (("tiny", "--from", "default"), "network 'early-pool-wide', but the recipe tiny trains 'blocks:6-12p2d"),
    (("--from", "nothere"), "nothere: does not exist; expected the weights of a run"),
    (("--from", "{}/config.json"), "damaged, or not an mnist-ops weights file"),
])
def test_what_cannot_be_started_from_is_refused_by_name(words, message, first, tmp_path, capsys):
    options = ["--data", "digits", "--out", str(tmp_path / "r")]
    assert main(["train", *(word.format(first) for word in words), *options]) > 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_weights_of_other_layers_under_the_same_name_are_refused(first, tmp_path):
    with pytest.raises(UsageError, match="expected the same network and norm"):
        train(further(first, norm="none"), tmp_path / "run")


# ---------------------------------------------------------------- what a run that is continued asks for


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run of three epochs that has finished one."""
    path = tmp_path / "stopped"
    events = run(SHORT, few_digits(), path)
    while not (path / "checkpoint.pt").exists():
        next(events)
    events.close()
    return path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_ops.data.source.read", lambda *_, **__: few_digits())


def test_what_is_not_asked_for_is_the_runs_own(stopped, few, capsys):
    assert main(["train", "--out", str(stopped), "--resume", "--no-report"]) == 0
    assert json.loads((stopped / "summary.json").read_text())["epochs"] == 3
    assert read_config(stopped).threads == 1


def test_other_threads_are_warned_of_and_other_settings_refused(stopped, few, capsys):
    words = ["train", "--out", str(stopped), "--resume", "--no-report"]
    assert main([*words, "--batch-size", "16"]) == 2
    assert "(batch_size: 32 there, 16 requested). Remove these options" in capsys.readouterr().err
    assert main([*words[:1], "seed", *words[1:]]) == 2
    assert "(recipe: 'short' there, 'seed' requested)" in capsys.readouterr().err
    assert main([*words, "--threads", "2"]) == 0
    assert "started with threads 1 and continues with 2: its last bits may differ" in capsys.readouterr().err


def test_on_a_machine_without_its_device_a_run_goes_on_with_another(stopped, few, capsys):
    content = json.loads((stopped / "config.json").read_text())
    (stopped / "config.json").write_text(json.dumps(content | {"device": "cuda"}))
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a CUDA device")
    words = ["train", "--out", str(stopped), "--resume", "--no-report"]
    assert main([*words, "--device", "cuda"]) == 2
    assert "cuda is not available" in capsys.readouterr().err
    assert main(words) == 0
    assert "started with device cuda and continues with cpu" in capsys.readouterr().err


def test_a_run_without_weights_is_not_started_from(tmp_path):
    with pytest.raises(RunError, match=r"model\.safetensors: does not exist; expected the weights of a run"):
        settle_start(replace(SHORT, start=str(tmp_path)))


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_an_error_by_name(name):
    with pytest.raises(RunError, match=r"cannot be read .*check the path"):
        settings_of(name)
