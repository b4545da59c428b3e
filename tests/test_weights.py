"""The weights that ship in the package: those of the default recipe, as good as their record says."""

import json
from dataclasses import replace
from importlib import resources

import pytest

from mnist_ops.arch.zoo import named_network
from mnist_ops.cli.main import main
from mnist_ops.config import RECIPES
from mnist_ops.data.source import read
from mnist_ops.data.tensors import split
from mnist_ops.errors import RunError
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import load_trained, save_trained
from mnist_ops.score.evaluate import evaluate
from tests.miniature import CPU, REPOSITORY, SHORT, train
from tools import weights

RECORD = json.loads((resources.files("mnist_ops") / "weights" / "default.json").read_text(encoding="utf-8"))


def test_they_are_those_of_the_default_recipes_network_for_pictures_made_as_mnist_was():
    trained = load_trained(find_run("default"))
    assert trained.layers == named_network(RECIPES["default"].model)
    assert (trained.dataset, trained.prepare, trained.classes) == ("mnist", "mnist", tuple("0123456789"))


def test_they_reach_what_their_record_says_which_lies_among_the_recipes_runs(mnist_dir):
    trained = load_trained(find_run("default"))
    test = split(read("mnist", mnist_dir, fetch=False).test, CPU)
    accuracy = evaluate(trained.network, test, trained.mean, trained.sd).accuracy
    assert accuracy == RECORD["test_accuracy"]
    recorded = [run["test_accuracy"] for run in
                json.loads((REPOSITORY / "records" / "default.json").read_text(encoding="utf-8"))["runs"]]
    assert min(recorded) < accuracy < max(recorded)


def test_they_are_scored_by_name_on_their_own_dataset_or_another(mnist_dir, capsys):
    assert main(["score", "default", "--data-dir", str(mnist_dir), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["dataset"], said["test_accuracy"], said["test_images"]) == ("mnist", RECORD["test_accuracy"], 10_000)
    assert main(["score", "default", "--data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 80  # other pens, and eight pixels for a digit


def test_weights_alone_of_a_folder_of_pictures_are_scored_on_no_place_that_they_name(tmp_path, capsys):
    trained = replace(load_trained(find_run("default")), dataset="/etc")
    save_trained(tmp_path, trained)
    assert main(["score", str(tmp_path / "model.safetensors")]) == 2
    assert "trained on '/etc', which is not a known dataset" in capsys.readouterr().err


def test_a_run_of_anything_else_is_not_shipped(tmp_path):
    train(SHORT, tmp_path)
    with pytest.raises(RunError, match="not that of the default recipe"):
        weights.check(tmp_path)
