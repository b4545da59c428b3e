"""Commands of mnist-ops in this process, their worker processes too, on few images: for trials of faults."""

import contextlib
import io
import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
import torch

from mnist_ops.cli.main import main
from mnist_ops.parallel.children import Children, Ended, Said, ended_by
from mnist_ops.search import claims, study, worker
from tools.disk_layer import stat_kind

LIMIT = 60  # seconds for a command, which takes less than one


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    output: str
    error: str


def carry_out(words: Sequence[object]) -> Answer:
    """Run the command line of mnist-ops. An error that no user should see is code -1 and its text."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error), _limited():
        try:
            code = main([str(word) for word in words])
        except BaseException as bug:  # a traceback is what is looked for
            if type(bug) is KeyboardInterrupt:
                raise
            return Answer(-1, output.getvalue(), f"{error.getvalue()}{type(bug).__name__}: {bug}")
    return Answer(code, output.getvalue(), error.getvalue())


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise TimeoutError within the block if it takes too long: a command that waits for nothing."""
    def end(*_: object) -> None:
        raise TimeoutError(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, end)
    outer = signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(outer)
        signal.signal(signal.SIGALRM, before)


class ByNumber(optuna.samplers.BaseSampler):
    """Draws a trial's values from its place among those that repeat no lost one, which has the values of that one: so
    a search that goes on is the one that never stopped."""

    def infer_relative_search_space(self, *_: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        """A value between the ends."""
        trials = study.get_trials(deepcopy=False)
        while "retry_of" in trial.user_attrs:
            trial = trials[trial.user_attrs["retry_of"]]
        place = sum("retry_of" not in one.user_attrs for one in trials[:trial.number])
        return distribution.low + (distribution.high - distribution.low) * ((place * 0.37) % 1)


@contextlib.contextmanager
def together(cache: Path) -> Iterator[None]:
    """Within the block workers run in this process, one after another, searches draw by number and do not wait for a
    trial to be signed, and caches are below `cache`."""
    waiting: list[tuple[int, Sequence[str]]] = []

    def start(self: Children, task: int, words: Sequence[str]) -> None:
        waiting.append((task, words))

    def events(self: Children) -> Iterator[Said | Ended]:
        while waiting:
            task, words = waiting.pop(0)
            answer = carry_out(words)
            yield from (Said(task, line) for line in answer.output.splitlines())
            yield Ended(task, answer.code, ended_by(abs(answer.code), answer.error))

    torch.set_num_threads(1)
    with (patch.object(Children, "start", start), patch.object(Children, "events", events),
          patch.object(study, "_sampler", lambda *_: ByNumber()), patch.object(claims, "UNSIGNED", timedelta(0)),
          patch.object(worker, "WAITS", (0.01, 0.1)),
          patch.dict(os.environ, {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"})):
        os.environ.pop("MNIST_OPS_DATA", None)
        yield


def lay(root: Path, state: dict[str, bytes | None]) -> None:
    """Make the folder `root` hold exactly this: contents by path, None for a folder."""
    empty(root)
    for path in sorted(state):
        content = state[path]
        if content is None:
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_bytes(content)
            if path.endswith(".part"):  # the machine was off for a while
                os.utime(root / path, (0, 0))


def empty(root: Path) -> None:
    """Remove what is in the folder, which is made if it is not there."""
    root.mkdir(parents=True, exist_ok=True)
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


TIMES = ("seconds", "train_seconds", "search_seconds", "trained_by", "trial", "retry_of")


def timeless(value: Any) -> Any:
    """Nested values without what differs from run to run."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name not in TIMES}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def json_of(path: Path) -> Any:
    """The content of a JSON file without times; None if it is not there."""
    return timeless(json.loads(path.read_text(encoding="utf-8"))) if stat_kind(path) == "file" else None
