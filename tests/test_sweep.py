"""Many seeds of one recipe: what is run, what is not run again, what is recorded."""

import json
import re
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.errors import RunError, UsageError
from mnist_ops.mapping import to_mapping
from mnist_ops.parallel.children import Children, ended_by
from mnist_ops.run.folder import write_json
from mnist_ops.score.statistics import wilson
from mnist_ops.sweeps.records import RECORD_SEEDS, record
from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin, finished, run_seeds, table
from tests.miniature import SHORT

ACCURACIES = [99.4, 99.5, 99.6]
QUICK = 'data = "digits"\ndevice = "cpu"\nbatch_size = 64\nepochs = 1\n[tune]\nsteps = 30\nsweeps = 1\n'


def summary(seed: int, **changed: Any) -> dict[str, Any]:
    return {"recipe": "default", "model": "early-pool", "precision": "float32", "parameters": 7568,
            "macs": 463840, "epochs": 12, "dataset": "mnist",
            "device": "cpu",
            "threads": 1, "torch": "2.13.0", "commit": "a" * 40, "seed": seed, "peak_lr": 0.2,
            "train_seconds": 100.0 + seed, "test_accuracy": ACCURACIES[seed % 3], "test_images": 10_000,
            "interval": [*wilson(round(100 * ACCURACIES[seed % 3]), 10_000)]} | changed


def lay_finished(sweep: Path, seed: int, **changed: Any) -> None:
    """What a finished run of SHORT leaves in the folder of its sweep."""
    folder = sweep / f"s{seed}"
    folder.mkdir()
    write_json(folder / "config.json", to_mapping(replace(SHORT, seed=seed)))
    said = {name: getattr(SHORT, name) for name in ("recipe", "model", "precision", "epochs", "threads")}
    write_json(folder / "summary.json", summary(seed, dataset=SHORT.data, **said) | changed)


ALL = [summary(seed) for seed in RECORD_SEEDS]


def test_the_table_has_every_run_by_its_seed_and_their_spread():
    found = table([summary(2), summary(0), summary(1)])
    assert [run["seed"] for run in found["runs"]] == [0, 1, 2]
    assert [run["test_accuracy"] for run in found["runs"]] == ACCURACIES
    assert found["test"]["n"] == 3
    assert found["test"]["mean"] == pytest.approx(statistics.fmean(ACCURACIES))
    assert found["test"]["sd"] == pytest.approx(0.1)
    half = 4.302653 * 0.1 / 3**0.5  # Student's t for 2 degrees of freedom
    assert found["test"]["interval"] == pytest.approx((99.5 - half, 99.5 + half), abs=1e-5)
    assert "validation" not in found


def test_the_validation_accuracy_is_summed_up_where_every_run_has_one():
    kept = [summary(seed, validation_accuracy=99.0 + seed) for seed in range(2)]
    assert table(kept)["validation"]["mean"] == 99.5
    assert "validation" not in table([*kept, summary(2)])


def test_a_sweep_begins_where_a_killed_one_has_left_half_of_its_config(tmp_path):
    (tmp_path / ".config.json.01234567.part").touch()
    begin(tmp_path, SHORT)
    assert (tmp_path / "config.json").exists()


def test_a_record_holds_what_was_measured_on_what(tmp_path):
    path = record(ALL, "mnist-ops sweep default --seeds 30 --record", tmp_path / "new")
    written = json.loads(path.read_text())
    assert path.name == "default.json"
    assert written["command"] == "mnist-ops sweep default --seeds 30 --record"
    figures = [one["test_accuracy"] for one in ALL]
    assert written["n"] == 30
    assert written["mean"] == pytest.approx(statistics.fmean(figures))
    assert written["sd"] == pytest.approx(statistics.stdev(figures))
    assert [run["seed"] for run in written["runs"]] == list(range(30))
    for key in ("format", "recipe", "parameters", "macs", "epochs", "dataset", "device", "threads", "torch", "commit",
                "precision", "interval", "machine"):
        assert key in written


@pytest.mark.parametrize("changed", [{"epochs": 11}, {"torch": "2.7.0"}, {"commit": "b" * 40},
                                     {"precision": "bfloat16"}])
