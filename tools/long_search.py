"""A search of many short trials whose workers are killed at random: nothing lost, nothing twice, at a steady pace."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_ops.search.claims import ATTEMPT, ERROR, RETRIES
from mnist_ops.search.journal import JOURNAL
from mnist_ops.search.storage import open_storage
from mnist_ops.search.study import join, load
from tools.held import grown, growth, held, lay_settings

SPACE = 'pruner = "none"\n[fields]\nlr = { low = 0.05, high = 0.4, log = true }\n'
VALIDATION, JOBS, DEATHS = 8, 2, 25  # images; workers; trials for each death, on average
PACES, MOST_PACE = 200, 10  # trials that are timed at the begin and the end; the most that the latter may take longer
MOST_BYTES = 2_000  # that the command may grow by with each trial


@dataclass
class Struck:
    """A search whose workers were killed: how often, what the command said, and what it held after each trial."""

    kills: int = 0
    commands: int = 0
    code: int = 1
    error: str = ""
    held: list[Any] = field(default_factory=list)


def search(words: list[object], count: int, out: Path, random_: random.Random) -> Struck:
    """Run the search's command; it is run again if it gives up because a worker died thrice in a row."""
    found = Struck()
    while found.code and found.commands < 20:
        found.commands += 1
        with subprocess.Popen([sys.executable, "-m", "mnist_ops", *map(str, words)], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            said: list[str] = []
            listener = threading.Thread(target=said.extend, args=(process.stderr,))
            listener.start()
            for line in process.stdout:
                if not line.startswith("trial "):
                    continue
                found.held.append(held(process.pid))
                if random_.random() < 1 / DEATHS:
                    time.sleep(random_.uniform(0, 0.1))
                    found.kills += strike(out, random_)
            listener.join()
        found.code, found.error = process.returncode, "".join(said)[-2000:]
    return found


def strike(out: Path, random_: random.Random) -> bool:
    """SIGKILL one of the workers that have begun, if there is one."""
    alive = [path for path in (out / "workers").glob("*.lock") if Path("/proc", path.stem.split("-")[-2]).exists()]
    if not alive:
        return False
    with suppress(ProcessLookupError):
        os.kill(int(random_.choice(alive).stem.split("-")[-2]), signal.SIGKILL)
        return True
    return False


def trial(count: int, folder: Path) -> dict[str, Any]:
    """Search with two workers, killing one about every DEATHS trials, and look at what the journal holds."""
    settings, space, out = lay_settings(folder), folder / "space.toml", folder / "study"
    space.write_text(SPACE)
    words: list[object] = ["sweep", "default", "--config", settings, "--search", space, "--validation", VALIDATION,
                           "--trials", count, "--jobs", JOBS, "--out", out]
    struck = search(words, count, out, random.Random(0))
    lines = [json.loads(line) for line in (out / JOURNAL).read_bytes().splitlines()]
    with closing(open_storage(out, None, 1)) as place:
        trials = join(load(out), place, None).get_trials(deepcopy=False)
    problems = wrong_in(trials, count)
    if struck.code:
        problems.append(f"the command ended with {struck.code}: {struck.error}")
    command = growth(struck.held)
    first, last = paces(trials)
    if last > MOST_PACE * first:
        problems.append(f"a trial takes {first:.3f} s, later {last:.3f} s")
    states = Counter(one.state.name for one in trials)
    return {"trials": count, "trained": states["COMPLETE"], "lost": states["FAIL"], "kills": struck.kills,
            "commands": struck.commands, "journal_lines": len(lines), "seconds_each": [round(first, 3), round(last, 3)],
            "journal_megabytes": round((out / JOURNAL).stat().st_size / 10**6, 2),
            "held": command, "problems": problems + grown(command, MOST_BYTES)}


def paces(trials: list[FrozenTrial]) -> tuple[float, float]:
    """Seconds for a trial of the first and of the last PACES, over both workers."""
    ends = sorted(one.datetime_complete for one in trials if one.datetime_complete is not None)
    size = min(PACES, len(ends) // 3)
    return ((ends[size] - ends[0]).total_seconds() / size, (ends[-1] - ends[-size - 1]).total_seconds() / size)


def wrong_in(trials: list[FrozenTrial], count: int) -> list[str]:
    """What is wrong with the trials of a study of which so many were asked for."""
    done = [one for one in trials if one.state is TrialState.COMPLETE]
    lost = [one for one in trials if one.state is TrialState.FAIL]
    problems = []
    if not count <= len(done) < count + JOBS:
        problems.append(f"{len(done)} trials are done, expected {count} or one more for each further worker")
    if len({tuple(one.params.items()) for one in done}) < len(done):
        problems.append("some settings were trained twice")
    if open_ones := [one.number for one in trials if not one.state.is_finished()]:
        problems.append(f"trials {open_ones} are neither done nor lost")
    repeated = {one.user_attrs["retry_of"] for one in trials if "retry_of" in one.user_attrs}
    if wrong := [one.number for one in lost if one.number not in repeated and one.params
                 and one.user_attrs.get(ATTEMPT, 0) < RETRIES]:
        problems.append(f"lost trials {wrong} were not repeated")
    if failed := [one.number for one in lost if ERROR in one.user_attrs]:
        problems.append(f"trials {failed} failed")
    return problems
