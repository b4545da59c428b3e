"""Counts trials, and queues those of lost workers again.

Workers share only the study. A worker begins a trial if fewer than requested count, so at least as many are done, and
possibly one more per worker that checked at the same moment. A lost trial does not count.
"""

import contextlib
import os
import socket
import time
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

UNSIGNED = timedelta(minutes=10)  # in which a worker must sign its trial, which takes moments
MOMENTS = timedelta(minutes=1)  # those, however long ago the trial began by a clock that may have been set forward
RETRIES = 2  # of a trial whose worker was lost; then another setting is tried
# The names of a trial's attributes.
WORKER, ATTEMPT, ERROR, INFEASIBLE = "worker", "attempt", "error", "infeasible"


@dataclass(frozen=True)
class TrialCounts:
    """The progress of a study."""

    settled: int  # trials that are done: trained, pruned, or failed because of their settings
    counted: int  # and those that run or wait
    waiting: int


def counts(trial: "FrozenTrial") -> bool:
    """Whether a trial is one of the requested ones."""
    name = trial.state.name
    if name == "FAIL":
        return ERROR in trial.user_attrs
    return not (name == "PRUNED" and INFEASIBLE in trial.user_attrs)


def progress(trials: Sequence["FrozenTrial"]) -> TrialCounts:
    """The progress of these trials."""
    counted = [trial for trial in trials if counts(trial)]
    return TrialCounts(sum(trial.state.is_finished() for trial in counted), len(counted),
                       sum(trial.state.name == "WAITING" for trial in counted))


@contextlib.contextmanager
def presence(folder: Path) -> Iterator[str]:
    """A worker's name, which `is_gone` recognises as alive while this process is in the block."""
    place = folder / "workers"
    place.mkdir(parents=True, exist_ok=True)
    name = f"{_host()}-{os.getpid()}-{os.urandom(4).hex()}"
    with FileLock(_lock(folder, name)):
        yield name
    _lock(folder, name).unlink(missing_ok=True)


def is_gone(folder: Path, name: str) -> bool:
    """Whether a worker with that name ran here and has ended. Workers with another folder are unknown.

    So are a database's workers on other machines, as the locks of a shared folder may not work across machines."""
    path, shared, here = _lock(folder, name), (folder / JOURNAL).exists(), name.startswith(f"{_host()}-")
    if not path.exists():  # a journal's worker has its lock before it signs, so that only a loss of power takes it away
        return shared and here
    if not (shared or here):
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


def release_lost(study: "Study", folder: Path, seen: dict[int, float]) -> list[int]:
    """Mark the trials of dead workers as failed and queue them again. -> their numbers.

    Workers with this folder are detected at once, by the operating system; others, in a database, by their heartbeat. A
    trial that was not signed yet waits some minutes. seen: when each of those was first seen here, kept between
    calls."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    fail_stale_trials(study)
    lost = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        unsigned = WORKER not in trial.user_attrs and _is_old(trial, seen)
        if unsigned or is_gone(folder, trial.user_attrs.get(WORKER, "")):
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, UpdateFinishedTrialError):  # another worker has queued it
                continue
            again(study, trial)
            lost.append(trial.number)
    return lost


def _is_old(trial: "FrozenTrial", seen: dict[int, float]) -> bool:
    """Whether a trial began so long ago that its worker would have signed it, whatever the clock was set to since."""
    now = time.monotonic()
    watched = timedelta(seconds=now - seen.setdefault(trial.number, now))
    begun = trial.datetime_start or datetime.now()
    return watched >= UNSIGNED or (watched >= MOMENTS and datetime.now() - begun > UNSIGNED)


def again(study: "Study", trial: "FrozenTrial") -> None:
    """Queue the settings of a lost trial again, unless they have killed several workers."""
    attempt = int(trial.user_attrs.get(ATTEMPT, 0)) + 1
    if attempt <= RETRIES:
        notes: dict[str, Any] = {ATTEMPT: attempt, "retry_of": trial.number}
        study.enqueue_trial(trial.params, notes)
