"""A search: what it draws from, what counts as a trial, what a killed worker leaves, what is looked at once."""

import errno
import json
import os
import random
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from mnist_ops.arch.arithmetic import walk
from mnist_ops.arch.layers import Conv, Residual
from mnist_ops.arch.zoo import INPUT, MODELS, architecture, named_network, separable_block
from mnist_ops.cli.main import main
from mnist_ops.config import Config
from mnist_ops.data.source import read
from mnist_ops.errors import ConfigError, RunError, TrainingError, UsageError
from mnist_ops.model import build
from mnist_ops.randomness import stream
from mnist_ops.search import choice, claims, journal, worker
from mnist_ops.search.choice import conclude, summary
from mnist_ops.search.claims import WORKER, is_gone, presence, progress, release_lost
from mnist_ops.search.journal import cut_unfinished
from mnist_ops.search.space import Space, read_space, size
from mnist_ops.search.storage import masked, open_storage, without
from mnist_ops.search.study import front, load, save
from mnist_ops.search.study import plan as make_plan
from mnist_ops.search.values import AtRandom
from mnist_ops.search.worker import trial_path, work
from tests.miniature import few_digits
from tests.studies import (
    CONFIG,
    FIELDS,
    NETWORKS,
    SETTINGS,
    SPACE,
    begun,
    check_made_again,
    strike,
    study_plan,
    trials_of,
)


def space_of(data) -> Space:
    return read_space(data, CONFIG, "space.toml")


def drawn(space: Space, count: int = 200) -> list[Config]:
    generator = random.Random(1)
    return [config for _ in range(count) if (config := space.draw(AtRandom(generator), CONFIG, 10))]


# Networks by their blocks


def test_a_name_of_blocks_is_the_network_that_it_describes():
    assert named_network("blocks:8p2-16-16-16-24") == MODELS["early-pool-wide"]
    assert named_network("blocks:8p2-12-16-16-16") == MODELS["early-pool"]
    assert architecture("blocks:8", 3)[-1].channels == 3  # type: ignore[union-attr]


def test_blocks_have_strides_padding_residuals_and_a_width():
    assert named_network("blocks:16k5s2-32d-48d-64d")[:-2] == MODELS["separable-strided"][:-2]
    steps = walk(named_network("blocks:8a-8s2a-8r-16p2da"), INPUT)
    sides = [step.output_shape[1] for step in steps if not step.depth]
    assert sides[:-2] == [28] * 3 + [14] * 3 + [14] + [14, 14, 7, 7, 7]
    one = named_network("blocks:8p2-8dr")
    assert one[4] == Residual(separable_block(8, 8, padding=1))
    assert named_network("blocks:8p2-16-16-16-24*2") == named_network("blocks:16p2-32-32-32-48")
    assert named_network("blocks:8d", (3, 28, 28))[0] == Conv(3, groups=0)


def test_a_separable_block_has_the_parameters_that_one_counts_by_hand():
    separate = 8 * 5 * 5 + 8 * 16  # 5x5 of each of 8 channels; 8 to 16 channels, 1x1
    norms = 2 * 8 + 2 * 16
    assert size("blocks:8p2-16k5d", 10, INPUT)["parameters"] == 8 * 9 + separate + norms + 16 * 10
    build(named_network("blocks:8p2-16k5p2d"), INPUT, stream(0, "weights"))


@pytest.mark.parametrize("name", ["blocks:", "blocks:8-x", "blocks:8dk3", "blocks:0", "blocks:8k0", "blocks:9999",
                                  "blocks:" + "-".join(["8"] * 65), "blocks:8--8", "blocks:8-16r", "blocks:8-8s2r",
                                  "blocks:8-8k2r", "blocks:8*", "blocks:8*1000", "blocks:8s0", "blocks:8rk3"])
def test_a_name_of_no_blocks_is_refused(name):
    with pytest.raises(UsageError, match="model 'blocks:"):
        named_network(name)


# Spaces


def test_every_network_that_is_drawn_is_within_the_budget_and_can_be_built():
    configs = drawn(space_of({"architecture": NETWORKS}))
    assert len({config.model for config in configs}) > 20
    assert all(size(config.model, 10, INPUT)["parameters"] <= 900 for config in configs)
    assert any("k5" in config.model for config in configs)
    assert any(config.model.endswith("d") for config in configs)


