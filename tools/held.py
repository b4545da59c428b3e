"""What a process holds, and whether it grows: for trials of long life. Linux."""

import gc
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnist_ops.data.source import read

MEGABYTE = 10**6
TRAIN, TEST = 32, 16  # images
# A run of two steps. The rate is given, so that nothing is searched.
SETTINGS = ('model = "early-pool"\ndevice = "cpu"\nprecision = "float32"\nthreads = 1\nepochs = 1\nbatch_size = 16\n'
            "lr = 0.1\n")


@dataclass(frozen=True)
class Held:
    """Resident bytes, open descriptors and threads of a process."""

    size: int
    descriptors: int
    threads: int


def held(process: int | None = None) -> Held:
    """Of the process of that number, or this one, whose unreachable objects are freed before."""
    if process is None:
        gc.collect()
    place = Path("/proc", str(process or os.getpid()))
    lines = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return Held(int(lines["VmRSS"].split()[0]) * 1024, len(os.listdir(place / "fd")), int(lines["Threads"]))


def processor_seconds(process: int) -> float:
    """What the process of that number and those it has waited for have used, of all cores."""
    words = Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def growth(seen: Sequence[Held]) -> dict[str, Any]:
    """How it went from the first fifth, which is warm-up, to the end: megabytes after it and at the end, the slope
    between in bytes each, and the descriptors and threads at both."""
    begin = max(1, len(seen) // 5)
    rest = seen[begin:] or seen[-1:]
    slope = statistics.linear_regression(range(len(rest)), [one.size for one in rest]).slope if len(rest) > 1 else 0.0
    return {"megabytes": [round(one.size / MEGABYTE, 1) for one in (rest[0], rest[-1])], "bytes_each": round(slope),
            "descriptors": [rest[0].descriptors, rest[-1].descriptors],
            "threads": [rest[0].threads, rest[-1].threads]}


def grown(found: dict[str, Any], most: float) -> list[str]:
    """What is wrong with such a growth: more descriptors or threads, or more than `most` bytes each."""
    problems = [f"{name}: {found[name][0]}, later {found[name][1]}" for name in ("descriptors", "threads")
                if found[name][1] > found[name][0]]
    return problems + ([f"memory grows by {found['bytes_each']:,} bytes each"] if found["bytes_each"] > most else [])


def lay_few(folder: Path) -> Path:
    """Write a file of a few of the embedded digits into the folder. -> its path."""
    digits, path = read("digits"), folder / "few.npz"
    np.savez(path, x_train=digits.train.images[:TRAIN], y_train=digits.train.labels[:TRAIN],
             x_test=digits.test.images[:TEST], y_test=digits.test.labels[:TEST])
    return path


def lay_settings(folder: Path, more: str = "") -> Path:
    """The same, and a configuration that trains on it. -> its path."""
    path = folder / "settings.toml"
    path.write_text(f'data = "{lay_few(folder)}"\n{SETTINGS}{more}')
    return path
