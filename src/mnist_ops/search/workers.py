"""The processes of a study on this machine: starts them, reads their output, replaces killed ones, ends them."""

import json
import os
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_ops.errors import RunError
from mnist_ops.parallel.children import WRONG_USE, Children, Said
from mnist_ops.search.storage import VARIABLE, without

LOSSES = 3  # lost workers in a row without a finished trial, after which the command gives up


@dataclass(frozen=True)
class TrialDone:
    """A trial that a process here has ended, as `worker.described`."""

    trial: dict[str, Any]


@dataclass(frozen=True)
class WorkerLost:
    """A process that ended early, and why; it is replaced, and its trial is queued again."""

    reason: str


def run_workers(folder: Path, url: str | None, jobs: int,
                options: Sequence[str]) -> Generator[TrialDone | WorkerLost, None, None]:
    """Work on the study of `folder` with `jobs` processes until it is done; yield their events.

    options: of a worker's command line, after the folder. The URL is passed in the environment, hidden from other
    users. Raises RunError with its message if a worker is lost repeatedly. Closing this generator ends them all."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if url is not None:
        environment[VARIABLE] = url
    words = ["search-worker", str(folder), *options]
    losses: Counter[int] = Counter()
    with Children(jobs, environment) as children:
        for place in range(jobs):
            children.start(place, words)
        for event in children.events():
            place = event.task
            if isinstance(event, Said):
                losses[place] = 0
                yield TrialDone(json.loads(event.line))
            elif event.code:
                losses[place] += 1
                reason = without(url, Exception(event.reason))
                if losses[place] == LOSSES or event.code == WRONG_USE:  # a retry would not help
                    often = "" if event.code == WRONG_USE else f" {LOSSES} times"
                    raise RunError(f"a worker of the study failed{often}: {reason}")
                yield WorkerLost(reason)
                children.start(place, words)