def test_fields_are_drawn_from_their_ranges_and_choices_and_nothing_else_changes():
    shifts = {"low": 1, "high": 3, "step": 0.5}
    fields = {"lr": {"low": 0.05, "high": 0.4}, "augment": {"shift": shifts, "zoom": [0, 0.1]},
              "epochs": {"low": 2, "high": 4}}
    configs = drawn(space_of({"fields": fields}))
    assert {config.epochs for config in configs} == {2, 3, 4}
    assert {config.augment.zoom for config in configs} == {0.0, 0.1}
    assert all(1 <= config.augment.shift <= 3 and 0.05 <= config.lr <= 0.4 for config in configs)  # type: ignore[operator]
    for config in configs:
        assert replace(config, lr=0.1, epochs=2, augment=CONFIG.augment) == replace(CONFIG, lr=0.1)


@pytest.mark.parametrize(("data", "message"), [
    ({"fields": {"lrr": [0.1]}}, "space.toml: fields: lrr: unknown field; did you mean lr"),
    ({"fields": {"augment": {"shfit": [1]}}}, "augment: shfit: unknown field; did you mean shift"),
    ({"fields": {"epochs": {"low": 0, "high": 4}}}, "epochs: found 0, expected an integer from 1"),
    ({"fields": {"optimizer": {"momentum": [0.9, 2]}}}, "momentum: found 2, expected a number from 0"),
    ({"fields": {"seed": [1, 2]}}, "fields.seed: is the same in every trial"),
    ({"fields": {"lr": {"low": 1, "high": 0.1}}}, "fields.lr: found low 1, high 0.1.*expected low below high"),
    ({"fields": {"lr": {"low": 0, "high": 1, "log": True}}}, "fields.lr: log needs a low above 0"),
    ({"fields": {"lr": {"low": 0.1, "hihg": 1}}}, "fields.lr: found hihg, expected low, high"),
    ({"fields": {"lr": 0.1}}, "fields.lr: found 0.1, expected a range"),
    ({"fields": {"model": ["early-pol"]}}, "unknown model 'early-pol'; did you mean early-pool"),
    ({"field": {}}, "space.toml: field: unknown; did you mean fields"),
    ({}, "nothing to search"),
    ({"fields": FIELDS, "objectives": ["speed"]}, "objectives: found .*'speed'.*expected a list of accuracy"),
    ({"fields": FIELDS, "sampler": "grid"}, "sampler: found 'grid', expected one of tpe, random, nsga2"),
    ({"architecture": {"kernal": [3]}}, "architecture: kernal: unknown; did you mean kernels"),
    ({"architecture": {"kernels": [3.5]}}, "architecture.kernels: found .*expected a list of integers"),
    ({"fields": FIELDS, "objectives": [["accuracy"]]}, "objectives: found .*expected a list of accuracy"),
    ({"fields": {"lr": {"low": 1, "high": 10**400}}}, "fields.lr: low, high and step are .*expected numbers"),
    ({"architecture": {"kernels": [10**5000]}}, "architecture.kernels: found .*a list of integers from 1 to 64"),
    ({"architecture": {"pools": [0]}}, "architecture.pools: found .0., expected a list of integers from 1 to 64"),
    ({"architecture": {"blocks": {"low": 1, "high": 2.5}}}, "blocks: .*expected integers from 1 to 64"),
    ({"architecture": {}, "fields": {"model": ["seed"]}}, "both choose the network"),
])
def test_a_space_that_cannot_be_searched_is_refused_by_name(data, message):
    with pytest.raises(UsageError, match=message):
        space_of(data)


# A block of 4 channels has 4 x 9 weights and 8 numbers of its norm; each class adds 4 weights of the last layer.
ONE_BLOCK = {"blocks": [1], "channels": [4], "pools": [1]}


