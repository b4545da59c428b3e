"""The processes of a study on this machine: started, listened to, replaced where one is killed, and ended."""

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
                if losses[place] == LOSSES or event.code == WRONG_USE:  # which stays wrong
                    often = "" if event.code == WRONG_USE else f" {LOSSES} times"
                    raise RunError(f"a worker of the study failed{often}: {reason}")
                yield WorkerLost(reason)
                children.start(place, words)
