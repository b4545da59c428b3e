"""How long `mnist-ops train` takes from the start of its process to its first training step.

The command runs as a user runs it, on a terminal, and draws its first bar as soon as the first step is done. With
a rate search the first step is one of the search; with a given rate it is the first of the first epoch.
"""

import contextlib
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.child import ROOT, environment
from benchmarks.compare import Say
from benchmarks.machine import describe
from benchmarks.settings import Settings
from mnist_ops.device import available_cores

BARS = {"auto": re.compile(r"Rate search\W+[^\n]*?[1-9]\d*/\d+"), "0.1": re.compile(r"Train\W+[^\n]*?[1-9]\d*/\d+")}
PATIENCE = 120.0  # seconds


def start(settings: Settings, say: Say) -> dict[str, Any]:
    """Seconds of several fresh processes, in the order in which they ran."""
    found: dict[str, list[float]] = {}
    for _ in range(settings.starts):
        for rate in BARS:
            found.setdefault(rate, []).append(seconds_to_first_step(settings, rate))
            say(f"train --lr {rate}: first step after {found[rate][-1]:.2f} s")
    threads = settings.threads or available_cores()
    return {"machine": describe(settings.device, threads), "command": settings.command, "data": settings.data,
            "recipe": settings.recipes[0], "seconds": found}


def seconds_to_first_step(settings: Settings, rate: str) -> float:
    """Start the command, wait for its first bar, end it. Raises RuntimeError with what it said where none comes."""
    import pty  # which not every system has

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "mnist_ops", "train", settings.recipes[0], "--lr", rate, "--data",
                   settings.data, "--device", settings.device, "--out", str(Path(folder) / "run"), "--no-report"]
        command += ["--data-dir", settings.data_dir] if settings.data_dir else []
        command += ["--threads", str(settings.threads)] if settings.threads else []
        ours, theirs = pty.openpty()
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
                                   env=environment() | {"TERM": "xterm-256color", "COLUMNS": "120"})
        os.close(theirs)
        try:
            return wait_for(ours, BARS[rate], begun)
        finally:
            process.terminate()
            with contextlib.suppress(OSError):  # a terminal whose other end is closed
                while os.read(ours, 65536):
                    pass
            process.wait(PATIENCE)
            os.close(ours)


def wait_for(terminal: int, bar: re.Pattern[str], begun: float) -> float:
    """Until the bar is on the terminal; seconds since `begun`."""
    shown = ""
    while time.perf_counter() - begun < PATIENCE:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        if not read:
            break
        shown += read.decode("utf-8", "replace")
        if bar.search(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)):
            return time.perf_counter() - begun
    raise RuntimeError(f"no training step was drawn; the command said\n{shown[-2000:]}")