def test_a_budget_is_held_against_the_classes_of_the_data(tmp_path):
    of_two = replace(few_digits(), classes=("no", "yes"))
    fits = space_of({"architecture": ONE_BLOCK | {"max_parameters": 52}})
    assert make_plan("two", CONFIG, of_two, fits).space.draw(AtRandom(random.Random(0)), CONFIG, 2) is not None
    for many, classes in ((10, 84), (47, 232)):
        assert 44 + 4 * many == classes
        with pytest.raises(ConfigError, match=rf"space.toml: architecture: none of 2,000 .* {many} classes fits"):
            fits.check_budget(many, INPUT)
        space_of({"architecture": ONE_BLOCK | {"max_parameters": classes}}).check_budget(many, INPUT)


def test_a_search_that_draws_past_its_budget_again_and_again_ends_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "MOST_MISSES", 5)
    scarce = study_plan({"architecture": ONE_BLOCK | {"channels": [4, 400, 401, 402], "max_parameters": 90}})
    fits = scarce.space.architectures
    monkeypatch.setattr(type(fits), "fits", lambda *_: False)  # as when the one that fits is never drawn
    with begun(tmp_path, scarce) as study:
        with pytest.raises(ConfigError, match=r"space.toml: architecture: none of the last 5 networks drawn fits"):
            list(work(scarce, few_digits(), tmp_path, study=study, total=3))
        assert summary(trials_of(study))["infeasible"] == 5


# Trials


def test_as_many_trials_are_made_as_were_asked_for_and_more_on_asking_for_more(tmp_path):
    """The test set is not looked at before the end, then once, and the best by validation is chosen."""
    plan = study_plan({"fields": FIELDS})
    assert (plan.config.validation, plan.config.test_every) == (24, 0)
    with begun(tmp_path, plan) as study:
        first = list(work(plan, few_digits(), tmp_path, study=study, total=2))
        more = list(work(plan, few_digits(), tmp_path, study=study, total=4))
        assert [trial["trial"] for trial in (*first, *more)] == [0, 1, 2, 3]
        assert list(work(plan, few_digits(), tmp_path, study=study, total=4)) == []
        left = sorted(path.name for path in (tmp_path / "trials").iterdir())
        histories = [(tmp_path / "trials" / name / "history.jsonl").read_text() for name in left]
        assert "validation_accuracy" in histories[0]
        assert not any("test" in history for history in histories)
        assert not list(tmp_path.rglob("summary.json"))
        results = conclude(plan, few_digits(), tmp_path, study)
    best = max((*first, *more), key=lambda trial: (trial["accuracy"], -trial["trial"]))
    chosen, = results["chosen"]
    assert (chosen["trial"], chosen["validation_accuracy"]) == (best["trial"], best["accuracy"])
    made = json.loads((trial_path(tmp_path, best["trial"]) / "summary.json").read_text())
    assert (made["test_accuracy"], made["test_images"]) == (chosen["test_accuracy"], 40)
    assert [path.name for path in (tmp_path / "trials").iterdir()] == [str(best["trial"])]


def test_a_figure_that_was_made_is_not_made_again(tmp_path, monkeypatch):
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        list(work(plan, few_digits(), tmp_path, study=study, total=1))
        first = conclude(plan, few_digits(), tmp_path, study)
        monkeypatch.setattr(choice, "run", None)
        (trial_path(tmp_path, 0) / "summary.json").unlink()
        assert conclude(plan, few_digits(), tmp_path, study) == first
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        there, = conclude(plan, few_digits(), elsewhere, study)["chosen"]
    assert (there["test_accuracy"], there["run"]) == (first["chosen"][0]["test_accuracy"], None)


def test_networks_past_the_budget_are_neither_trained_nor_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_train", lambda *_: 90.0)
    plan = study_plan({"architecture": NETWORKS | {"max_parameters": 400}, "sampler": "random",
                       "objectives": ["accuracy", "parameters", "macs"]})
    with begun(tmp_path, plan) as study:
        made = list(work(plan, few_digits(), tmp_path, study=study, total=30))
        counted = summary(trials_of(study))
    states = [trial["state"] for trial in made]
    assert states.count("trained") == 30 == counted["done"]
    assert counted["infeasible"] == states.count("infeasible") > 0
    assert all(trial["parameters"] <= 400 for trial in made if trial["state"] == "trained")


