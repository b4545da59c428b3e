"""Feeds damaged and made-up inputs to everything that reads what may come from anywhere, and counts what comes of it.

    python -m tools.fuzz                      100,000 inputs; their figures become docs/figures/fuzz.json
    python -m tools.fuzz --inputs 5000        fewer
    python -m tools.fuzz --only pictures      one reader alone; no figures are written

Each reader may give a result or refuse the input by an error for the user. Anything else is a failure: any other
error, more than 2 seconds of processor time, more than 1 GB of memory in the process, a process that dies."""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mnist_ops.data.idx import array_of, read_bytes, unpack_idx
from mnist_ops.data.source import read
from mnist_ops.data.unpack import unpack
from mnist_ops.device import available_cores
from mnist_ops.errors import MnistOpsError
from mnist_ops.pictures.read import read_image
from mnist_ops.run.folder import write_json
from mnist_ops.sweeps.records import machine
from tools import inputs, run_inputs

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "fuzz.json"
SECONDS = 2.0  # of processor time for one input, at most
BYTES = 10**9  # of memory in the process, at most
CHUNK = 4000  # inputs that one process takes
BATCH = 10  # inputs that hypothesis draws at a time, for less of the time to go into drawing


@dataclass(frozen=True)
class Reader:
    """Something that reads what may come from anywhere."""

    what: str  # in words
    inputs: Callable[[], SearchStrategy[Any]]  # made once in a process
    read: Callable[[Path, Any], object]  # (a folder to work in, an input)
    weight: float = 1.0  # of its share in all inputs; those that take long get fewer


def _unpacked(_: Path, given: tuple[int, bytes]) -> None:
    limit, raw = given
    try:
        content = unpack(raw, limit)
    except ValueError as error:  # which its callers turn into an error that names the file
        raise MnistOpsError(str(error)) from error
    assert len(content) <= limit


def _read_idx(path: Path, dimensions: int) -> None:
    array_of(unpack_idx(path, read_bytes(path), dimensions), dimensions)


READERS = {
    "idx": Reader("IDX files", inputs.idx_files,
                  lambda folder, given: _read_idx(inputs.written(folder, "images", given[1]), given[0])),
    "archives": Reader(".npz archives", inputs.archives,
                       lambda folder, raw: read(str(inputs.written(folder, "arrays.npz", raw)))),
    "tables": Reader("CSV tables", inputs.tables,
                     lambda folder, raw: read(str(inputs.written(folder, "table.csv", raw))), 0.4),
    "gzip": Reader("gzip streams", inputs.gzip_streams, _unpacked),
    "pictures": Reader("pictures", inputs.pictures,
                       lambda folder, raw: read_image(inputs.written(folder, "picture.png", raw))),
    "settings": Reader("TOML and JSON settings", inputs.settings_files, inputs.read_settings_file),
    "run-files": Reader("JSON files of run folders", run_inputs.run_files, run_inputs.read_run_file),
    "weights": Reader("weights", run_inputs.weights_files, run_inputs.read_weights, 0.7),
    "checkpoints": Reader("checkpoints", run_inputs.checkpoints, run_inputs.read_checkpoint, 0.5),
    "command-lines": Reader("command lines", run_inputs.command_lines, run_inputs.carry_out, 0.3),
}


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    inputs: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0  # of processor time
    peak_bytes: int = 0  # of the process, PyTorch included where it is needed
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count the other's inputs too."""
        self.inputs, self.refused = self.inputs + other.inputs, self.refused + other.refused
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.failures += other.failures


class TooLongError(BaseException):
    """No Exception, so that no reader takes it for damage of its file."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def attempt(reader: Reader, given: Any, folder: Path, tally: Tally) -> None:
    """Feed one input and count it. Raises what the reader must not raise, or TooLongError."""
    start = time.process_time()
    tally.inputs += 1
    try:
        with _limited():
            reader.read(folder, given)
    except MnistOpsError as error:
        if not str(error).strip():
            raise AssertionError("an error without a text") from error
        tally.refused += 1
    seconds = time.process_time() - start
    tally.slowest_seconds = max(tally.slowest_seconds, seconds)
    if seconds > SECONDS:  # in code that no signal interrupts
        raise TooLongError(f"{seconds:.1f} s")


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
    tally.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
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
    parser.add_argument("--only", choices=READERS, help="one reader alone")
    chosen = parser.parse_args(arguments)
    found = run([chosen.only] if chosen.only else list(READERS), chosen.inputs)
    readers = [{"name": name, "what": READERS[name].what, **asdict(tally)} for name, tally in found.items()]
    content = {"command": " ".join(["python -m tools.fuzz", *arguments]), "machine": machine(),
               "limits": {"seconds": SECONDS, "bytes": BYTES}, "readers": readers}
    print(json.dumps(content, indent=1))
    if not chosen.only:
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        write_json(FIGURES, content)
    return 1 if any(tally.failures for tally in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
