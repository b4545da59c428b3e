"""START HERE for reports: a run folder and its data, read and evaluated once -> the content of a report.

Missing or damaged files are named and left out; only a readable config.json is required."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from mnist_ops.arch.layers import Layer
from mnist_ops.config import Config
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.files import DownloadProgress
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Dataset, Split, to_device
from mnist_ops.device import activate, resolve
from mnist_ops.errors import ConfigError, DataError, MnistOpsError, RunError, UsageError
from mnist_ops.model import layers_of
from mnist_ops.optim.tune import RangeTest
from mnist_ops.run.folder import HISTORY, RANGE_TEST, SPLIT, SUMMARY, read_config, read_history, read_json
from mnist_ops.run.own_data import own_test_part
from mnist_ops.run.range_test import read_range_test
from mnist_ops.run.summary import contradictions, otherwise, read_summary
from mnist_ops.run.trained import TrainedNetwork, load_trained
from mnist_ops.score.evaluate import Evaluation, evaluate
from mnist_ops.score.metrics import Explanation, explain
from mnist_ops.score.mistakes import Mistake, Undisputed, disputed_images, find_mistakes, without_disputed
from mnist_ops.score.refusal import looked_at
from mnist_ops.score.verdict import Row, reported_row

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Scored:
    """A split of the dataset and the network's predictions on it."""

    part: str  # "test" or "train"
    split: Split
    evaluation: Evaluation
    explanation: Explanation
    mistakes: tuple[Mistake, ...]  # least confident first
    undisputed: Undisputed | None  # of MNIST's own test set only
    refused: float | None = None  # percent of the test images; None without the score that refuses


@dataclass(frozen=True, eq=False)
class Findings:
    """The content of a report; None and empty for what is missing."""

    path: Path
    config: Config
    history: tuple[Row, ...]
    range_test: RangeTest | None
    summary: dict[str, Any] | None  # None if the run is not finished
    trained: TrainedNetwork | None
    data: Dataset | None  # on the CPU
    title: str  # of the dataset, for people
    classes: tuple[str, ...]
    layers: tuple[Layer, ...]
    test: Scored | None
    train: Scored | None  # the training images, without augmentation
    missing: tuple[str, ...]  # and why
    warnings: tuple[str, ...]
    contradictions: tuple[str, ...]  # those of the warnings because of which the reported accuracy is not reliable

    @property
    def target(self) -> float:
        """In percent; 0 for none."""
        return 0.0 if self.config.target == "auto" else self.config.target

    @property
    def epochs_done(self) -> int:
        """Finished epochs."""
        return len(self.history)

    @property
    def reported_epoch(self) -> int | None:
        """The epoch whose weights are reported; None before the first is finished."""
        return int(reported_row(self.history)["epoch"]) if self.history else None

    @property
    def peak_rate(self) -> float | None:
        """Peak learning rate, given or found; None if not known yet."""
        if self.config.lr != "auto":
            return self.config.lr
        if self.range_test:
            return self.range_test.lr
        return float(self.summary["peak_lr"]) if self.summary else None


def gather(path: Path, data_dir: Path | None = None, *, source: ImageDataset | None = None, fetch: bool = True,
           progress: DownloadProgress | None = None) -> Findings:
    """Read run folder `path` and its data, and evaluate the training and the test set once, in float32.

    source: the data, if already read; else it is read as the run read it, from data_dir as in `source.read`, and
    downloaded if `fetch` allows, with `progress`. The device is the run's, or the CPU if that is not available.
    Raises RunError if there is no readable config.json."""
    config = read_config(path)
    missing: list[str] = []

    def attempt(make: Callable[[], Found], instead: Found) -> Found:
        try:
            return make()
        except MnistOpsError as error:
            text = str(error).replace(f"{path}/", "")
            missing.extend([text] * (text not in missing))
            return instead

    if config.code.augment:
        missing.append(f"augmentation: {config.code.augment} is code of your own and not in the pictures")
    nothing: tuple[Any, ...] = ()
    history = attempt(partial(_history, path, config, missing), nothing)
    searched = attempt(partial(_range_test, path, config, missing), None)
    summary = attempt(partial(_summary, path, config, len(history), missing), None)
    trained = attempt(lambda: load_trained(path), None)
    source = source or attempt(lambda: _read_again(path, config, data_dir, fetch=fetch, progress=progress), None)
    warnings = list(source.warnings) if source else []
    data = attempt(lambda: _as_trained(path, source, config, trained), None) if source else None
    if data and trained and data.classes != trained.classes:
        warnings.append(f"the classes of {data.name} have other names than those the network was trained on "
                        f"({', '.join(trained.classes)}); they are matched by their order")
    device = _device(config, warnings)
    classes = trained.classes if trained else data.classes if data else ()
    test, train = (_score(part, trained, data, device) for part in ("test", "train"))
    against = attempt(partial(_contradictions, path, summary, test), nothing) if summary and trained else ()
    return Findings(
        path, config, history, searched, summary, trained, data, _title(config, trained), classes,
        trained.layers if trained else attempt(lambda: layers_of(config, len(classes)), ()) if classes else (),
        test, train, tuple(missing), (*against, *warnings), against)


