"""Small studies on a few of the embedded digits, and how to strike a worker in the midst of a trial. For tests."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_ops.config import Config
from mnist_ops.search.claims import WORKER
from mnist_ops.search.space import read_space
from mnist_ops.search.storage import open_storage
from mnist_ops.search.study import Plan, join, plan
from tests.miniature import SHORT, few_digits

FIELDS = {"lr": {"low": 0.05, "high": 0.4, "log": True}, "optimizer": {"momentum": [0.8, 0.9]}}
NETWORKS = {"blocks": {"low": 2, "high": 3}, "channels": {"low": 4, "high": 8, "step": 4}, "kernels": [3, 5],
            "depthwise": [False, True], "max_parameters": 900}
CONFIG = replace(SHORT, epochs=2, validation=24)
# What the commands of the tests train: less than a second a trial.
SETTINGS = 'data = "digits"\ndevice = "cpu"\nprecision = "float32"\nbatch_size = 128\nepochs = 1\nlr = 0.1\n'
SPACE = 'pruner = "none"\n[fields]\nlr = { low = 0.05, high = 0.4, log = true }\n'


def study_plan(data: dict[str, Any], config: Config = CONFIG, name: str = "small") -> Plan:
    return plan(name, config, few_digits(), read_space(data, config, "space.toml"))


@contextmanager
def begun(folder: Path, plan: Plan, url: str | None = None) -> Iterator[optuna.Study]:
    with closing(open_storage(folder, url, 1)) as place:
        yield join(plan, place, url)


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def strike(study: optuna.Study, processes: set[int], seconds: float = 60) -> FrozenTrial:
    """SIGKILL one of the processes while it is in a trial. -> that trial.

    It is stopped first, so that the trial cannot end between the look and the blow."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            process = int(trial.user_attrs.get(WORKER, "-0-").split("-")[-2])
            if process not in processes or "parameters" not in trial.user_attrs:
                continue
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.05)
            if study.get_trials(deepcopy=False)[trial.number].state is TrialState.RUNNING:
                os.kill(process, signal.SIGKILL)
                return trial
            os.kill(process, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError(f"none of the processes {processes} was seen in a trial for {seconds} s")


def check_made_again(study: optuna.Study, lost: FrozenTrial, total: int) -> None:
    """At least so many trials were done, each setting once, and the lost one by another worker."""
    trials = trials_of(study)
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert total <= len({tuple(sorted(trial.params.items())) for trial in done}) == len(done) <= total + 2
    assert trials[lost.number].state is TrialState.FAIL
    again = [trial for trial in trials if trial.user_attrs.get("retry_of") == lost.number]
    assert [trial.params for trial in again] == [lost.params]
    assert again[0].state is TrialState.COMPLETE
    assert again[0].user_attrs[WORKER] != lost.user_attrs[WORKER]
    assert not [trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
