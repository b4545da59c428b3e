"""`mnist-ops records`: the list, and whether new runs agree with a record."""

import json
from typing import Any

import pytest

from mnist_ops.cli import records as command
from mnist_ops.cli import sweep
from mnist_ops.cli.main import main
from mnist_ops.cli.recipes import packaged_records
from mnist_ops.score.statistics import Spread, mean_of_new
from mnist_ops.sweeps.records import agreement

RECORD = {"dataset": "mnist", "n": 4, "mean": 99.5, "sd": 0.1, "interval": [99.34, 99.66], "engine": "gcc 12.2.0",
          "device": "cpu", "threads": 1, "machine": "x86_64, 2 cores", "torch": "2.13.0", "commit": "a" * 40,
          "runs": [99.4, 99.5, 99.6, 99.5]}


@pytest.fixture
def trained(monkeypatch):
    """The record of `quick` is RECORD; the runs that verify it have the accuracies that a test puts in."""
    accuracies: list[float] = []
    asked: list[Any] = []

    def train_seeds(config, numbers, folder, **more):
        asked.append((config.recipe, numbers, str(folder)))
        return [{"seed": seed, "test_accuracy": accuracies[seed], "dataset": "mnist", "train_seconds": 1.0,
                 "engine": "pytorch"} for seed in numbers]

    monkeypatch.setattr(command, "packaged_records", lambda: {"quick": RECORD})
    monkeypatch.setattr(sweep, "train_seeds", train_seeds)
    return accuracies, asked


def test_the_interval_of_new_runs_is_wider_than_that_of_the_mean():
    """Hahn and Meeker 1991, section 4.8: for n = 4 and one new value, mean +- 3.182 SD sqrt(1 + 1/4)."""
    low, high = mean_of_new(Spread(4, 10.0, 1.0, None), 1)
    assert (low, high) == pytest.approx((10 - 3.182446 * 1.25**0.5, 10 + 3.182446 * 1.25**0.5), abs=1e-4)
    assert mean_of_new(Spread(4, 10.0, 1.0, None), 100)[0] > low


def test_a_mean_below_the_interval_does_not_hold_and_one_above_it_does():
    assert agreement(RECORD, [99.4, 99.5])["equal"]
    for found, holds in (([99.0, 99.1, 99.1], False), ([99.3, 99.4, 99.5], True), ([100.0, 100.0, 100.0], True)):
        told = agreement(RECORD, found)
        assert (told["holds"], told["equal"], told["n"]) == (holds, False, 3)


def test_the_records_are_listed_with_what_made_them(capsys):
    assert main(["records"]) == 0
    printed = capsys.readouterr().out
    assert main(["records", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["records"]
    assert listed == packaged_records()
    for name, one in listed.items():
        assert len(one["runs"]) == one["n"]
        line = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        assert all(text in line for text in (f"{one['mean']:.3f} %", one["commit"][:10], one["torch"]))


def test_a_record_that_holds_is_said_to(trained, capsys):
    accuracies, asked = trained
    accuracies += [99.4, 99.5, 99.6]
    assert main(["records", "--verify", "quick"]) == 0
    printed = capsys.readouterr()
    assert asked == [("quick", range(3), "runs/verify-quick")]
    assert "mean 99.500 % of n = 3" in printed.err + printed.out
    assert "every run is the record's" in printed.err + printed.out
    assert "holds on this machine" in printed.err + printed.out


def test_a_record_that_does_not_hold_ends_with_1(trained, capsys):
    trained[0][:] = [98.0, 98.1]
    assert main(["records", "--verify", "quick", "--seeds", "2", "--json"]) == 1
    printed = capsys.readouterr()
    assert not json.loads(printed.out)["holds"]
    assert "record of quick does not hold here: the mean is below 99." in printed.err


def test_runs_on_other_data_say_nothing_about_a_record(trained, monkeypatch, capsys):
    monkeypatch.setattr(command, "packaged_records", lambda: {"quick": RECORD | {"dataset": "kmnist"}})
    trained[0][:] = [99.0]
    assert main(["records", "--verify", "quick", "--seeds", "1"]) == 1
    assert "on mnist, the record on kmnist; get the data by mnist-ops data kmnist --fetch" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["--seeds", "3"], "--seeds: needs --verify RECIPE"),
    (["--verify", "quack"], "unknown recipe 'quack'"),
    (["--verify", "pictures"], "--verify pictures: has no record"),
    (["--verify", "quick", "--seeds", "5"], "--seeds 5: expected 1 to 4, the record's number of seeds"),
])
def test_wrong_use_is_refused(words, message, trained, capsys):
    assert main(["records", *words]) == 2
    assert message in capsys.readouterr().err
    assert not trained[1]