def _history(path: Path, config: Config, missing: list[str]) -> tuple[Row, ...]:
    history = tuple(read_history(path))
    if not history:
        missing.append(f"{HISTORY}: no epoch was finished")
    elif not any("test_accuracy" in row for row in history):
        why = "the test set is evaluated only once, at the end" if config.test_every == 0 else \
            f"the test set is evaluated every {config.test_every} epochs, which has not happened yet"
        missing.append(f"{HISTORY}: {why}, so the curves have a point for it instead of a line")
    return history


def _range_test(path: Path, config: Config, missing: list[str]) -> RangeTest | None:
    if (path / RANGE_TEST).exists():
        return read_range_test(path / RANGE_TEST)
    given = config.lr != "auto"
    missing.append(f"{RANGE_TEST}: " + ("the rate was given, so there was no search" if given else
                                        "is missing, so the rate search is unknown"))
    return None


def _summary(path: Path, config: Config, done: int, missing: list[str]) -> dict[str, Any] | None:
    if (path / SUMMARY).exists():
        return read_summary(path / SUMMARY)
    missing.append(f"{SUMMARY}: the run is not finished; {done} of {config.epochs} epochs are done")
    return None


def _contradictions(path: Path, summary: dict[str, Any], test: Scored | None) -> tuple[str, ...]:
    other = test and otherwise(summary, test.evaluation.correct, len(test.evaluation.labels))
    return (*contradictions(path), *([other] if other else []))


def _read_again(path: Path, config: Config, data_dir: Path | None, *, fetch: bool,
                progress: DownloadProgress | None) -> ImageDataset:
    test = own_test_part(path, config.data)
    try:
        return read(config.data, data_dir, seed=config.seed, how=config.prepare, size=config.size,
                    colour=config.colour, test=test, skip_damaged=config.skip_damaged, fetch=fetch,
                    progress=progress)
    except (DataError, UsageError) as error:
        raise DataError(f"data: {error}") from error


def _as_trained(path: Path, source: ImageDataset, config: Config, trained: TrainedNetwork | None) -> Dataset:
    """The source on the CPU, in the order of the run. Raises DataError or ConfigError if it is not the run's."""
    if (path / SPLIT).exists():
        recorded = read_json(path / SPLIT)
        train, test = (_in_recorded_order(part, recorded.get(name), source.name)
                       for part, name in ((source.train, "train"), (source.test, "test")))
        source = dataclasses.replace(source, train=train, test=test)
    if trained and len(trained.classes) != len(source.classes):
        raise DataError(f"data: {source.name} now has {len(source.classes)} classes, but the network tells "
                        f"{len(trained.classes)} apart")
    try:
        return to_device(source, config.validation, torch.device("cpu"))
    except ConfigError as error:
        raise DataError(f"data: {error}") from error


def _in_recorded_order(part: ImageSet, names: Any, place: str) -> ImageSet:
    """The pictures of these names, in that order: the folder may have changed since."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{SPLIT}: damaged, not a list of names; restore it, or train again")
    number = {name: index for index, name in enumerate(part.names or ())}
    if gone := [name for name in names if name not in number]:
        raise DataError(f"data: {place}: {len(gone):,} pictures of the run no longer exist, {gone[0]} among "
                        "them")
    index = [number[name] for name in names]
    return ImageSet(part.images[index], part.labels[index], tuple(names))


def _device(config: Config, warnings: list[str]) -> torch.device:
    try:
        return activate(resolve(config))
    except UsageError:
        warnings.append(f"evaluated on the CPU, as the run's device, {config.device}, is not available: the last bits "
                        "of a probability may differ")
        return activate(resolve(dataclasses.replace(config, device="cpu")))


def _score(part: str, trained: TrainedNetwork | None, data: Dataset | None, device: torch.device) -> Scored | None:
    """One pass over the split; None without weights, data or images."""
    if not trained or not data:
        return None
    split = data.test if part == "test" else data.train
    if not len(split):
        return None
    there = Split(split.images.to(device), split.labels.to(device), split.names)
    evaluation = evaluate(trained.network.to(device), there, trained.mean, trained.sd)
    disputed = disputed_images(data.name, evaluation) if part == "test" else ()
    refused = None if part != "test" or trained.refusal is None else trained.refusal.share(
        *looked_at(trained.network, there, trained.mean, trained.sd))
    return Scored(part, split, evaluation, explain(evaluation), find_mistakes(evaluation, split.names, disputed),
                  without_disputed(evaluation, disputed), refused)


def _title(config: Config, trained: TrainedNetwork | None) -> str:
    name = trained.dataset if trained else Path(config.data).name
    return CATALOG[name].title.partition(" (")[0] if name in CATALOG else name
