"""Out-of-fold predictions: each training image is predicted by a network that has not seen it."""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.tensors import split
from mnist_ops.device import activate
from mnist_ops.disk import temporary_folder
from mnist_ops.errors import RunError, TrainingError, UsageError
from mnist_ops.events import StepDone
from mnist_ops.experiment import run
from mnist_ops.mapping import to_mapping
from mnist_ops.optim.length import fitted
from mnist_ops.optim.tune import RangeTest, SweepStep, search
from mnist_ops.parallel.children import Children, Said, with_threads
from mnist_ops.run.folder import CONFIG, read_config, read_json, write_json
from mnist_ops.run.trained import load_trained
from mnist_ops.score.evaluate import Evaluation, evaluate
from mnist_ops.settle import settle


@dataclass(frozen=True)
class FoldMoved:
    """The progress of a fold's run, at every percent."""

    fold: int  # from 0
    share: float  # 0 to 1


@dataclass(frozen=True, eq=False)
class FoldDone:
    """The predictions on a fold's images by the network trained on all others."""

    fold: int
    images: NDArray[np.int64]  # (n,) their indices in the training set
    probabilities: NDArray[np.float64]  # (n, classes), softmax
    accuracy: float  # percent predicted as labelled


@dataclass(frozen=True)
class RateFound:
    """The peak rate of all runs, searched once; a single number cannot leak labels."""

    lr: float


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The predictions on every training image, each by a network that has not seen it."""

    config: Config  # of the runs, resolved
    probabilities: NDArray[np.float64]  # (N, classes)


FoldEvent: TypeAlias = FoldMoved | FoldDone
Progress: TypeAlias = SweepStep | RateFound | FoldEvent
TASK, NAMES, LOGITS = "task.npz", "names.json", "logits.npy"


def check(source: ImageDataset, folds: int) -> None:
    """Raise UsageError for too few or too many folds, or a single class."""
    count = len(source.train.labels)
    if not 2 <= folds <= count:
        raise UsageError(f"--folds {folds}: {source.name} has {count:,} training images to divide, expected from 2 "
                         "folds to as many as there are images")
    if len(np.unique(source.train.labels)) < 2:
        raise UsageError(f"{source.name}: all {count:,} chosen training images are of one class, expected at least "
                         "two classes. Use more images.")


def out_of_fold(config: Config, source: ImageDataset, folds: int,
                jobs: int) -> Generator[Progress | OutOfFold, None, None]:
    """Search the rate, train `config` once per fold on all other folds, and yield the progress and, last, the result.

    The test set is not used. jobs and errors as for `predict_folds` and `check`."""
    check(source, folds)
    part = source.train
    trained = len(part.labels) - len(part.labels) // folds - config.validation
    config = settle(fitted(replace(config, test_every=0, target=0.0), trained), source)
    if config.lr == "auto":
        for step in search(config, source):  # once on the whole training set, instead of for each fold
            if isinstance(step, SweepStep):
                yield step
        assert isinstance(step, RangeTest)
        config = replace(config, lr=step.lr)
        yield RateFound(step.lr)
    probabilities = np.zeros((len(part.labels), len(source.classes)))
    fold_of = assign_folds(part.labels, folds, config.seed)
    with contextlib.closing(predict_folds(config, source, fold_of, jobs)) as events:
        for event in events:
            if isinstance(event, FoldDone):
                probabilities[event.images] = event.probabilities
            yield event
    yield OutOfFold(config, probabilities)


def assign_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each image, (N,): drawn by the seed; sizes differ by at most one, in all and within each class.

    So a class of at least two images is seen by every network that judges one of them."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    found = np.empty(len(labels), np.int64)
    found[by_class] = np.arange(len(labels)) % folds
    return found


def predict_folds(config: Config, source: ImageDataset, fold_of: NDArray[np.int64],
                  jobs: int) -> Generator[FoldEvent, None, None]:
    """Train `config`, which is resolved, once per fold on all images of other folds, `jobs` at a time.

    fold_of (N,) are the folds of the training images, from 0. The runs leave no files. With one job they run in this
    process, with more in separate ones, which end when the iterator is closed. Raises RunError for a process that
    failed or was killed, and what `experiment.run` raises."""
    part, folds = source.train, range(int(fold_of.max()) + 1)
    with temporary_folder("the runs of the folds") as folder:
        np.savez(folder / TASK, images=part.images, labels=part.labels, folds=fold_of)
        write_json(folder / CONFIG, to_mapping(config))
        write_json(folder / NAMES, {"name": source.name, "classes": source.classes})
        moved = _side_by_side(folder, folds, jobs, config.threads) if jobs > 1 else _in_turn(folder, folds)
        for fold, share in moved:
            if share is not None:
                yield FoldMoved(fold, share)
                continue
            images = np.flatnonzero(fold_of == fold)
            seen = Evaluation(torch.from_numpy(np.load(_path(folder, fold) / LOGITS)),
                              torch.from_numpy(part.labels[images]))
            yield FoldDone(fold, images, seen.logits.double().softmax(1).numpy(), seen.accuracy)


def _in_turn(folder: Path, folds: Iterable[int]) -> Iterator[tuple[int, float | None]]:
    """Every fold and the progress of its run, None once it is done."""
    for fold in folds:
        yield from ((fold, share) for share in judge_fold(folder, fold))
        yield fold, None


def _side_by_side(folder: Path, folds: Iterable[int], jobs: int, threads: int) -> Iterator[tuple[int, float | None]]:
    """The same in up to `jobs` processes at a time, which end with the generator."""
    with Children(jobs, with_threads(threads)) as children:
        for fold in folds:
            children.start(fold, ["fold-worker", str(folder), str(fold)])
        for event in children.events():
            if isinstance(event, Said):
                yield event.task, float(event.line)
            elif event.code == 0:
                yield event.task, None
            else:
                raise RunError(f"the process of fold {event.task + 1}: {event.reason}; try --jobs 1" if event.code < 0
                               else event.reason)


def judge_fold(folder: Path, fold: int) -> Iterator[float]:
    """Train on all other folds of the task in `folder`, then write the predictions on this one there.

    Yields the share of the training that is done, at every percent."""
    config, names = read_config(folder), read_json(folder / NAMES)
    with np.load(folder / TASK) as task:
        whole, unseen = ImageSet(task["images"], task["labels"]), task["folds"] == fold
    source = ImageDataset(names["name"], tuple(names["classes"]), take(whole, np.flatnonzero(~unseen)),
                          take(whole, np.flatnonzero(unseen)), ())
    path, shown = _path(folder, fold), 0
    try:
        for event in run(config, source, path):
            if isinstance(event, StepDone) and event.part == "train":
                share = (event.epoch - 1 + event.batch / event.batches) / config.epochs
                if int(100 * share) > shown:
                    shown = int(100 * share)
                    yield share
    except TrainingError as error:
        raise TrainingError(f"fold {fold + 1}, whose run was deleted: {error}") from error
    trained, device = load_trained(path), activate(config)
    seen = evaluate(trained.network.to(device), split(source.test, device), trained.mean, trained.sd)
    np.save(path / LOGITS, seen.logits.numpy())


def _path(folder: Path, fold: int) -> Path:
    return folder / f"fold{fold + 1}"


def united(source: ImageDataset) -> ImageDataset:
    """The same with the test images among the training images, after them."""
    train, test = source.train, source.test
    names = None if train.names is None or test.names is None else (*train.names, *test.names)
    return replace(source, train=ImageSet(np.concatenate([train.images, test.images]),
                                          np.concatenate([train.labels, test.labels]), names))


def take(part: ImageSet, places: NDArray[np.int64]) -> ImageSet:
    """The images at these places, in this order."""
    names = part.names and tuple(part.names[place] for place in places.tolist())
    return ImageSet(part.images[places], part.labels[places], names)
