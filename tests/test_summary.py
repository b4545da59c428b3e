"""summary.json: what is read of older versions, and whether it agrees with the files beside it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_ops.cli.main import main
from mnist_ops.errors import RunError
from mnist_ops.run.summary import checked_summary, contradictions, read_summary
from mnist_ops.run.weights import describe_weights
from mnist_ops.score.statistics import wilson
from tests.miniature import SHORT, few_digits, train
from tools.run_inputs import described


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on few digits, whose test set is evaluated once, at its end."""
    path = tmp_path_factory.mktemp("honest") / "run"
    train(replace(SHORT, test_every=0, validation=24), path)
    return path


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "run"))


def change(file: Path, **changed: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def test_an_honest_run_contradicts_itself_nowhere(run):
    assert contradictions(run) == []
    assert checked_summary(run)["test_images"] == 40
    for name in ("config.json", "history.jsonl", "model.safetensors"):  # what is not there says nothing
        (run / name).unlink()
        assert contradictions(run) == []


def test_the_summary_of_an_older_version_gets_the_names_of_this_one(run):
    new = json.loads((run / "summary.json").read_text())
    old = {"lr": new["peak_lr"], "train_accuracy": new["running_train_accuracy"], "figure_epoch": new["reported_epoch"]}
    kept = {name: value for name, value in new.items()
            if name not in ("peak_lr", "running_train_accuracy", "reported_epoch")}
    (run / "summary.json").write_text(json.dumps(kept | old | {"format": 1}))
    assert read_summary(run / "summary.json") == new | {"format": 1}
    assert contradictions(run) == []


@pytest.mark.parametrize(("changed", "said"), [
    ({"test_accuracy": 100.0}, r"^summary.json has interval \[.*\], its other numbers \[91.2"),  # Wilson, 40 of 40
    ({"test_accuracy": 99.9}, "^summary.json has test_accuracy 99.9, its other numbers 100.0"),  # of 40 images
    ({"dataset": "mnist"}, "^summary.json has dataset 'mnist', config.json 'digits'"),
    ({"model": "seed"}, "^summary.json has model 'seed', config.json 'early-pool'"),
    ({"seed": 4}, "^summary.json has seed 4, config.json 0"),
    ({"epochs": 9}, "^summary.json has epochs 9, config.json 3"),
    ({"parameters": 12}, "^summary.json has parameters 12, model.safetensors 7568"),
    ({"macs": 12}, "^summary.json has macs 12, model.safetensors 463840"),
    ({"validation_accuracy": 99.5}, "^summary.json has validation_accuracy 99.5, history.jsonl"),
    ({"running_train_accuracy": 99.5}, "^summary.json has running_train_accuracy 99.5, history.jsonl"),
    ({"train_seconds": 0.001}, "^summary.json has train_seconds 0.001, history.jsonl"),
])
def test_a_number_that_another_file_contradicts_is_named(changed, said, run):
    change(run / "summary.json", **changed)
    found = contradictions(run)
    assert any(re.search(said, text) for text in found), found
    with pytest.raises(RunError, match=r"its accuracy is not reliable. Restore the folder, or train again"):
        checked_summary(run)


@pytest.mark.parametrize(("changed", "said"), [
    ({"test_accuracy": float("nan")}, "not JSON .it contains NaN"),
    ({"test_accuracy": float("inf")}, "it contains Infinity"),
    ({"test_accuracy": 1e308}, "test_accuracy is 1e.308, expected a number from 0 to 100"),
    ({"test_accuracy": "99"}, "test_accuracy is '99', expected a number"), ({"peak_lr": None}, "peak_lr is None"),
    ({"interval": [90, 101]}, r"interval is \[90, 101\], expected two numbers from 0 to 100"),
    ({"dataset": 3}, "dataset is 3, expected a string"), ({"recipe": None}, "recipe is None, expected a string"),
    ({"test_images": 10**400}, "test_images is 10000"), ({"seed": 10**400}, "seed is 10000"),
    ({"running_train_accuracy": "high"}, "running_train_accuracy is 'high', expected a number from 0 to 100"),
    ({"validation_accuracy": None}, "validation_accuracy is None, expected a number from 0 to 100"),
    ({"test_images": 0}, "test_images is 0, expected a number from 1 to"),
])
def test_a_number_that_is_none_or_out_of_range_is_refused_by_every_reader(changed, said, run, honest, capsys):
    change(run / "summary.json", **changed)
    with pytest.raises(RunError, match=rf"summary\.json: damaged.*{said}"):
        read_summary(run / "summary.json")
    assert main(["compare", str(run), str(honest)]) == 1
    assert "summary.json: damaged" in capsys.readouterr().err


def test_weights_whose_images_have_no_size_are_damaged(run):
    path = run / "model.safetensors"
    about = describe_weights(path, path.read_bytes()) | {"input_shape": [2, 5, 7]}
    path.write_bytes(described(json.dumps(about).encode()))
    with pytest.raises(RunError, match=r"model.safetensors: damaged .input_shape \[2, 5, 7\], expected channels"):
        contradictions(run)


def test_the_history_of_an_epoch_may_differ_from_the_summary_by_an_image(run):
    """As on a GPU, or where another machine made the end of the run."""
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    stated, epoch = (read_summary(run / "summary.json")[name] for name in ("test_accuracy", "reported_epoch"))
    for apart, agrees in ((2.5, True), (5.0, False)):  # one and two of 40 images
        rows[epoch - 1]["test_accuracy"] = stated - apart
        (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert (contradictions(run) == []) == agrees


def forged(run: Path) -> None:
    """Another dataset and a perfect accuracy, with the interval that belongs to it."""
    change(run / "summary.json", test_accuracy=100.0, interval=[*wilson(40, 40)], dataset="mnist")


def test_check_does_not_pass_a_forged_summary(run, capsys):
    assert main(["check", str(run), "--accuracy", "99.4"]) == 1  # digits are not MNIST
    forged(run)
    assert main(["check", str(run), "--accuracy", "99.4"]) == 1
    assert ("FAIL  consistent: summary.json has dataset 'mnist', config.json 'digits', expected files that agree"
            in capsys.readouterr().out)


def test_compare_refuses_a_forged_run_by_name(run, honest, capsys):
    forged(run)
    assert main(["compare", str(run), str(honest)]) == 1
    assert f"{run}: summary.json has dataset 'mnist', config.json 'digits'" in capsys.readouterr().err


def test_score_and_report_say_what_the_weights_reach(run, capsys, monkeypatch):
    monkeypatch.setattr("mnist_ops.data.source.read", lambda *_, **__: few_digits())
    true = read_summary(run / "summary.json")["test_accuracy"]
    change(run / "summary.json", test_accuracy=100.0, interval=[*wilson(40, 40)])
    assert main(["score", str(run)]) == 0
    printed = capsys.readouterr()
    assert f"{true:.2f} % test accuracy" in printed.out
    assert f"states 100.00 % test accuracy, but the weights now reach {true:.2f} % on the test set" in printed.err