def test_a_trial_below_the_median_is_pruned_and_counts(tmp_path):
    """With a rate of nearly 0 nothing is learnt."""
    plan = study_plan({"fields": {"lr": {"low": 1e-9, "high": 0.5}}, "startup_trials": 2, "warmup_epochs": 0})
    with begun(tmp_path, plan) as study:
        for rate in (0.3, 0.3, 1e-9):
            study.enqueue_trial({"lr": rate})
        made = list(work(plan, few_digits(), tmp_path, study=study, total=3))
        assert summary(trials_of(study))["done"] == 3
    assert [trial["state"] for trial in made] == ["trained", "trained", "pruned"]
    assert made[2]["epochs"] == 1
    assert not trial_path(tmp_path, 2).exists()


def test_settings_that_cannot_be_trained_fail_once_with_their_reason(tmp_path, monkeypatch):
    def diverge(*_: object) -> float:
        raise TrainingError("epoch 1, batch 3: the training loss is nan")

    monkeypatch.setattr(worker, "_train", diverge)
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        made = list(work(plan, few_digits(), tmp_path, study=study, total=2))
        results = conclude(plan, few_digits(), tmp_path, study)
    assert [(trial["state"], trial["error"]) for trial in made] == 2 * [
        ("failed", "epoch 1, batch 3: the training loss is nan")]
    assert results["trials"]["failed"] == 2
    assert results["chosen"] == []


def test_workers_that_ask_at_the_same_moment_make_at_least_as_many_trials_as_were_asked_for(tmp_path, monkeypatch):
    """Six at once, of which each may see a place free while the others take it: so at most one more for each other."""
    monkeypatch.setattr(worker, "_train", lambda *_: 90.0)
    plan, total = study_plan({"fields": FIELDS, "sampler": "random"}), 9
    made: list[int] = []

    def one() -> None:
        with begun(tmp_path, plan) as study:
            made.extend(trial["trial"] for trial in work(plan, few_digits(), tmp_path, study=study, total=total)
                        if trial["state"] == "trained")

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with begun(tmp_path, plan) as study:
        assert progress(trials_of(study)).settled == len(made)
    assert total <= len(made) == len(set(made)) < total + 6


def test_a_killed_worker_loses_only_its_trial_which_is_made_again(tmp_path):
    """A process works on a journal, and is killed in a trial; this one goes on."""
    source = read("digits")
    config = replace(CONFIG, data="digits", batch_size=128, epochs=3)
    plan = make_plan("journal", config, source, read_space({"fields": FIELDS, "pruner": "none"}, config, "space.toml"))
    save(tmp_path, plan, None)
    with begun(tmp_path, plan) as study:
        killed = subprocess.Popen([sys.executable, "-m", "mnist_ops", "search-worker", str(tmp_path), "--trials", "3",
                                   "--heartbeat", "1"], stdout=subprocess.DEVNULL)
        lost = strike(study, {killed.pid})
        killed.wait()
        list(work(load(tmp_path), source, tmp_path, study=study, total=3))
        check_made_again(study, lost, 3)


def test_settings_that_kill_every_worker_are_given_up_for_others(tmp_path):
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        for attempt in range(3):
            trial = study.ask()
            trial.suggest_float("lr", 0.05, 0.4, log=True)
            with presence(tmp_path) as name:
                trial.set_user_attr(WORKER, name)
                assert not is_gone(tmp_path, name)
                assert release_lost(study, tmp_path, {}) == []
            (tmp_path / "workers" / f"{name}.lock").touch()  # as a killed worker leaves it
            assert release_lost(study, tmp_path, {}) == [trial.number]
            assert release_lost(study, tmp_path, {}) == []
            assert progress(trials_of(study)).counted == (1 if attempt < 2 else 0)
        assert len({tuple(trial.params.values()) for trial in trials_of(study)}) == 1
        assert {trial.state for trial in trials_of(study)} == {TrialState.FAIL}


def test_a_trial_that_nobody_has_signed_is_given_some_minutes(tmp_path, monkeypatch):
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        study.ask()
        assert release_lost(study, tmp_path, {}) == []
        monkeypatch.setattr(claims, "UNSIGNED", timedelta(0))
        assert release_lost(study, tmp_path, {}) == [0]


