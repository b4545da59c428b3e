"""The processes of a study on this machine: started, listened to, replaced where one is killed, and ended."""

import json
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_ops.errors import RunError
from mnist_ops.parallel.children import Children, ended_by
from mnist_ops.search.storage import VARIABLE, without

LOSSES = 3  # of workers in one place without a finished trial between them, after which the command gives up


@dataclass(frozen=True)
class TrialDone:
    """What `worker.described` says of a trial that a process here has ended."""

    trial: dict[str, Any]


@dataclass(frozen=True)
class WorkerLost:
    """A process that ended before the study did, and why; another takes its place, and its trial is queued again."""

    reason: str


def run_workers(folder: Path, url: str | None, jobs: int,
                options: Sequence[str]) -> Generator[TrialDone | WorkerLost, None, None]:
    """Work on the study of `folder` with `jobs` processes until it is done; yield what they do.

    options: what follows the folder on a worker's command line. The URL goes to them in the environment, where no other
    user sees it. Raises RunError, with what it said, where a worker is lost again and again. Whoever closes this
    generator leaves no process behind."""
    command = [sys.executable, "-m", "mnist_ops", "search-worker", str(folder), *options]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if url is not None:
        environment[VARIABLE] = url
    heard: queue.Queue[tuple[int, str | int, str]] = queue.Queue()
    children = Children()
    losses: Counter[int] = Counter()

    def begin(place: int) -> None:
        threading.Thread(target=_follow, args=(children, command, environment, (place, heard)), daemon=True).start()

    try:
        for place in range(jobs):
            begin(place)
        running = jobs
        while running:
            place, said, error = heard.get()
            if isinstance(said, str):
                losses[place] = 0
                yield TrialDone(json.loads(said))
            elif said == 0:
                running -= 1
            else:
                losses[place] += 1
                reason = without(url, Exception(ended_by(said, error)))
                if losses[place] == LOSSES or said == 2:  # wrong use stays wrong
                    raise RunError(f"a worker of the study failed{'' if said == 2 else f' {LOSSES} times'}: {reason}")
                yield WorkerLost(reason)
                begin(place)
    finally:
        children.stop()


def _follow(children: Children, command: Sequence[str], environment: dict[str, str],
            tell: tuple[int, "queue.Queue[tuple[int, str | int, str]]"]) -> None:
    """Start one process and put each of its lines, and last its exit code and stderr, into the queue."""
    place, heard = tell
    try:
        code, error = children.run(command, environment, lambda line: heard.put((place, line, "")))
    except OSError as error_of_start:
        code, error = 1, str(error_of_start)
    heard.put((place, code, error))