def test_runs_that_differ_in_more_than_their_seed_make_no_record(changed, tmp_path):
    with pytest.raises(RunError, match=f"the runs differ in {next(iter(changed))}.*expected one"):
        record([*ALL[:-1], summary(29, **changed)], "", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("commit", [None, "a" * 40 + "+changes"])
def test_a_program_that_is_at_no_commit_makes_no_record(commit, tmp_path):
    with pytest.raises(RunError, match=r"expected a (clean checkout|commit)"):
        record([one | {"commit": commit} for one in ALL], "", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("summaries", [
    ALL[:-1], [*ALL[:-1], summary(100)], [one | {"dataset": "digits"} for one in ALL]])
def test_a_record_is_of_seeds_0_to_29_on_the_recipes_own_data(summaries, tmp_path):
    with pytest.raises(RunError, match="expected seeds 0 to 29 on mnist"):
        record(summaries, "", tmp_path)


def test_a_folder_belongs_to_one_sweep(tmp_path):
    config = begin(tmp_path / "sweep", replace(SHORT, seed=3, threads=4))
    assert (config.threads, config.test_every) == (4, 0)  # the test set is evaluated once
    assert begin(tmp_path / "sweep", replace(SHORT, threads=1)) == config  # continued, on the threads it was begun with
    with pytest.raises(UsageError, match=r"other settings \(threads: 4 there, 1 requested"):
        begin(tmp_path / "sweep", replace(SHORT, threads=1), keep_threads=False)
    with pytest.raises(UsageError, match=r"other settings \(epochs: 3 there, 4 requested"):
        begin(tmp_path / "sweep", replace(SHORT, epochs=4))


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / "results.json").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"has content but no config\.json of a sweep"):
        begin(tmp_path, SHORT)
    with pytest.raises(UsageError, match=r"results\.json: is a file, expected a folder"):
        begin(tmp_path / "results.json", SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    """`python -m mnist_ops` is replaced by a recorder that writes a summary, or fails for seed 2."""
    called: list[list[str]] = []

    def start(self: Children, command: list[str], _: object) -> tuple[int, str]:
        called.append(command)
        seed = int(command[command.index("--seed") + 1])
        if seed == 2:
            return 1, "mnist-ops: error: no luck\n"
        lay_finished(tmp_path, seed)
        return 0, ""

    monkeypatch.setattr(Children, "run", start)
    write_json(tmp_path / "config.json", to_mapping(SHORT))
    first = sorted(run_seeds(tmp_path, range(3), 3), key=lambda result: result.seed)
    assert first == [SeedDone(0, ANY, False), SeedDone(1, ANY, False), SeedFailed(2, "no luck", 2)]
    assert len(called) == 4  # seed 2 twice
    for command in called:
        assert command[1:6] == ["-m", "mnist_ops", "train", "--config", str(tmp_path / "config.json")]
        assert "--resume" in command
    called.clear()
    again = list(run_seeds(tmp_path, range(3), 3))
    assert [command[command.index("--seed") + 1] for command in called] == ["2", "2"]
    assert {result.seed for result in again if isinstance(result, SeedDone) and result.reused} == {0, 1}


@pytest.mark.parametrize(("file", "changed", "message"), [
    ("summary.json", {"test_accuracy": 100.0}, "summary.json has interval .*99.2.*, its other numbers .*100"),
    ("summary.json", {"dataset": "mnist"}, "summary.json has dataset 'mnist', config.json 'auto'"),
    ("summary.json", {"test_accuracy": float("nan")}, "summary.json: damaged, not JSON .it contains NaN"),
    ("summary.json", {"test_accuracy": 1e308}, "test_accuracy is 1e.308, expected a number from 0 to 100"),
    ("config.json", {"epochs": 7}, "not a run of this sweep .epochs is 7, in the sweep 3"),
])
def test_a_run_that_is_not_what_the_sweep_asked_for_does_not_count(file, changed, message, tmp_path):
    write_json(tmp_path / "config.json", to_mapping(SHORT))
    lay_finished(tmp_path, 0)
    assert finished(tmp_path, 0) == SeedDone(0, ANY, False)
    content = json.loads((tmp_path / "s0" / file).read_text())
    (tmp_path / "s0" / file).write_text(json.dumps(content | changed))
    [failed] = run_seeds(tmp_path, [0], 1)
    assert isinstance(failed, SeedFailed)
    assert re.search(message, failed.message)
    assert failed.message.endswith(f"Remove {tmp_path / 's0'}, and run the same command to train that seed again")


def test_a_run_that_is_killed_is_begun_once_more_and_named(tmp_path, monkeypatch):
    """Seed 0 is killed at its first attempt, seed 1 at both, seed 2 is wrong use."""
    write_json(tmp_path / "config.json", to_mapping(replace(SHORT, threads=2)))
    attempts: list[int] = []

    def start(self: Children, command: list[str], _: object) -> tuple[int, str]:
        assert (self.environment or {})["OMP_NUM_THREADS"] == "2"
        seed = int(command[command.index("--seed") + 1])
        attempts.append(seed)
        if seed == 2:
            return 2, "mnist-ops: error: no such thing"
        if seed == 1 or attempts.count(0) == 1:
            return -9, ""
        lay_finished(tmp_path, 0, threads=2)
        write_json(tmp_path / "s0" / "config.json", to_mapping(replace(SHORT, threads=2)))
        return 0, ""

    monkeypatch.setattr(Children, "run", start)
    killed, twice, wrong = sorted(run_seeds(tmp_path, range(3), 1), key=lambda result: result.seed)
    assert isinstance(killed, SeedDone)
    assert killed.retried is not None
    assert "killed by SIGKILL" in killed.retried
    assert isinstance(twice, SeedFailed)
    assert (twice.seed, twice.attempts) == (1, 2)
    assert "killed by SIGKILL" in twice.message
    assert wrong == SeedFailed(2, "no such thing", 1)
    assert sorted(attempts) == [0, 0, 1, 1, 2]


def test_a_run_that_a_process_of_a_killed_sweep_finished_meanwhile_counts(tmp_path, monkeypatch):
    def start(self: Children, command: list[str], _: object) -> tuple[int, str]:
        lay_finished(tmp_path, 0)  # by that process, while this one was loading
        return 1, "mnist-ops: error: this run has finished all 3 epochs"

    monkeypatch.setattr(Children, "run", start)
    write_json(tmp_path / "config.json", to_mapping(SHORT))
    assert list(run_seeds(tmp_path, [0], 1)) == [SeedDone(0, ANY, False)]


def test_a_process_that_is_killed_is_told_from_one_that_fails():
    lines: list[str] = []
    code = "import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    assert Children().run([sys.executable, "-c", code], lines.append) == (-9, "")
    assert lines == ["begun\n"]
    code = "import sys; sys.exit('mnist-ops: error: the disk is full')"
    assert ended_by(*Children().run([sys.executable, "-c", code])) == "the disk is full"
    code = "raise AssertionError('should not be reached')"
    assert ended_by(*Children().run([sys.executable, "-c", code])) == "AssertionError: should not be reached"


def test_what_a_process_says_at_length_does_not_hold_it_up():
    """More than a pipe holds, on stdout and stderr in turn."""
    code = "import sys\nfor _ in range(4): print('x' * 99_999); print('y' * 99_999, file=sys.stderr)"
    code_of_end, error = Children().run([sys.executable, "-c", code])
    assert (code_of_end, error.count("y")) == (0, 4 * 99_999)


@pytest.mark.parametrize(("words", "message"), [
    (["default", "--seeds", "0"], "expected integers of at least 1"),
    (["default", "--seeds", "2", "--jobs", "0"], "expected integers of at least 1"),
    (["default", "--seeds", "9" * 30], "at most 10,000 seeds"),
    (["default", "--seeds", "2", "--first-seed", "-1"], "a first seed of at least 0"),
    (["default", "--seeds", "2", "--record", "--epochs", "3"], "unchanged recipe on seeds 0 to 29; found --epochs 3"),
    (["defualt", "--seeds", "2"], "did you mean default"),
    (["default"], "expected --seeds N, or --search SPACE.toml"),
    (["default", "--seeds", "2", "--trials", "5"], "--trials: expected --seeds N, or --search"),
    (["default", "--seeds", "2", "--search", "space.toml"], "cannot be combined with --seeds, --record or --abreast"),
    (["default", "--search", "space.toml", "--abreast"], "cannot be combined with --seeds, --record or --abreast"),
    (["default", "--seeds", "30", "--record", "--abreast"], "unchanged recipe on seeds 0 to 29; found --abreast"),
    (["default", "--seeds", "2", "--epochs", "0"], "epochs: found 0, expected an integer from 1"),
])
def test_wrong_use_is_refused_before_anything_is_made(words, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *words]) == 2
    assert message in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_sweep_of_two_real_runs(tmp_path, capfd):
    settings = tmp_path / "quick.toml"
    settings.write_text(QUICK)
    command = ["sweep", "default", "--seeds", "2", "--first-seed", "7", "--config", str(settings),
               "--out", str(tmp_path / "sweep")]
    assert main(command) == 0
    shown = capfd.readouterr().out
    assert "2 runs" in shown
    assert "mean" in shown
    assert main([*command, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    written = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert {key: found[key] for key in ("test", "runs")} == {key: written[key] for key in ("test", "runs")}
    with Image.open(tmp_path / "sweep" / "seeds.png") as picture:
        assert picture.width == 1600
    assert [run["seed"] for run in found["runs"]] == [7, 8]
    for run in found["runs"]:
        stored = json.loads((tmp_path / "sweep" / f"s{run['seed']}" / "summary.json").read_text())
        assert stored["test_accuracy"] == run["test_accuracy"]
        assert stored["seed"] == run["seed"]
    assert found["test"]["mean"] == pytest.approx(statistics.fmean(run["test_accuracy"] for run in found["runs"]))
    assert main([*command, "--record"]) == 2
    assert "found --config" in capfd.readouterr().err
