"""train --folds: an accuracy over all pictures of a folder, each predicted by a network that has not seen it."""

import json
from pathlib import Path

import numpy as np
import pytest

from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.score.statistics import wilson
from mnist_ops.suspects.folds import united
from tests.datasets import folder_of

RUNS = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "2", "--batch-size", "8"]


@pytest.fixture
def shades(tmp_path, monkeypatch):
    """Two classes of very different size."""
    monkeypatch.chdir(tmp_path)
    return str(folder_of(tmp_path / "shades", {"dark": 24, "grey": 6}, first=40))


def test_training_and_test_images_are_united_with_their_names(shades):
    source = read(shades)
    whole = united(source).train
    assert whole.names == (*(source.train.names or ()), *(source.test.names or ()))
    assert np.array_equal(whole.labels[24:], source.test.labels)  # a fifth of each class is the test set
    assert np.array_equal(whole.images[:24], source.train.images)


def test_every_image_counts_once(shades, capfd):
    assert main(["train", "--data", shades, "--folds", "2", *RUNS, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["folds"], found["images"], found["epochs"], found["batch_size"]) == (2, 30, 2, 8)
    assert found["accuracy"] == pytest.approx(100 * found["correct"] / 30)
    assert found["interval"] == pytest.approx(list(wilson(found["correct"], 30)))
    assert {one["class"]: one["images"] for one in found["classes"]} == {"dark": 24, "grey": 6}
    assert sum(one["images"] * one["accuracy"] / 100 for one in found["classes"]) == pytest.approx(found["correct"])
    assert not Path("runs").exists()


def test_the_result_is_told_with_its_interval_and_each_class(shades, capfd):
    assert main(["train", "--data", shades, "--folds", "2", *RUNS]) == 0
    printed = capfd.readouterr().out
    for part in ("fold 2 of 2: ", "accuracy on all 30 images, 95 % interval ", "Balanced accuracy ",
                 "trained on the other folds, in 2 epochs of batches of 8"):
        assert part in printed


@pytest.mark.parametrize(("words", "message"), [
    (["--folds", "3", "--out", "here"], "--folds 3: its runs leave no folder; remove --out and --resume"),
    (["--folds", "1"], "30 training images to divide, expected from 2 folds"),
    (["--folds", "31"], "30 training images to divide, expected from 2 folds"),
])
def test_what_cannot_be_done_is_refused(shades, capfd, words, message):
    assert main(["train", "--data", shades, *words]) == 2
    assert message in capfd.readouterr().err