def test_a_clock_that_jumps_takes_no_trial_from_a_worker_that_has_yet_to_sign_it(tmp_path, monkeypatch):
    """Two hours forward at once, as in summer time; then back to two hours before the trial began."""
    watched = [0.0]
    monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda: watched[0]))
    with begun(tmp_path, study_plan({"fields": FIELDS})) as study:
        for jump, patience in ((timedelta(hours=2), 60), (timedelta(hours=-2), 600)):
            seen: dict[int, float] = {}
            number = study.ask().number
            now = datetime.now() + jump
            monkeypatch.setattr(claims, "datetime", SimpleNamespace(now=lambda now=now: now))
            for seconds in (0, 1, patience - 2):
                watched[0] += seconds
                assert release_lost(study, tmp_path, seen) == []
            watched[0] += 2
            assert release_lost(study, tmp_path, seen) == [number]


def test_a_trial_whose_storage_or_disk_fails_is_left_to_be_repeated(tmp_path, monkeypatch):
    plan = study_plan({"fields": FIELDS})

    def broken(*_: object) -> None:
        raise RunError("the disk is full")

    with begun(tmp_path, plan) as study:
        with monkeypatch.context() as patch:
            patch.setattr(worker, "_train", broken)
            with pytest.raises(RunError, match="the disk is full"):
                list(work(plan, few_digits(), tmp_path, study=study, total=1))
        assert [trial.state for trial in trials_of(study)] == [TrialState.RUNNING]
        assert release_lost(study, tmp_path, {}) == [0]
        assert trials_of(study)[1].user_attrs["retry_of"] == 0


def test_another_machines_lock_is_trusted_only_where_there_is_a_journal(tmp_path):
    with presence(tmp_path) as name:
        pass
    (tmp_path / "workers" / f"elsewhere{name}.lock").touch()
    (tmp_path / "workers" / f"{name}.lock").touch()
    assert is_gone(tmp_path, name)
    assert not is_gone(tmp_path, f"elsewhere{name}")
    (tmp_path / "journal.log").touch()
    assert is_gone(tmp_path, f"elsewhere{name}")


def test_the_front_is_what_no_other_trial_is_better_than(tmp_path):
    space = space_of({"fields": FIELDS, "objectives": ["accuracy", "parameters"]})
    plan = study_plan(dict(space.data))
    with begun(tmp_path, plan) as study:
        for accuracy, parameters in [(98, 500), (99, 900), (98, 600), (97, 400), (99, 900), (96, 450)]:
            study.tell(study.ask(), [accuracy, parameters])
        assert [trial.number for trial in front(trials_of(study), space)] == [1, 0, 3]
        from_optuna = {trial.number for trial in study.best_trials}
    assert from_optuna - {4} == {0, 1, 3}  # 4 equals 1


# Storages


def test_another_space_under_the_same_name_is_refused_with_what_differs(tmp_path):
    with begun(tmp_path, study_plan({"fields": FIELDS})):
        pass
    other = study_plan({"fields": FIELDS, "sampler": "random"}, replace(CONFIG, epochs=5))
    message = r"config\.epochs: 2 there, 5 here; space\.sampler: None there, 'random' here"
    with pytest.raises(UsageError, match=message), begun(tmp_path, other):
        pass
    machine = replace(CONFIG, threads=7, precision="bfloat16")
    with begun(tmp_path, study_plan({"fields": FIELDS}, machine)):  # which every machine has its own of
        pass


def test_a_line_that_a_killed_writer_left_is_cut_and_the_journal_goes_on(tmp_path):
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        study.enqueue_trial({"lr": 0.1})
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x' + b"y" * 100_000)
    with begun(tmp_path, plan) as study:
        study.enqueue_trial({"lr": 0.2})
    with begun(tmp_path, plan) as study:
        assert [trial.system_attrs["fixed_params"]["lr"] for trial in trials_of(study)] == [0.1, 0.2]


