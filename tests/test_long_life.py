"""Many runs in one process, a clock that jumps, and what the long trials would notice; see tools/long_life.py."""

import itertools
import time
from dataclasses import replace

import pytest
from optuna.trial import TrialState, create_trial

from mnist_ops.run.folder import read_history
from tests.miniature import SHORT, few_digits, train
from tools.held import Held, grown, growth, held
from tools.long_search import wrong_in


@pytest.mark.parametrize("engine", ["pytorch", "compiled"])
def test_runs_in_one_process_leave_no_descriptors_threads_or_memory(engine, tmp_path):
    seen = []
    for number in range(6):
        train(replace(SHORT, engine=engine, epochs=1, seed=number), tmp_path / str(number), source=few_digits(32, 16))
        seen.append(held())
    assert grown(growth(seen), 500_000) == []  # 200 runs show less: python -m tools.long_life runs


def test_a_clock_that_jumps_an_hour_at_every_look_changes_no_seconds_of_a_run(tmp_path, monkeypatch):
    jumps, real = itertools.cycle((3600, -3600)), time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    begun = time.monotonic()
    summary = train(SHORT, tmp_path / "run", source=few_digits(32, 16)).summary
    took = time.monotonic() - begun
    assert 0 < summary["train_seconds"] < took
    assert all(0 < row["seconds"] < took for row in read_history(tmp_path / "run"))


def test_growth_is_told_from_warming_up():
    steady = [Held(10**8 + 10**7 * min(number, 2), 5, 3) for number in range(20)]
    assert grown(growth(steady), 0) == []
    leaking = [Held(one.size + 5000 * number, 5 + number, 3 + number) for number, one in enumerate(steady)]
    assert grown(growth(leaking), 4000) == ["descriptors: 9, later 24", "threads: 7, later 22",
                                            "memory grows by 5,000 bytes each"]


def test_what_a_search_may_lose_is_noticed():
    def trial(number, lr, state=TrialState.COMPLETE, **notes):
        value = 1.0 if state is TrialState.COMPLETE else None
        made = create_trial(state=state, value=value, user_attrs={"lr": lr, **notes})
        made.number = number
        return made

    whole = [trial(0, 1), trial(1, 2, TrialState.FAIL), trial(2, 2, retry_of=1), trial(3, 3)]
    for one in whole:
        one.params = {"lr": one.user_attrs["lr"]}
    assert wrong_in(whole, 3) == []
    assert wrong_in(whole, 4) == ["3 trials are done, expected 4 or one more for each further worker"]
    whole[3].params = {"lr": 1}
    whole[2].user_attrs = {}
    assert wrong_in(whole, 3) == ["some settings were trained twice", "lost trials [1] were not repeated"]
