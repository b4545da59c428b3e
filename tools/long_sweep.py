"""A sweep of many short seeds that is killed in the middle and goes on: right, without growth, at a steady pace."""

import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_ops.data.source import read
from mnist_ops.run.folder import WEIGHTS, read_config, read_json
from mnist_ops.sweeps.in_one_process import run_abreast
from mnist_ops.sweeps.seeds import RESULTS, SeedDone, begin
from tools.held import Held, grown, growth, held, lay_settings, processor_seconds

MOST_BYTES = 20_000  # that the command may grow by with each seed: a summary, and the thread that reads its process
MOST_PACE = 1.5  # processor seconds of a seed at the end, relative to those at the begin; others may use the machine


@dataclass
class Watched:
    """A command from its begin to its end: processor seconds at each line of a kind, and what the command held then."""

    code: int = 0
    error: str = ""
    times: list[float] = field(default_factory=list)
    seen: list[Held] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def watch(words: list[object], kind: str, kill_after: int | None = None) -> Watched:
    """Run mnist-ops with these words; look whenever it prints a line that begins with `kind`. After so many it gets
    SIGKILL."""
    command = [sys.executable, "-m", "mnist_ops", *map(str, words)]
    found = Watched()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(kind):
                found.lines.append(line)
                found.times.append(processor_seconds(process.pid))
                found.seen.append(held(process.pid))
                if len(found.lines) == kill_after:
                    process.send_signal(signal.SIGKILL)
                    break
        found.error = process.stderr.read() if process.stderr and kill_after is None else ""
    found.code = process.returncode
    return found


def pace(times: list[float]) -> tuple[float, float]:
    """Median between two, of the first and of the last third."""
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    third = max(1, len(steps) // 3)
    return statistics.median(steps[:third]), statistics.median(steps[-third:])


def trial(count: int, folder: Path) -> dict[str, Any]:
    """Sweep so many seeds with two processes, SIGKILL the command in the middle, run it again, and compare every run
    with one of the same seed in one process, which is watched too."""
    settings, out = lay_settings(folder), folder / "sweep"
    words: list[object] = ["sweep", "default", "--config", settings, "--seeds", count, "--jobs", 2, "--out", out]
    watch(words, "seed ", kill_after=count // 2)
    kept = len(list(out.glob("s*/summary.json")))
    rest = watch(words, "seed ")
    begun = time.monotonic()
    again = watch(words, "seed ")
    seconds_again = time.monotonic() - begun
    first, last = pace(rest.times[kept:count])
    command = growth(rest.seen[kept:count])
    problems = [*grown(command, MOST_BYTES), *([f"exit codes {rest.code}, {again.code}: {rest.error}"]
                                               if rest.code or again.code else []),
                *([f"a seed takes {first:.2f} s of a core, later {last:.2f} s"] if last > MOST_PACE * first else [])]
    alone = in_one_process(count, folder, out)
    problems += [*grown(alone["growth"], MOST_BYTES), *alone.pop("problems")]
    return {"seeds": count, "kept": kept, "same_bits": alone.pop("same"), "problems": problems,
            "held": command, "seconds_each": [round(first, 3), round(last, 3)],
            "seconds_when_done": round(seconds_again, 1), "in_one_process": alone}


def in_one_process(count: int, folder: Path, out: Path) -> dict[str, Any]:
    """The same seeds one after another in this process. -> how many have the same bits, growth, problems."""
    config = begin(folder / "alone", read_config(out), keep_threads=True)
    source, seen, times, problems = read(config.data), [], [], []
    for one in run_abreast(folder / "alone", range(count), 1, source, read=lambda seed: read(config.data, seed=seed)):
        assert isinstance(one, SeedDone), one
        seen.append(held())
        times.append(time.process_time())
    results = {run["seed"]: run for run in read_json(out / RESULTS)["runs"]} if (out / RESULTS).exists() else {}
    if sorted(results) != list(range(count)):
        problems.append(f"{RESULTS} has {len(results)} seeds, expected {count}")
    same = 0
    for seed in range(count):
        left, right = (place / f"s{seed}" for place in (out, folder / "alone"))
        summary = read_json(right / "summary.json")
        same += ((left / WEIGHTS).exists() and (left / WEIGHTS).read_bytes() == (right / WEIGHTS).read_bytes()
                 and results.get(seed, {}).get("test_accuracy") == summary["test_accuracy"])
    if same < count:
        problems.append(f"{count - same} seeds differ from runs in one process")
    first, last = pace(times)
    return {"same": same, "problems": problems, "growth": growth(seen),
            "seconds_each": [round(first, 3), round(last, 3)]}