@pytest.mark.parametrize(("content", "kept"), [(b"", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb", b"a\n"), (b"abc", b""),
                                               (b"a\n" + b"x" * 70_000, b"a\n"), (b"a\n" + b"x" * 2_000_000, b"a\n"),
                                               (b"a\n" + bytes(9), b"a\n"), (b"a\nb\0\0c\nd\n", b"a\n")])
def test_what_follows_the_last_whole_line_is_cut(content, kept, tmp_path):
    (tmp_path / "journal").write_bytes(content)
    cut_unfinished(tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == kept


def test_a_journal_with_zeros_where_the_power_was_lost_is_opened(tmp_path):
    plan = study_plan({"fields": FIELDS})
    with begun(tmp_path, plan) as study:
        study.enqueue_trial({"lr": 0.1})
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(bytes(300) + b'"}\n{"op_code":4}\n')
    with begun(tmp_path, plan) as study:
        assert len(trials_of(study)) == 1


def test_a_worker_whose_lock_is_lost_with_the_power_is_gone(tmp_path):
    with presence(tmp_path) as name:
        pass
    assert not is_gone(tmp_path, name)  # a database's worker may have another folder
    (tmp_path / "journal.log").touch()
    assert is_gone(tmp_path, name)
    assert not is_gone(tmp_path, f"elsewhere{name}")
    assert not is_gone(tmp_path, "")


def test_a_disk_that_fails_under_a_journal_is_an_error_by_name_and_lets_others_write(tmp_path, monkeypatch):
    study = optuna.create_study(storage=open_storage(tmp_path, None, 1).storage)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"journal\.log: cannot be read or written \(No space left on device\)"):
            study.set_user_attr("a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "cut_unfinished", lambda _: full(0))
        with pytest.raises(OSError, match="No space left"):
            journal.WholeLines(tmp_path / "journal.log").acquire()
    open_storage(tmp_path, None, 1)  # would wait for ever for a lock that was kept


@pytest.mark.parametrize("content", ["{not json}\n{}\n", "{}\n", "[1]\n", "5\n", '{"op_code": [], "worker_id": 0}\n'])
def test_a_journal_that_is_damaged_within_is_refused_by_name(content, tmp_path):
    (tmp_path / "journal.log").write_text(content)
    with pytest.raises(RunError, match=r"journal\.log: damaged"):
        open_storage(tmp_path, None, 1)


@pytest.mark.parametrize(("url", "shown"), [
    ("postgresql://me:s3cret@host:5432/db", "postgresql://me:***@host:5432/db"),
    ("postgresql://me@host/db", "postgresql://me@host/db"),
    ("postgresql+psycopg://me:s3cret@/db?host=/run", "postgresql+psycopg://me:***@/db?host=/run"),
    ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
    ("postgresql://me:p@s3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:p/s3cret@host/db", "postgresql://***@host/db"),
    ("sqlite:///studies.db", "sqlite:///studies.db"),
    ("me:s3cret", "'me:***'"),
])
def test_a_password_is_shown_in_no_url_and_no_error(url, shown):
    assert masked(url) == shown
    said = without(url, RuntimeError(f"cannot connect to {url}\nat all"))
    assert "s3cret" not in said
    assert said.startswith("cannot connect to")


@pytest.mark.parametrize(("words", "message"), [
    (["--search", "none.toml"], "none.toml: cannot be read"),
    (["--search", "bad.toml"], "bad.toml: not TOML"),
    (["--search", "odd.toml"], "odd.toml: fields: lrr: unknown field; did you mean lr"),
    (["--search", "named.toml"], "named.toml: fields: model: 'tiny' is a recipe; its network is 'blocks:6-12p2d"),
    (["--search", "space.toml", "--trials", "0"], "--trials 0 .*expected integers of at least 1"),
    (["--search", "space.toml", "--storage", "nonsense:s3cret"], r"'nonsense:\*\*\*': .*expected a URL such as"),
    (["--search", "space.toml", "--storage", "oracle9://me:s3cret@host/db"], r"oracle9://me:\*\*\*@host/db: "),
])
def test_wrong_use_of_a_search_is_refused_before_anything_is_made(words, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name, text in {"bad": "[", "odd": "[fields]\nlrr = [1]\n", "named": "[fields]\nmodel = ['tiny']\n",
                       "space": SPACE, "settings": SETTINGS}.items():
        (tmp_path / f"{name}.toml").write_text(text)
    before = sorted(tmp_path.iterdir())
    assert main(["sweep", "default", "--config", "settings.toml", *words]) == 2
    said = capfd.readouterr().err
    assert re.search(message, said), said
    assert "s3cret" not in said
    assert sorted(tmp_path.iterdir()) == before
