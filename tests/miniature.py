"""Runs that take a fraction of a second: a few of the embedded digits, a short config. For tests."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mnist_ops.arch.zoo import INPUT, named_network
from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Dataset, to_device
from mnist_ops.events import EpochDone, Finished, StepDone
from mnist_ops.experiment import run
from mnist_ops.model import Network, build
from mnist_ops.run.folder import read_history, read_json

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).resolve().parents[1]
# One thread, float32 and a given rate: the same bits on every processor kind, and no search.
SHORT = Config(recipe="short", epochs=3, batch_size=32, lr=0.1, device="cpu", threads=1, precision="float32")


@cache
def few_digits(train: int = 96, test: int = 40) -> ImageDataset:
    """The first of the embedded digits' two parts."""
    whole = read("digits")
    return replace(whole, train=_first(whole.train, train), test=_first(whole.test, test))


def few_tensors(train: int = 96, test: int = 40, *, validation: int = 0) -> Dataset:
    return to_device(few_digits(train, test), validation, CPU)


def network(model: str = "early-pool", seed: int = 0) -> Network:
    return build(named_network(model), INPUT, torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def train(config: Config, path: Path, *, resume: bool = False, source: ImageDataset | None = None) -> Finished:
    """A run to its end."""
    *_, last = run(config, source or few_digits(), path, resume=resume)
    assert isinstance(last, Finished)
    return last


def stopped(config: Config, path: Path, after: int, batches: int = 0, source: ImageDataset | None = None) -> None:
    """Close a run after so many whole epochs and batches of the next."""
    events = run(config, source or few_digits(), path)
    assert isinstance(events, Iterator)
    done = steps = 0
    for event in events:
        done += isinstance(event, EpochDone)
        steps += done == after and isinstance(event, StepDone)
        if done == after and steps >= batches:
            break
    events.close()


def weights(path: Path) -> bytes:
    return (path / "model.safetensors").read_bytes()


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("seconds", "train_seconds")} for row in rows]


def same_run(left: Path, right: Path) -> None:
    """The same figure, history, config, rate search and summary, but for times."""
    assert weights(left) == weights(right)
    assert without_times(read_history(left)) == without_times(read_history(right))
    assert read_json(left / "config.json") == read_json(right / "config.json")
    summaries = [read_json(path / "summary.json") for path in (left, right)]
    assert without_times(summaries[:1]) == without_times(summaries[1:])
    assert (left / "lr.json").exists() == (right / "lr.json").exists()


def of_kind(events: Iterable[object], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _first(part: ImageSet, count: int) -> ImageSet:
    return ImageSet(part.images[:count], part.labels[:count])


def children_of(number: int) -> list[int]:
    """The processes that the process of that number has started and not yet heard the end of."""
    threads = Path(f"/proc/{number}/task").glob("*/children")
    return [int(child) for path in threads for child in path.read_text().split()]


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
