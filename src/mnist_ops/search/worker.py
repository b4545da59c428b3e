"""One worker of a study: runs trials until the requested number is done, over all workers."""

import contextlib
import os
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.arch.arithmetic import sizes
from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.errors import ConfigError, TrainingError, UsageError
from mnist_ops.events import EpochDone
from mnist_ops.experiment import run
from mnist_ops.model import layers_of
from mnist_ops.run.folder import SUMMARY
from mnist_ops.run.provenance import fingerprint
from mnist_ops.score.verdict import reported_row
from mnist_ops.search.claims import ERROR, INFEASIBLE, WORKER, presence, progress, release_lost
from mnist_ops.search.space import PAST_BUDGET
from mnist_ops.search.storage import import_optuna
from mnist_ops.search.study import Plan, front

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

TRIALS = "trials"  # the folder of their run folders
WAITS = (0.2, 5.0)  # seconds between checks for trials to take over, first and longest
MOST_MISSES = 500  # sampled networks in a row that may exceed the budget


class Orphaned(BaseException):  # not an Exception, so that the trial is left for others to queue again
    """The command that started this worker has ended."""


class Broken(BaseException):  # nor this
    """The storage or the disk failed, not the trial's settings."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@dataclass(frozen=True, eq=False)
class Worker:
    """The data that all trials of this process share."""

    plan: Plan
    source: ImageDataset
    folder: Path
    study: "Study"
    name: str
    parent: int  # process id of the command that started it


def work(plan: Plan, source: ImageDataset, folder: Path, *,
         study: "Study", total: int) -> Generator[dict[str, Any], None, None]:
    """Run trials until at least `total` are done; yield each that this worker has ended, as `described`, and
    its seconds.

    If all remaining ones run elsewhere it waits, to take over lost ones. Raises UsageError if the data is not that of
    the study, ConfigError after MOST_MISSES networks in a row that exceed the budget."""
    if fingerprint(source) != plan.data:
        raise UsageError(f"{source.name}: other images or labels than those the study was started with")
    optuna = import_optuna()
    wait, misses = WAITS[0], 0
    unsigned: dict[int, float] = {}
    with presence(folder) as name:
        ended: list[FrozenTrial] = []
        worker = Worker(plan, source, folder, study, name, os.getppid())
        while os.getppid() == worker.parent:
            release_lost(study, folder, unsigned)
            now = progress(study.get_trials(deepcopy=False))
            if now.settled >= total:
                return
            if now.counted >= total and not now.waiting:
                time.sleep(wait)
                wait = min(2 * wait, WAITS[1])
                continue
            wait, begun = WAITS[0], time.monotonic()
            # Another worker may have taken the trial over if this machine was unreachable for long.
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError), _cause():
                study.optimize(lambda trial: _attempt(worker, trial), n_trials=1, catch=TrainingError,
                               callbacks=[lambda _, trial: ended.append(trial)])
            while ended:
                trial = ended.pop()
                _tidy(worker, trial)
                misses = misses + 1 if INFEASIBLE in trial.user_attrs else 0
                if misses == MOST_MISSES:
                    raise ConfigError(f"{plan.space.where}: architecture: none of the last {misses} networks drawn "
                                      f"{PAST_BUDGET}")
                yield {**described(trial), "seconds": time.monotonic() - begun}  # Optuna's are of a clock that is set


@contextlib.contextmanager
def _cause() -> Iterator[None]:
    """Raise what broke a trial, in place of Broken."""
    try:
        yield
    except Broken as broken:
        raise broken.error from None


def _attempt(worker: Worker, trial: "Trial") -> float | tuple[float, ...]:
    """Run one trial. -> its values. Raises TrialPruned, TrainingError; Broken for anything else."""
    try:
        return _values(worker, trial)
    except (TrainingError, import_optuna().TrialPruned):
        raise
    except Exception as error:
        raise Broken(error) from error


def _values(worker: Worker, trial: "Trial") -> float | tuple[float, ...]:
    trial.set_user_attr(WORKER, worker.name)
    classes = len(worker.source.classes)
    config = worker.plan.space.draw(trial, worker.plan.config, classes)
    if config is None:
        trial.set_user_attr(INFEASIBLE, True)
        raise import_optuna().TrialPruned
    values: dict[str, float] = dict(
        sizes(layers_of(config, classes), config.input_shape))
    for name, value in values.items():
        trial.set_user_attr(name, value)
    try:
        values["accuracy"] = _train(worker, trial, config)
    except TrainingError as error:
        trial.set_user_attr(ERROR, str(error).splitlines()[0][:300])
        raise
    trial.set_user_attr("accuracy", values["accuracy"])
    chosen = tuple(values[one] for one in worker.plan.space.objectives)
    return chosen if len(chosen) > 1 else chosen[0]


def _train(worker: Worker, trial: "Trial", config: Config) -> float:
    """Train it into its run folder, without the final result. -> validation accuracy in percent.

    The run is stopped after its last epoch, before the test set is read; `choice` resumes it for that."""
    space = worker.plan.space
    several = len(space.objectives) > 1  # do not prune a small network because a large one is more accurate
    history: list[dict[str, Any]] = []
    with contextlib.closing(run(config, worker.source, trial_path(worker.folder, trial.number))) as events:
        for event in events:
            if os.getppid() != worker.parent:
                raise Orphaned
            if isinstance(event, EpochDone):
                history.append(event.row)
                if not several:
                    trial.report(event.row["validation_accuracy"], event.row["epoch"] - 1)
                if len(history) == config.epochs:
                    break
                if not several and trial.should_prune():
                    raise import_optuna().TrialPruned
    return float(reported_row(history)["validation_accuracy"])


def trial_path(folder: Path, number: int) -> Path:
    """The run folder of a trial."""
    return folder / TRIALS / str(number)


def _tidy(worker: Worker, trial: "FrozenTrial") -> None:
    """Remove the run folder of a trial that can no longer be chosen; its settings and values are in the study."""
    best = front(worker.study.get_trials(deepcopy=False), worker.plan.space)
    if trial.number not in [one.number for one in best]:
        remove_run(worker.folder, trial.number)


def remove_run(folder: Path, number: int) -> None:
    """Remove a trial's run folder, unless it has been evaluated on the test set."""
    path = trial_path(folder, number)
    if path.exists() and not (path / SUMMARY).exists():
        shutil.rmtree(path, ignore_errors=True)


def described(trial: "FrozenTrial") -> dict[str, Any]:
    """An ended trial: number, state, parameters, macs, validation accuracy if it has one, epochs, error."""
    notes = trial.user_attrs
    state = {"COMPLETE": "trained"}.get(trial.state.name, trial.state.name.lower())
    if INFEASIBLE in notes:
        state = "infeasible"
    elif state == "fail":
        state = "failed" if ERROR in notes else "lost"
    reports = trial.intermediate_values
    return {"trial": trial.number, "state": state, "params": trial.params,
            **{key: notes[key] for key in ("accuracy", "parameters", "macs", ERROR, "retry_of") if key in notes},
            "epochs": len(reports) or None}


def config_of(plan: Plan, trial: "FrozenTrial", classes: int) -> Config:
    """The configuration of a trial."""
    from optuna.trial import FixedTrial

    config = plan.space.draw(FixedTrial(trial.params), plan.config, classes)
    assert config is not None
    return config
