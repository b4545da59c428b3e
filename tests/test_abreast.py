"""Runs that take turns in one process: each is the run that it would be alone, and so is what is left of it."""

import json
import time
from dataclasses import replace

import pytest
import torch

from mnist_ops import api, experiment
from mnist_ops.api import sweep
from mnist_ops.cli.main import main
from mnist_ops.run.folder import read_split
from mnist_ops.run.trained import load_trained
from mnist_ops.settle import settle
from mnist_ops.sweeps import in_one_process
from mnist_ops.sweeps.in_one_process import Lane, run_abreast
from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin
from tests.miniature import SHORT, few_digits, train

DROPOUT = replace(SHORT, model="seed", epochs=2, batch_size=48)  # draws order, warp and dropout from streams


def weights(folder):
    return load_trained(folder).network.state_dict()


@pytest.fixture
def folder(tmp_path):
    begin(tmp_path / "sweep", settle(DROPOUT, few_digits()))
    return tmp_path / "sweep"


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_side_by_side_each_run_is_what_it_is_alone(lanes, folder, tmp_path):
    results = list(run_abreast(folder, range(3), lanes, few_digits()))
    assert {result.seed for result in results} == {0, 1, 2}
    for seed in range(3):
        alone = train(replace(DROPOUT, seed=seed, test_every=0), tmp_path / f"alone{seed}")
        mine = weights(folder / f"s{seed}")
        assert all(torch.equal(mine[name], value) for name, value in weights(tmp_path / f"alone{seed}").items())
        result = next(one for one in results if one.seed == seed)
        assert isinstance(result, SeedDone)
        assert result.summary["test_accuracy"] == alone.summary["test_accuracy"]


@pytest.mark.parametrize("turns", [None, 1])
def test_what_is_finished_is_not_done_again_and_what_was_stopped_goes_on(turns, folder, tmp_path):
    """Stopped when seed 0 is finished and seed 1 has yet to say so; or when seed 0 is, and seed 1 is in an epoch."""
    if turns:
        list(run_abreast(folder, [0], 1, few_digits()))
        lane = Lane(replace(DROPOUT, seed=1, test_every=0), few_digits(), folder / "s1")
        while not (folder / "s1" / "checkpoint.pt").exists():
            lane.advance()
        lane.advance()
        lane.events.close()
    else:
        stopped = run_abreast(folder, range(2), 2, few_digits())
        assert isinstance(next(stopped), SeedDone)
        stopped.close()
    assert (folder / "s1" / "checkpoint.pt").exists()
    assert not (folder / "s1" / "summary.json").exists()
    first, second = run_abreast(folder, range(2), 2, few_digits())
    assert isinstance(first, SeedDone)
    assert isinstance(second, SeedDone)
    assert (first.seed, first.reused, second.seed, second.reused) == (0, True, 1, False)
    train(replace(DROPOUT, seed=1, test_every=0), tmp_path / "alone")
    mine = weights(folder / "s1")
    assert all(torch.equal(mine[name], value) for name, value in weights(tmp_path / "alone").items())


def test_a_run_that_fails_does_not_stop_the_others(folder, monkeypatch):
    real = experiment.run

    def run(config, *rest, **named):
        return real(replace(config, lr=1e30) if config.seed == 0 else config, *rest, **named)

    monkeypatch.setattr(in_one_process, "run", run)
    results = {result.seed: result for result in run_abreast(folder, range(2), 2, few_digits())}
    assert isinstance(results[0], SeedFailed)
    assert "Try a lower --lr" in results[0].message
    assert isinstance(results[1], SeedDone)


def test_the_seconds_of_a_run_are_those_that_it_was_worked_on(folder):
    lane = Lane(replace(DROPOUT, seed=5, epochs=1, threads=1), few_digits(), folder / "s5")
    begun, summary = time.perf_counter(), None
    while summary is None:
        summary = lane.advance()
        time.sleep(0.1)  # in which another has its turn
    whole = time.perf_counter() - begun
    assert 0 < summary["train_seconds"] < whole - 0.3  # of which there were three at least


@pytest.mark.filterwarnings("ignore:only")
def test_each_seed_draws_the_order_and_test_set_of_ones_own_data(tmp_path):
    digits = few_digits().train
    settings = replace(SHORT, epochs=1, test_every=0)
    made = sweep(settings, 2, data=(digits.images, digits.labels), out=tmp_path / "sweep")
    alone = api.train(replace(settings, seed=1), data=(digits.images, digits.labels), out=tmp_path / "alone")
    assert made["runs"][1]["test_accuracy"] == alone["test_accuracy"]
    names = [read_split(path) for path in (tmp_path / "sweep" / "s0", tmp_path / "sweep" / "s1", tmp_path / "alone")]
    assert names[0] != names[1] == names[2]
    assert all(torch.equal(weights(tmp_path / "sweep" / "s1")[name], value)
               for name, value in weights(tmp_path / "alone").items())


def test_a_sweep_in_one_process(tmp_path, capfd):
    settings = tmp_path / "quick.toml"
    settings.write_text('data = "digits"\ndevice = "cpu"\nbatch_size = 64\nepochs = 1\nlr = 0.1\n')
    command = ["sweep", "default", "--seeds", "2", "--config", str(settings), "--out", str(tmp_path / "sweep"),
               "--abreast"]
    assert main([*command, "--jobs", "2"]) == 0
    assert "2 runs, 2 at a time in this process on " in capfd.readouterr().out
    assert main([*command, "--json"]) == 0
    assert [run["seed"] for run in json.loads(capfd.readouterr().out)["runs"]] == [0, 1]


def test_a_marker_tells_that_runs_took_turns_and_not_that_others_were_there(folder):
    train(replace(DROPOUT, seed=0, test_every=0), folder / "s0")
    list(run_abreast(folder, [0], 1, few_digits()))
    assert not (folder / "abreast").exists()
    list(run_abreast(folder, [0, 1], 1, few_digits()))
    assert (folder / "abreast").exists()


def test_runs_that_took_turns_make_no_record(tmp_path, capfd, monkeypatch):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "abreast").touch()
    monkeypatch.setattr("mnist_ops.run.provenance.commit", lambda: "a" * 40)
    assert main(["sweep", "default", "--seeds", "30", "--record", "--out", str(tmp_path / "sweep")]) == 2
    assert "were interleaved in one process" in capfd.readouterr().err
