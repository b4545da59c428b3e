"""Feeds damaged and made-up inputs to everything that reads what may come from anywhere, and counts what comes of it.

    python -m tools.fuzz                      100,000 inputs; their figures become docs/figures/fuzz.json
    python -m tools.fuzz --inputs 5000        fewer
    python -m tools.fuzz --only pictures      some readers alone; their figures replace their earlier ones

Each reader may give a result or refuse the input by an error for the user. Anything else is a failure: any other
error, more than 2 seconds of processor time, more than 1 GB of memory in the process, a process that dies."""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from mnist_ops.device import available_cores
from mnist_ops.run.folder import write_json
from mnist_ops.sweeps.records import machine
from tools.readers import BYTES, READERS, SECONDS, Tally, TooLongError, attempt, peak_bytes

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "fuzz.json"
CHUNK = 4000  # inputs that one process takes
BATCH = 10  # inputs that hypothesis draws at a time, for less of the time to go into drawing


def drawn(name: str, count: int) -> list[bytes]:
    """Some inputs of a reader, the same each time, as the bytes of its form."""
    form, found = READERS[name].form, list[bytes]()
    assert form is not None

    @hypothesis.seed(0)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @hypothesis.given(READERS[name].inputs())
    def take(given: Any) -> None:
        found.append(form.kept(given))

    take()
    return found


def explore(name: str, count: int, seed: int, on_failure: Callable[[Any, BaseException], None]) -> Tally:
    """Feed about `count` inputs to a reader; the same seed draws the same ones."""
    reader, tally = READERS[name], Tally()
    with tempfile.TemporaryDirectory() as place:

        @hypothesis.seed(seed)
        @settings(max_examples=-(-count // BATCH), database=None, deadline=None, derandomize=False,
                  phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @hypothesis.given(st.lists(reader.inputs(), min_size=BATCH, max_size=BATCH))
        def feed(batch: list[Any]) -> None:
            for given in batch:
                try:
                    attempt(reader, given, Path(place), tally)
                except (Exception, TooLongError) as error:
                    on_failure(given, error)

        feed()
    tally.peak_bytes = peak_bytes()
    return tally


def _task(task: tuple[str, int, int]) -> tuple[str, Tally]:
    name, count, seed = task
    failures: list[str] = []

    def keep(given: Any, error: BaseException) -> None:
        failures.append(f"{type(error).__name__}: {error!s:.300} on {given!r:.2000}")

    tally = explore(name, count, seed, keep)
    tally.failures = failures
    if tally.peak_bytes > BYTES:
        tally.failures.append(f"{tally.peak_bytes:,} bytes of memory")
    return name, tally


def run(names: Sequence[str], total: int) -> dict[str, Tally]:
    """At least `total` inputs, shared among the readers by their weights, in as many processes as there are cores."""
    found = {name: Tally() for name in names}
    weights = sum(READERS[name].weight for name in names)
    wanted = {name: math.ceil(total * READERS[name].weight / weights) for name in names}
    numbers = itertools.count()
    # Fresh processes, so that each peak of memory is that of one reader; all libraries on one thread.
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(available_cores(), 4), spawn, max_tasks_per_child=1) as pool:
        while missing := {name: count for name in names if (count := wanted[name] - found[name].inputs) > 0}:
            tasks = [(name, min(CHUNK, count - begun), next(numbers)) for name, count in missing.items()
                     for begun in range(0, count, CHUNK)]
            for name, tally in pool.map(_task, tasks):
                found[name].add(tally)
                for failure in tally.failures:
                    print(f"FAILURE in {name}: {failure}", file=sys.stderr, flush=True)
                print(f"{name}: {found[name].inputs:,}", file=sys.stderr, flush=True)
    return found


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; exit code 1 if an input is a failure."""
    parser = argparse.ArgumentParser(description="Feed damaged and made-up inputs to all readers.")
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, at least")
    parser.add_argument("--only", nargs="+", choices=READERS, help="these readers alone")
    chosen = parser.parse_args(arguments)
    found = run(chosen.only or list(READERS), chosen.inputs)
    readers = [{"name": name, "what": READERS[name].what, **asdict(tally)} for name, tally in found.items()]
    command = " ".join(["python -m tools.fuzz", *arguments])
    if chosen.only and FIGURES.exists():
        before = json.loads(FIGURES.read_text(encoding="utf-8"))
        command = f"{before['command']}; {command}"
        made = {one["name"]: one for one in (*before["readers"], *readers)}
        readers = [made[name] for name in READERS if name in made]
    content = {"command": command, "machine": machine(),
               "limits": {"seconds": SECONDS, "bytes": BYTES}, "readers": readers}
    print(json.dumps(content, indent=1))
    write_json(FIGURES, content)
    return 1 if any(tally.failures for tally in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
