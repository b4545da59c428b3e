"""Which trials count, and which are lost with their worker and queued again.

Workers share no more than the study. A worker begins a trial where fewer than were asked for count, so that at least as
many are done, and one more for each worker that looked at the same moment. One that was lost stops counting.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mnist_ops.search.journal import JOURNAL

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

UNSIGNED = timedelta(minutes=10)  # in which a worker must have signed its trial, a matter of moments
RETRIES = 2  # of a trial whose worker was lost; then another setting takes its place
# The names of what a trial notes.
WORKER, ATTEMPT, ERROR, INFEASIBLE = "worker", "attempt", "error", "infeasible"


@dataclass(frozen=True)
class TrialCounts:
    """How far a study is."""

    settled: int  # trials that are done: trained, pruned, or failed by their own settings
    counted: int  # and those that run or wait
    waiting: int


def counts(trial: "FrozenTrial") -> bool:
    """Whether a trial is one of those that were asked for."""
    name = trial.state.name
    if name == "FAIL":
        return ERROR in trial.user_attrs
    return not (name == "PRUNED" and INFEASIBLE in trial.user_attrs)


def progress(trials: Sequence["FrozenTrial"]) -> TrialCounts:
    """Of these trials, all there are."""
    counted = [trial for trial in trials if counts(trial)]
    return TrialCounts(sum(trial.state.is_finished() for trial in counted), len(counted),
                       sum(trial.state.name == "WAITING" for trial in counted))


@contextlib.contextmanager
def presence(folder: Path) -> Iterator[str]:
    """A worker's name, of which `is_gone` knows for as long as this process is in the block, however it ends."""
    place = folder / "workers"
    place.mkdir(parents=True, exist_ok=True)
    name = f"{_host()}-{os.getpid()}-{os.urandom(4).hex()}"
    with FileLock(_lock(folder, name)):
        yield name
    _lock(folder, name).unlink(missing_ok=True)


def is_gone(folder: Path, name: str) -> bool:
    """Whether a worker with that name was here and is no more. One on a machine with another folder is not known of.

    Nor are a database's workers on another machine, for the locks of a shared folder may not reach so far."""
    path = _lock(folder, name)
    if not path.exists() or not ((folder / JOURNAL).exists() or name.startswith(f"{_host()}-")):
        return False
    lock = FileLock(path)
    try:
        with lock.acquire(blocking=False):
            return True
    except Timeout:
        return False


def _host() -> str:
    return socket.gethostname()[:60]


def _lock(folder: Path, name: str) -> Path:
    return folder / "workers" / f"{Path(name).name}.lock"


def release_lost(study: "Study", folder: Path) -> list[int]:
    """Mark the trials whose worker is gone as failed and queue them again. -> their numbers.

    Of workers with this folder the operating system tells at once; of others, in a database, their heartbeat. One that
    was killed before it could sign its trial is given some minutes."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    fail_stale_trials(study)
    lost = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        begun = trial.datetime_start or datetime.now()
        unsigned = WORKER not in trial.user_attrs and datetime.now() - begun > UNSIGNED
        if unsigned or is_gone(folder, trial.user_attrs.get(WORKER, "")):
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, UpdateFinishedTrialError):  # another was faster, and has queued it
                continue
            again(study, trial)
            lost.append(trial.number)
    return lost


def again(study: "Study", trial: "FrozenTrial") -> None:
    """Queue the settings of a trial that was lost, unless they have taken several workers with them."""
    attempt = int(trial.user_attrs.get(ATTEMPT, 0)) + 1
    if attempt <= RETRIES:
        notes: dict[str, Any] = {ATTEMPT: attempt, "retry_of": trial.number}
        study.enqueue_trial(trial.params, notes)
