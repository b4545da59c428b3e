"""Classes of very different size: what is told about each, and the loss that is weighted by their size."""

import json

import numpy as np
import pytest

from mnist_ops.cli.main import main
from mnist_ops.cli.wording import balance_text
from mnist_ops.report.findings import gather
from mnist_ops.report.sections import facts
from mnist_ops.run.folder import read_history
from mnist_ops.score.metrics import balanced_accuracy, by_class, class_scores, unequal
from tests.datasets import folder_of

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "2", "--batch-size", "8", "--no-report"]


def test_the_balanced_accuracy_counts_every_class_the_same():
    scores = class_scores(np.array([[90, 10, 0], [0, 5, 5], [0, 0, 0]]))  # 90 %, 50 %, and no image
    assert balanced_accuracy(scores) == pytest.approx(70)
    assert by_class(scores, ("a", "b", "c")) == {"balanced_accuracy": pytest.approx(70), "classes": [
        {"class": "a", "images": 100, "accuracy": 90.0}, {"class": "b", "images": 10, "accuracy": 50.0},
        {"class": "c", "images": 0, "accuracy": None}]}
    assert balance_text(by_class(scores, ("a", "b", "c"))) == [
        "Balanced accuracy 70.00 %, the mean over the classes: b 50.0 % of 10, a 90.0 % of 100"]


def test_only_classes_of_very_different_size_are_told_about_and_of_many_the_worst():
    assert [unequal(images) for images in ([40, 10], [39, 10], [40, 10, 0], [])] == [True, False, True, False]
    many = {"balanced_accuracy": 50.0, "classes": [
        {"class": f"c{number}", "images": 1 + number, "accuracy": float(number)} for number in range(12)]}
    [line] = balance_text(many)
    assert "c0 0.0 % of 1, c1 1.0 % of 2," in line
    assert line.endswith("c9 9.0 % of 10, and 2 classes more")
    assert balance_text({}) == []  # an older summary


@pytest.fixture
def shades(tmp_path):
    """Two classes, of which the test set has 8 and 2."""
    return folder_of(tmp_path / "shades", {"dark": 40, "grey": 10}, first=40)


def test_a_run_its_summary_score_and_report_tell_the_balanced_accuracy(shades, tmp_path, capfd):
    path = tmp_path / "run"
    assert main(["train", "--data", str(shades), *TRAIN, "--out", str(path)]) == 0
    printed = capfd.readouterr().out
    summary = json.loads((path / "summary.json").read_text())
    assert [one["images"] for one in summary["classes"]] == [8, 2]
    right = sum(one["images"] * one["accuracy"] for one in summary["classes"])
    assert right / 10 == pytest.approx(summary["test_accuracy"])
    line = f"Balanced accuracy {summary['balanced_accuracy']:.2f} %, the mean over the classes: "
    assert line in printed
    assert main(["score", str(path)]) == 0
    assert line in capfd.readouterr().out
    told = {what: value for value, what in facts(gather(path))}
    assert told["balanced accuracy, the mean over the classes"] == f"{summary['balanced_accuracy']:.2f} %"


@pytest.mark.parametrize("engine", ["pytorch", "compiled"])
def test_weights_change_what_a_run_of_unequal_classes_learns(shades, tmp_path, engine, monkeypatch, pytestconfig):
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytestconfig.cache.mkdir("engine")))
    losses = {}
    for weights in ("none", "balanced"):
        settings = tmp_path / f"{weights}.toml"
        settings.write_text(f'engine = "{engine}"\n[optimizer]\nclass_weights = "{weights}"\n')
        path = tmp_path / weights
        assert main(["train", "--data", str(shades), "--config", str(settings), *TRAIN, "--out", str(path)]) == 0
        losses[weights] = [row["train_loss"] for row in read_history(path)]
    assert losses["none"] != losses["balanced"]
