"""Many runs of one recipe, a seed each, in processes of their own -> one table; and the records."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnist_ops.device import available_cores
from mnist_ops.errors import RunError, UsageError
from mnist_ops.run.folder import SUMMARY, read_json, write_json
from mnist_ops.score.statistics import spread

SWEEP = "sweep.json"  # in a sweep's folder: what it is a sweep of
PER_RUN = ("seed", "test_accuracy", "validation_accuracy", "lr", "train_seconds")
SHARED = ("recipe", "parameters", "macs", "epochs", "dataset", "device", "threads", "torch", "commit")


@dataclass(frozen=True)
class SeedDone:
    """A finished run and its summary; `reused` where it was there already, else what it warned of, "" for nothing."""

    seed: int
    summary: dict[str, Any]
    reused: bool
    warnings: str = ""


@dataclass(frozen=True)
class SeedFailed:
    """A run that ended in an error, with what it said."""

    seed: int
    message: str


def begin(folder: Path, arguments: Sequence[str]) -> None:
    """Create the sweep's folder, or go on in it. Raises UsageError where it holds a sweep with other arguments."""
    asked = {"arguments": list(arguments)}
    if (folder / SWEEP).exists():
        there = read_json(folder / SWEEP)["arguments"]
        if there != asked["arguments"]:
            raise UsageError(f"{folder}: holds the sweep {' '.join(there)}, and {' '.join(arguments)} is asked for; "
                             "name another folder with --out")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); name another folder with --out") from error
    write_json(folder / SWEEP, asked)


def run_seeds(arguments: Sequence[str], seeds: Sequence[int], jobs: int,
              folder: Path) -> Iterator[SeedDone | SeedFailed]:
    """Train one run per seed into `folder`/s<seed>, `jobs` at a time, sharing the cores; yield each as it ends.

    `arguments` are those of `mnist-ops train`, the recipe first, without --seed, --out and --threads. A run that is
    finished is not done again; one that was stopped goes on."""
    threads = max(1, available_cores() // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        tasks = {pool.submit(_run_seed, arguments, seed, threads, folder / f"s{seed}"): seed for seed in seeds}
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


def _run_seed(arguments: Sequence[str], seed: int, threads: int, path: Path) -> SeedDone | SeedFailed:
    if (path / SUMMARY).exists():
        return SeedDone(seed, read_json(path / SUMMARY), True)
    command = [sys.executable, "-m", "mnist_ops", "train", *arguments, "--seed", str(seed), "--threads", str(threads),
               "--test-every", "0", "--out", str(path), "--resume", "--no-report", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return SeedFailed(seed, done.stderr.strip() or f"exit code {done.returncode}")
    return SeedDone(seed, read_json(path / SUMMARY), False, done.stderr.strip())


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

    Raises RunError where the runs differ in anything but their seed, or their program is not at a commit."""
    first = summaries[0]
    for key in SHARED:
        found = {json.dumps(summary[key]) for summary in summaries}
        if len(found) > 1:
            raise RunError(f"record: the runs differ in {key} ({', '.join(sorted(found))}), expected one. Sweep into "
                           "a new folder with --out.")
    if not first["commit"] or first["commit"].endswith("+changes"):
        raise RunError(f"record: the runs were made by commit {first['commit']}, expected a clean checkout. "
                       "Commit, and sweep into a new folder with --out.")
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


def machine() -> str:
    """The processor's architecture and the cores that this process may use."""
    return f"{platform.machine()}, {available_cores()} cores"
