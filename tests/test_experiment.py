"""A run from recipe to figure: its events and files, stopping and resuming, and what stops it."""

import contextlib
import json
import re
import resource
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import torch

from mnist_ops import epoch, experiment
from mnist_ops.config import RECIPES, Schedule, Tune
from mnist_ops.data.tensors import to_device
from mnist_ops.errors import ConfigError, RunError, TrainingError, UsageError
from mnist_ops.events import EpochDone, Finished, Started, StepDone, Warned
from mnist_ops.experiment import run
from mnist_ops.optim import schedule
from mnist_ops.optim import train as training
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import EpochSoFar
from mnist_ops.optim.tune import RangeTest, SweepStep
from mnist_ops.run import provenance
from mnist_ops.run.checkpoint import load_checkpoint, save_checkpoint
from mnist_ops.run.folder import FORMAT, open_folder, read_config, read_history, read_json
from mnist_ops.run.trained import load_trained
from mnist_ops.score import evaluate as evaluation_stage
from mnist_ops.score.evaluate import evaluate
from mnist_ops.settle import settle
from tests.miniature import CPU, SHORT, few_digits, of_kind, same_run, stopped, train, weights

WITH_EVERYTHING = replace(SHORT, model="seed", epochs=3, batch_size=16, validation=24, augment=RECIPES["seed"].augment)
SEARCHING = replace(SHORT, lr="auto", batch_size=16, tune=Tune(lowest=1e-3, highest=1.0, steps=30, sweeps=1, scale=1.0))


# ---------------------------------------------------------------- a whole run


def test_events_come_in_the_order_of_the_run(tmp_path):
    events = list(run(replace(SEARCHING, epochs=2, validation=16), few_digits(), tmp_path))
    kinds = [type(event) for event in events]
    started, result, finished = events[0], events[kinds.index(RangeTest)], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.epochs_done, started.path) == (0, tmp_path)
    assert kinds.index(SweepStep) < kinds.index(RangeTest) < kinds.index(StepDone) < kinds.index(EpochDone)
    assert isinstance(result, RangeTest)
    assert result.lr == finished.summary["peak_lr"]
    in_epoch = [event.part for event in of_kind(events, StepDone) if event.epoch == 1]
    assert in_epoch == ["train"] * 5 + ["validation", "test"]
    assert [event.row["epoch"] for event in of_kind(events, EpochDone)] == [1, 2]
    assert next(event.verdict.kind for event in of_kind(events, EpochDone)) == "first"


