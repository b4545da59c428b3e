"""The end of a study: its chosen trials, each evaluated once on the test set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mnist_ops.data.dataset import ImageDataset
from mnist_ops.events import Finished
from mnist_ops.experiment import run
from mnist_ops.run.folder import SUMMARY, read_config, write_json
from mnist_ops.run.summary import read_summary
from mnist_ops.search.claims import ERROR, INFEASIBLE, WORKER, progress
from mnist_ops.search.study import Plan, front
from mnist_ops.search.worker import TRIALS, config_of, described, remove_run, trial_path

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RESULTS = "results.json"
TESTED = "tested"  # with the number of a trial: the attribute in the storage with its test result
FIGURE = ("test_accuracy", "interval", "test_images", "train_seconds", "reported_epoch")


def conclude(plan: Plan, source: ImageDataset, folder: Path, study: "Study") -> dict[str, Any]:
    """Choose by the objectives, evaluate the chosen trials on the test set, and write results.json. -> its content.

    A trial whose weights are on another machine is evaluated there; until then it has no test accuracy. A trial is
    evaluated only once."""
    trials = study.get_trials(deepcopy=False)
    chosen = front(trials, plan.space)
    with FileLock(folder / ".results.lock"):  # another command may share the folder
        rows = [_row(plan, source, folder, study=study, trial=trial) for trial in chosen]
        _remove_others(folder, [trial.number for trial in chosen], trials)
        results = {"study": plan.name, "recipe": plan.config.recipe, "dataset": source.name,
                   "objectives": list(plan.space.objectives), "validation": plan.config.validation,
                   "trials": summary(trials), "chosen": rows}
        write_json(folder / RESULTS, results)
    return results


def trained(study: "Study") -> list[dict[str, Any]]:
    """Every completed trial, as `worker.described`."""
    return [described(trial) for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]


def summary(trials: Sequence["FrozenTrial"]) -> dict[str, int]:
    """The number of trials of each kind; at least as many are done as requested."""
    states = [trial.state.name for trial in trials]
    done = progress(trials)
    failed = sum(trial.state.name == "FAIL" and ERROR in trial.user_attrs for trial in trials)
    infeasible = sum(INFEASIBLE in trial.user_attrs and trial.state.name == "PRUNED" for trial in trials)
    return {"done": done.settled, "trained": states.count("COMPLETE"),
            "pruned": states.count("PRUNED") - infeasible, "failed": failed,
            "lost": states.count("FAIL") - failed, "infeasible": infeasible}


def _row(plan: Plan, source: ImageDataset, folder: Path, *, study: "Study", trial: "FrozenTrial") -> dict[str, Any]:
    """A chosen trial: its settings, values, and test accuracy if available."""
    row: dict[str, Any] = {
        "trial": trial.number, "params": trial.params, "model": config_of(plan, trial, len(source.classes)).model,
        "parameters": trial.user_attrs["parameters"], "macs": trial.user_attrs["macs"],
        "validation_accuracy": trial.user_attrs["accuracy"],
        "run": None, "trained_by": trial.user_attrs[WORKER],
    }
    path = trial_path(folder, trial.number)
    note = f"{TESTED}:{trial.number}"
    reported = study.user_attrs.get(note)
    if path.exists():
        row["run"] = str(path)
        if reported is None:
            reported = _figure(source, path)
            study.set_user_attr(note, reported)
    return row | (reported or {"test_accuracy": None})


def _figure(source: ImageDataset, path: Path) -> dict[str, Any]:
    """Finish the run that the trial has stopped after its last epoch: only here is the test set read."""
    if not (path / SUMMARY).exists():
        *_, last = run(read_config(path), source, path, resume=True)
        assert isinstance(last, Finished)
    made = read_summary(path / SUMMARY)
    return {key: made[key] for key in FIGURE}


def _remove_others(folder: Path, chosen: Sequence[int], trials: Sequence["FrozenTrial"]) -> None:
    """Remove the folders of trials that have ended and are not chosen: of killed workers, or beaten later."""
    ended = {trial.number for trial in trials if trial.state.is_finished()} - set(chosen)
    for path in (folder / TRIALS).glob("*"):
        if path.name.isdecimal() and int(path.name) in ended:
            remove_run(folder, int(path.name))
