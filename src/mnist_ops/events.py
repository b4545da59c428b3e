"""The events of a run: all that a screen needs to draw it."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mnist_ops.arch.layers import Layer
from mnist_ops.config import Config
from mnist_ops.data.tensors import Dataset
from mnist_ops.device import undetermined
from mnist_ops.optim.tune import RangeTest, SweepStep
from mnist_ops.score.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Started:
    """The run as resolved, before anything is computed."""

    config: Config
    path: Path
    data: Dataset
    layers: tuple[Layer, ...]
    epochs_done: int  # more than 0 if a run is resumed


@dataclass(frozen=True)
class Fitted:
    """Epochs and batch size that nobody gave, chosen for the number of training images."""

    images: int
    epochs: int
    batch_size: int
    steps: int  # of the whole run


@dataclass(frozen=True)
class Warned:
    """Something the user should know."""

    text: str


@dataclass(frozen=True)
class Compiling:
    """The training step is being compiled, once per network and processor: a matter of seconds."""


@dataclass(frozen=True)
class StepDone:
    """One training step, or one batch of an evaluation; a GPU is not asked for loss and accuracy at every step."""

    part: str  # "train", "validation", "test"
    epoch: int  # from 1
    batch: int  # from 1
    batches: int
    loss: float | None = None  # nats, mean over the epoch so far
    accuracy: float | None = None  # percent, likewise


@dataclass(frozen=True)
class EpochDone:
    """A finished epoch: its row of history.jsonl and what it means."""

    row: dict[str, Any]
    verdict: Verdict


@dataclass(frozen=True)
class Finished:
    """The run's result, as in summary.json."""

    summary: dict[str, Any]
    history: list[dict[str, Any]]


Event: TypeAlias = Compiling | Started | Fitted | Warned | SweepStep | RangeTest | StepDone | EpochDone | Finished


def watched(events: Generator[Event, None, None]) -> Iterator[Event]:
    """The events, plus one warning for each operation that PyTorch cannot compute deterministically."""
    told: set[str] = set()
    with contextlib.closing(events):
        while True:
            found: list[str] = []
            with undetermined(found):
                event = next(events, None)
            warned = [Warned(f"--deterministic: PyTorch has no deterministic {name} on this device, so the last bits "
                             "may differ from run to run") for name in dict.fromkeys(found) if name not in told]
            told.update(found)
            if event is None:
                return
            if isinstance(event, Started):  # which comes before all others
                yield event
            yield from warned
            if not isinstance(event, Started):
                yield event