def test_every_step_on_a_processor_tells_loss_and_accuracy_so_far(tmp_path):
    events = list(run(replace(SHORT, epochs=1), few_digits(), tmp_path))
    steps = [event for event in of_kind(events, StepDone) if event.part == "train"]
    assert [(step.batch, step.batches) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all(step.loss > 0 and 0 <= step.accuracy <= 100 for step in steps)
    row = of_kind(events, EpochDone)[0].row
    assert (steps[-1].loss, steps[-1].accuracy) == (row["train_loss"], row["train_accuracy"])


def test_the_folder_holds_what_the_events_said(tmp_path):
    finished = train(replace(SEARCHING, validation=16), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock", "config.json", "history.jsonl", "model.safetensors", "checkpoint.pt", "lr.json", "summary.json"}
    assert read_history(tmp_path) == finished.history
    assert read_json(tmp_path / "summary.json") == {"format": FORMAT, **finished.summary}
    search = read_json(tmp_path / "lr.json")
    assert search["lr"] == finished.summary["peak_lr"]
    assert set(search["suggestions"]) == {"steepest", "valley", "minimum/10"}
    for row in finished.history:
        assert {"epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss",
                "test_accuracy", "last_lr", "seconds"} <= set(row)


def test_the_summary_has_what_a_claim_needs(tmp_path):
    summary = train(SHORT, tmp_path).summary
    assert {"model", "recipe", "dataset", "parameters", "macs", "epochs", "peak_lr", "seed", "test_accuracy",
            "running_train_accuracy", "interval", "train_seconds", "device", "threads", "precision", "torch",
            "commit"} <= set(summary)
    assert (summary["model"], summary["dataset"], summary["recipe"]) == ("early-pool", "digits", "short")
    assert (summary["parameters"], summary["device"], summary["threads"]) == (7568, "cpu", 1)
    assert summary["interval"][0] < summary["test_accuracy"] < summary["interval"][1]
    assert summary["train_seconds"] > 0
    assert "format" in json.loads((tmp_path / "summary.json").read_text())


def test_the_figure_is_that_of_the_saved_weights(tmp_path):
    summary = train(replace(SHORT, validation=24), tmp_path).summary
    trained = load_trained(tmp_path)
    found = evaluate(trained.network, to_device(few_digits(), 24, CPU).test, trained.mean, trained.sd)
    assert found.accuracy == summary["test_accuracy"]


def test_with_a_validation_part_the_best_epoch_is_kept(tmp_path):
    cfg = replace(SHORT, epochs=6, lr=0.5, validation=24, schedule=Schedule(name="constant"))
    finished = train(cfg, tmp_path)
    best = max(finished.history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert finished.summary["reported_epoch"] == best["epoch"]
    assert finished.summary["test_accuracy"] == best["test_accuracy"]
    assert finished.summary["running_train_accuracy"] == best["train_accuracy"]


def test_without_a_validation_part_the_last_epoch_is_the_figure(tmp_path):
    finished = train(SHORT, tmp_path)
    assert finished.summary["reported_epoch"] == 3
    assert finished.summary["test_accuracy"] == finished.history[-1]["test_accuracy"]


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3]), (2, [2, 3]), (0, [])])
def test_the_test_part_is_looked_at_as_often_as_asked_and_always_at_the_end(every, epochs, tmp_path):
    events = list(run(replace(SHORT, test_every=every), few_digits(), tmp_path))
    assert [event.row["epoch"] for event in of_kind(events, EpochDone) if "test_accuracy" in event.row] == epochs
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert 0 <= finished.summary["test_accuracy"] <= 100


def test_a_rate_that_is_given_needs_no_search(tmp_path):
    events = list(run(SHORT, few_digits(), tmp_path))
    assert not of_kind(events, SweepStep)
    assert not (tmp_path / "lr.json").exists()
    assert read_json(tmp_path / "summary.json")["peak_lr"] == 0.1


def test_the_config_of_a_run_gives_the_same_run_again(tmp_path):
    train(replace(SEARCHING, validation=16), tmp_path / "first")
    train(read_config(tmp_path / "first"), tmp_path / "second")
    same_run(tmp_path / "first", tmp_path / "second")


def test_the_config_is_saved_as_resolved(tmp_path):
    config = replace(SHORT, device="auto", precision="auto", target="auto", data="auto", epochs=1)
    *_, _ = run(config, few_digits(), tmp_path)
    saved = read_config(tmp_path)
    assert (saved.data, saved.target) == ("digits", 0)
    assert saved.device != "auto"
    assert saved.precision != "auto"


def test_mnist_has_a_target_of_its_own():
    assert settle(SHORT, replace(few_digits(), name="mnist")).target == 99.4
    assert settle(replace(SHORT, target=50.0), replace(few_digits(), name="mnist")).target == 50


def test_a_run_reaches_its_target(tmp_path):
    events = list(run(replace(SHORT, target=1.0), few_digits(), tmp_path))
    assert of_kind(events, EpochDone)[-1].verdict.kind == "target"


def test_of_hundreds_of_epochs_one_in_a_hundredth_is_saved_and_a_stopped_run_goes_on_from_there(tmp_path):
    config = replace(SHORT, model="separable-micro", epochs=201, batch_size=96, test_every=0)
    stopped(config, tmp_path / "half", after=4)
    assert len(read_history(tmp_path / "half")) == 3
    train(config, tmp_path / "half", resume=True)
    train(config, tmp_path / "whole")
    same_run(tmp_path / "half", tmp_path / "whole")


