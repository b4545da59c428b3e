"""Many runs of one recipe, a seed each, in processes of their own -> one table; and the records."""

import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mnist_ops.config import Config
from mnist_ops.device import available_cores
from mnist_ops.errors import RunError
from mnist_ops.run.folder import CONFIG, SUMMARY, read_config, read_json, settle_config, write_json
from mnist_ops.score.statistics import spread

PER_RUN = ("seed", "test_accuracy", "validation_accuracy", "lr", "train_seconds")
SHARED = ("recipe", "model", "parameters", "macs", "epochs", "dataset", "device", "threads", "precision", "torch",
          "commit")
RECORD_SEEDS = range(10)
PARTING = 0.2  # seconds in which the runs of a sweep that is stopped may end by themselves


@dataclass(frozen=True)
class SeedDone:
    """A finished run and its summary; `reused` where it was there already."""

    seed: int
    summary: dict[str, Any]
    reused: bool


@dataclass(frozen=True)
class SeedFailed:
    """A run that ended in an error, with what it said."""

    seed: int
    message: str


def begin(folder: Path, config: Config, jobs: int) -> Config:
    """Create the sweep's folder, or go on in it; -> the config of its runs but for the seed, its config.json.

    `config` is resolved; its threads are shared among `jobs`, or stay those of the sweep that is gone on with. The test
    part is looked at once in each run. Raises UsageError, naming the fields, where the folder holds another sweep."""
    there = read_config(folder) if (folder / CONFIG).exists() else None
    threads = there.threads if there else max(1, available_cores() // jobs)
    config = replace(config, threads=threads, test_every=0, seed=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another folder with --out") from error
    settle_config(folder, config, resume=True)
    return config


def run_seeds(folder: Path, seeds: Sequence[int], jobs: int,
              data_dir: Path | None = None) -> Generator[SeedDone | SeedFailed, None, None]:
    """Train the config of `folder` once per seed, into `folder`/s<seed>, `jobs` at a time; yield each as it ends.

    A run that is finished is not done again; one that was stopped goes on. Whoever closes this generator, or is stopped
    by a signal in it, leaves no process behind."""
    place = [] if data_dir is None else ["--data-dir", str(data_dir)]
    children = Children()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            tasks = [pool.submit(_run_seed, folder, seed, place, children) for seed in seeds]
            for task in as_completed(tasks):
                yield task.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()


@dataclass(eq=False)
class Children:
    """The processes that are running, started from several threads and ended from another."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run the command to its end. -> exit code, stderr; a command that comes after the stop is not started."""
        with self.lock:
            if self.stopped.is_set():
                return 1, "stopped"
            # A terminal's Ctrl-C reaches them too, and changes nothing about how they end.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            self.running.append(process)
        error = process.communicate()[1]
        with self.lock:
            self.running.remove(process)
        return process.returncode, error

    def stop(self) -> None:
        """Ask those that run to end, and end those that do not soon; a run folder stays whole in either case."""
        with self.lock:
            self.stopped.set()
            running = list(self.running)
        for process in running:
            process.terminate()
        end = time.monotonic() + PARTING
        while time.monotonic() < end and any(process.poll() is None for process in running):
            time.sleep(0.01)
        for process in running:
            process.kill()


def _run_seed(folder: Path, seed: int, place: Sequence[str], children: Children) -> SeedDone | SeedFailed:
    path = folder / f"s{seed}"
    if (path / SUMMARY).exists():
        return SeedDone(seed, read_json(path / SUMMARY), True)
    command = [sys.executable, "-m", "mnist_ops", "train", "--config", str(folder / CONFIG), "--seed", str(seed),
               "--out", str(path), "--resume", "--no-report", "--json", *place]
    code, error = children.run(command)
    if code:
        return SeedFailed(seed, error.strip() or f"exit code {code}")
    return SeedDone(seed, read_json(path / SUMMARY), False)


def table(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All runs with their figures in percent, mean, SD and 95 % interval of the test accuracy, and n.

    Where all runs kept a validation part, the same of its accuracy."""
    ordered = sorted(summaries, key=lambda summary: summary["seed"])
    result: dict[str, Any] = {"runs": [{key: summary[key] for key in PER_RUN if key in summary} for summary in ordered]}
    for part in ("test", "validation"):
        values = [summary[f"{part}_accuracy"] for summary in ordered if f"{part}_accuracy" in summary]
        if len(values) == len(ordered) and values:
            result[part] = asdict(spread(values))
    return result


def record(summaries: Sequence[dict[str, Any]], command: str, folder: Path) -> Path:
    """Write `folder`/<recipe>.json, the public record of a recipe: what was measured, on what, by which command.

    Raises RunError where the runs are not seeds 0 to 9 on MNIST, differ in anything but their seed, or were made by a
    program that is at no commit."""
    first = summaries[0]
    seeds = sorted(summary["seed"] for summary in summaries)
    if seeds != list(RECORD_SEEDS) or first["dataset"] != "mnist":
        raise RunError(f"record: found seeds {seeds} on {first['dataset']}, expected seeds 0 to 9 on mnist")
    for key in SHARED:
        found = {json.dumps(summary[key]) for summary in summaries}
        if len(found) > 1:
            raise RunError(f"record: the runs differ in {key} ({', '.join(sorted(found))}), expected one. Sweep into "
                           "a new folder with --out.")
    check_commit(first["commit"])
    results = table(summaries)
    test = results["test"]
    path = folder / f"{first['recipe']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    shared = {key: first[key] for key in SHARED}
    write_json(path, shared | {
        "command": command, "machine": machine(), "n": test["n"], "mean": test["mean"], "sd": test["sd"],
        "interval": test["interval"], "runs": results["runs"],
    })
    return path


def check_commit(found: str | None) -> None:
    """Raise RunError where the program is not at a commit that others can go back to."""
    if found is None:
        raise RunError("record: this program runs from no checkout of its own, or git cannot read it; expected a "
                       "commit to name. Clone the project, and sweep there.")
    if found.endswith("+changes"):
        raise RunError(f"record: the checkout differs from its commit {found[:12]}, expected a clean checkout. "
                       "Commit, and sweep into a new folder with --out.")


def machine() -> str:
    """The processor's architecture and the cores that this process may use."""
    return f"{platform.machine()}, {available_cores()} cores"