def test_the_warnings_of_the_data_are_passed_on(tmp_path):
    events = run(replace(SHORT, epochs=1), replace(few_digits(), warnings=("not the original",)), tmp_path)
    assert [event.text for event in of_kind(events, Warned)] == [
        "not the original", "only 3 training steps in total (--epochs 1, 96 images, batch size 32), too few to learn "
        "much: leave out --epochs and --batch-size, or use more epochs or smaller batches"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        train(replace(WITH_EVERYTHING, epochs=1, seed=seed), tmp_path / name)
    same_run(tmp_path / "one", tmp_path / "two")
    assert weights(tmp_path / "one") != weights(tmp_path / "other")


def test_global_randomness_plays_no_part(tmp_path):
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        train(replace(WITH_EVERYTHING, epochs=1), tmp_path / str(seed))
        assert torch.equal(torch.get_rng_state(), before)
    same_run(tmp_path / "1", tmp_path / "2")


# ---------------------------------------------------------------- stop and resume


@pytest.mark.parametrize(("after", "batches"), [(1, 0), (1, 2), (2, 1), (0, 2)])
def test_stopping_and_resuming_changes_nothing(after, batches, tmp_path):
    train(WITH_EVERYTHING, tmp_path / "whole")
    stopped(WITH_EVERYTHING, tmp_path / "half", after, batches)
    assert not (tmp_path / "half" / "summary.json").exists()
    train(WITH_EVERYTHING, tmp_path / "half", resume=True)
    same_run(tmp_path / "whole", tmp_path / "half")


@pytest.mark.parametrize("changed", [
    {"optimizer": replace(SHORT.optimizer, name="adamw"), "lr": 0.01},
    {"optimizer": replace(SHORT.optimizer, name="muon")},
    {"schedule": Schedule(name="plateau", patience=0), "validation": 24, "lr": 0.5},
    {"precision": "bfloat16"},
], ids=["adamw", "muon", "plateau", "bfloat16"])
def test_stopping_and_resuming_changes_nothing_with_other_settings(changed, tmp_path):
    config = replace(SHORT, epochs=4, **changed)
    train(config, tmp_path / "whole")
    stopped(config, tmp_path / "half", after=2)
    train(config, tmp_path / "half", resume=True)
    same_run(tmp_path / "whole", tmp_path / "half")


def test_a_resumed_run_searches_no_second_time_and_says_where_it_is(tmp_path):
    stopped(SEARCHING, tmp_path, after=1)
    events = list(run(SEARCHING, few_digits(), tmp_path, resume=True))
    assert isinstance(events[0], Started)
    assert events[0].epochs_done == 1
    assert not of_kind(events, SweepStep)
    assert [event.row["epoch"] for event in of_kind(events, EpochDone)] == [2, 3]


def test_a_run_stopped_in_its_search_starts_anew(tmp_path):
    train(SEARCHING, tmp_path / "whole")
    events = run(SEARCHING, few_digits(), tmp_path / "half")
    for _ in range(5):
        next(events)
    events.close()
    resumed = list(run(SEARCHING, few_digits(), tmp_path / "half", resume=True))
    assert any("nothing was saved here yet" in warning.text for warning in of_kind(resumed, Warned))
    same_run(tmp_path / "whole", tmp_path / "half")


def test_a_stopped_run_leaves_a_folder_that_is_whole_and_free(tmp_path):
    stopped(replace(SHORT, epochs=5), tmp_path, after=2, batches=1)
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt")
    assert checkpoint is not None
    assert checkpoint.history == read_history(tmp_path)
    assert len(checkpoint.history) == 2
    assert load_trained(tmp_path).model == "early-pool"
    open_folder(tmp_path, read_config(tmp_path), resume=True).close()
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("state", ["cut", "missing", "too long", "garbage", "not text"])
def test_resuming_repairs_the_history(state, tmp_path):
    config = replace(SHORT, epochs=4)
    train(config, tmp_path / "whole")
    stopped(config, tmp_path / "half", after=2)
    history = tmp_path / "half" / "history.jsonl"
    whole = history.read_text()
    {"cut": lambda: history.write_text(whole[:-10]), "missing": history.unlink,
     "too long": lambda: history.write_text(whole + '{"epoch": 3, "train_loss": 1}\n'),
     "garbage": lambda: history.write_text(whole.replace('"epoch": 1', "}{", 1)),
     "not text": lambda: history.write_bytes(b"\xff\x00" * 100)}[state]()
    train(config, tmp_path / "half", resume=True)
    same_run(tmp_path / "whole", tmp_path / "half")


def test_a_run_that_lacks_its_summary_alone_gets_it(tmp_path):
    train(SHORT, tmp_path)
    expected = read_json(tmp_path / "summary.json")
    (tmp_path / "summary.json").unlink()
    assert {"format": FORMAT, **train(SHORT, tmp_path, resume=True).summary} == expected


def test_a_finished_run_is_not_resumed(tmp_path):
    train(SHORT, tmp_path)
    with pytest.raises(RunError, match=r"this run has finished all 3 epochs"):
        train(SHORT, tmp_path, resume=True)


def test_a_finished_run_stays_finished_without_its_checkpoint(tmp_path):
    train(SHORT, tmp_path)
    (tmp_path / "checkpoint.pt").unlink()  # to save space; training again would put other weights beside its summary
    before = weights(tmp_path)
    with pytest.raises(RunError, match=r"this run has finished all 3 epochs"):
        train(SHORT, tmp_path, resume=True)
    assert weights(tmp_path) == before


@pytest.mark.parametrize("validation", [0, 24])
@pytest.mark.parametrize("late", ["weights", "history"])
def test_what_others_read_never_runs_ahead_of_what_a_resumed_run_goes_on_from(late, validation, tmp_path, monkeypatch):
    """A run that is killed after a checkpoint shows the epoch before; on resuming, weights and history follow."""
    config = replace(SHORT, epochs=2, validation=validation)
    train(config, tmp_path / "whole")
    writes = {"weights": "save_trained", "history": "write_history"}

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(experiment, writes[late], killed)
        with pytest.raises(SystemExit):
            train(config, tmp_path / "half")
    kept = load_checkpoint(tmp_path / "half" / "checkpoint.pt")
    assert kept is not None
    assert (len(kept.history), len(read_history(tmp_path / "half"))) == (1, 0)
    assert (tmp_path / "half" / "model.safetensors").exists() == (late == "history")
    train(config, tmp_path / "half", resume=True)
    same_run(tmp_path / "whole", tmp_path / "half")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("what", ["images", "labels"])
def test_a_run_does_not_go_on_with_other_data_of_the_same_name(part, what, tmp_path):
    stopped(SHORT, tmp_path, after=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    here = getattr(few_digits(), part)
    changed = getattr(here, what).copy()
    changed.flat[0] ^= 1
    other = replace(few_digits(), **{part: replace(here, **{what: changed})})
    with pytest.raises(UsageError, match=r"started with other images or labels .* under the same name; restore"):
        train(SHORT, tmp_path, resume=True, source=other)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    train(SHORT, tmp_path, resume=True)


def test_a_run_that_goes_on_with_another_torch_or_program_says_so(tmp_path, monkeypatch):
    stopped(SHORT, tmp_path, after=1)
    begun = torch.__version__
    monkeypatch.setattr(torch, "__version__", "9.9")
    monkeypatch.setattr(experiment, "commit", lambda: "another")
    told = [warning.text for warning in of_kind(run(SHORT, few_digits(), tmp_path, resume=True), Warned)]
    assert len(told) == 2
    assert f"started with torch {begun} and continues with 9.9: its last bits may differ" in told[0]
    assert "and continues with another" in told[1]


def test_a_run_that_goes_on_on_another_machine_names_both(tmp_path, monkeypatch):
    stopped(SHORT, tmp_path, after=1)
    monkeypatch.setattr(provenance, "processor", lambda: "Another")
    monkeypatch.setattr(provenance, "available_cores", lambda: 96)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX9")
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    told = [warning.text for warning in of_kind(run(SHORT, few_digits(), tmp_path, resume=True), Warned)]
    assert len(told) == 2
    assert re.search(r"started with processor .+, \d+ cores and continues with Another, AVX9, 96 cores: its last bits "
                     "may differ", told[0])
    assert re.search(r"started with system \w+ .+ and continues with Plan9 ", told[1])


def test_a_run_of_an_older_version_that_records_no_machine_goes_on_without_a_word(tmp_path):
    stopped(SHORT, tmp_path, after=1)
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt")
    assert checkpoint is not None
    checkpoint.made = {name: checkpoint.made[name] for name in ("torch", "commit", "data")}
    save_checkpoint(tmp_path / "checkpoint.pt", checkpoint)
    assert of_kind(run(SHORT, few_digits(), tmp_path, resume=True), Warned) == []


def test_a_folder_in_use_or_with_another_config_is_not_resumed(tmp_path):
    events = run(SHORT, few_digits(), tmp_path)
    next(events)
    with pytest.raises(RunError, match="another run is writing"):
        train(SHORT, tmp_path, resume=True)
    events.close()
    with pytest.raises(UsageError, match=r"other settings \(lr: 0.1 there, 0.2 requested\)"):
        train(replace(SHORT, lr=0.2), tmp_path, resume=True)
    with pytest.raises(UsageError, match="already exists"):
        train(SHORT, tmp_path)


def test_a_damaged_checkpoint_stops_resuming_and_is_named(tmp_path):
    stopped(SHORT, tmp_path, after=1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(RunError, match=r"checkpoint\.pt: damaged"):
        train(SHORT, tmp_path, resume=True)


# ---------------------------------------------------------------- what stops a run


def explode_from(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the rate be 1e30 from that step on."""
    real = schedule.learning_rate

    def rate(plan: RunSchedule, number: int, losses: Any = ()) -> float:
        return 1e30 if number >= step else real(plan, number, losses)

    monkeypatch.setattr(training, "learning_rate", rate)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_rate(tmp_path):
    with pytest.raises(TrainingError, match=(r"epoch 1, batch \d: the training loss is (nan|inf) at the rate .*e\+.*; "
                                             r"no epoch was saved, so none is kept. Try a lower --lr")):
        train(replace(SHORT, lr=1e30), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


# 3 batches to an epoch: step 3 is the first of epoch 2, step 5 its last, after whose damage no loss is measured.
@pytest.mark.parametrize("step", [3, 5])
@pytest.mark.parametrize("changed", [{}, {"test_every": 0}, {"validation": 10}], ids=["test", "blind", "validation"])
def test_the_last_good_state_is_kept(step, changed, tmp_path, monkeypatch):
    config = replace(SHORT, **changed)
    stopped(config, tmp_path / "good", after=1)
    explode_from(monkeypatch, step)
    with pytest.raises(TrainingError, match=r"epoch (2|3).* at the rate 1e\+30.*; the state after epoch \d is kept"):
        train(config, tmp_path / "bad")
    kept = load_checkpoint(tmp_path / "bad" / "checkpoint.pt")
    assert kept is not None
    assert all(value.isfinite().all() for value in kept.model.values())
    assert all(value.isfinite().all() for value in load_trained(tmp_path / "bad").network.state_dict().values())
    if len(kept.history) == 1:
        assert weights(tmp_path / "bad") == weights(tmp_path / "good")
    assert read_history(tmp_path / "bad") == kept.history


def test_a_last_step_that_leaves_nothing_finite_is_noticed(tmp_path):
    with pytest.raises(TrainingError, match=r"epoch 1(, batch 1)?: .*at the rate 1e\+30.*none is kept"):
        train(replace(SHORT, epochs=2, batch_size=1000, lr=1e30, schedule=Schedule(name="constant"),
                      optimizer=replace(SHORT.optimizer, weight_decay=1.0)), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_no_rate_to_suggest_stops_the_run_with_the_reason(tmp_path):
    hopeless = replace(SEARCHING, tune=replace(SEARCHING.tune, lowest=1e-9, highest=1e-8))
    with pytest.raises(TrainingError, match="the loss hardly falls"):
        train(hopeless, tmp_path)
    open_folder(tmp_path, read_config(tmp_path), resume=True).close()


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(UsageError, match="did you mean seed"):
        train(replace(SHORT, model="sed"), tmp_path / "run")
    with pytest.raises(ConfigError, match="would leave 0 for training"):
        train(replace(SHORT, validation=96), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(params=["limit", "disk"])
def small_disk(request, tmp_path):
    """(folder, fill, clear): a folder on a small disk of its own; or one whose files may not grow, as a stand-in."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        yield (folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1])),
               lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk; the limit of file sizes is tried instead")
    filler = folder / "filler"

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    yield folder, fill, filler.unlink
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_once_there_is_space_it_goes_on(small_disk, tmp_path):
    folder, fill, clear = small_disk
    config = replace(SHORT, validation=24)
    train(config, tmp_path / "whole")
    half = folder / "half"
    events = run(config, few_digits(), half)
    next(event for event in events if isinstance(event, EpochDone))
    fill()  # in the middle of the run: the first epoch is saved, the second is trained and is not
    try:
        with pytest.raises(RunError, match=(r"cannot be written \((No space left on device|File too large)\); an "
                                            r"existing file is unchanged. Free some space")):
            list(events)
        kept = load_checkpoint(half / "checkpoint.pt")
        assert kept is not None
        assert kept.history == read_history(half)
        assert len(kept.history) == 1
        assert load_trained(half).model == "early-pool"
        assert not list(half.glob("*.part"))
        assert not list(half.glob(".*.part"))
    finally:
        clear()
    train(config, half, resume=True)
    same_run(tmp_path / "whole", half)


def test_within_an_epoch_a_gpu_is_not_asked_for_its_numbers(tmp_path, monkeypatch):
    """Tensors without storage stand for those of a GPU: whoever reads one gets an error."""
    unread = [EpochSoFar(batch, 3, 32 * batch, torch.zeros((), device="meta"), torch.zeros((), device="meta"), 0.1)
              for batch in (1, 2, 3)]
    monkeypatch.setattr(epoch, "train_epoch", lambda *_, **__: iter(unread))
    seen: list[Any] = []
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):  # the last one is read
        seen.extend(run(SHORT, few_digits(), tmp_path))
    assert of_kind(seen, StepDone) == [StepDone("train", 1, 1, 3), StepDone("train", 1, 2, 3)]


def test_an_evaluation_tells_loss_and_accuracy_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_stage, "BATCH", 15)
    events = list(run(replace(SHORT, epochs=1), few_digits(), tmp_path))
    steps = [event for event in of_kind(events, StepDone) if event.part == "test"]
    row = of_kind(events, EpochDone)[0].row
    assert [(step.batch, step.batches) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert steps[-1].loss == pytest.approx(row["test_loss"], rel=1e-5)
    assert steps[-1].accuracy == row["test_accuracy"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_code_trains_on_a_gpu(tmp_path):
    finished = train(replace(WITH_EVERYTHING, device="cuda", epochs=2), tmp_path)
    trained = load_trained(tmp_path)
    found = evaluate(trained.network, to_device(few_digits(), 24, CPU).test, trained.mean, trained.sd)
    assert found.accuracy == pytest.approx(finished.summary["test_accuracy"], abs=5)
