"""Out-of-fold predictions: each image of the training set is judged by a network that has not seen it."""

import contextlib
import multiprocessing
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.tensors import split
from mnist_ops.device import activate
from mnist_ops.disk import temporary_folder
from mnist_ops.errors import MnistOpsError, RunError, TrainingError
from mnist_ops.events import StepDone
from mnist_ops.experiment import run
from mnist_ops.run.checkpoint import load_trained
from mnist_ops.score.evaluate import evaluate


@dataclass(frozen=True)
class FoldMoved:
    """How far the run of a fold has come, at every hundredth."""

    fold: int  # from 0
    share: float  # 0 to 1


@dataclass(frozen=True, eq=False)
class FoldDone:
    """A fold's images as seen by the network that was trained on all others."""

    fold: int
    images: NDArray[np.int64]  # (n,) their indices in the training part
    probabilities: NDArray[np.float64]  # (n, classes), softmax
    accuracy: float  # percent classed as labelled


ARRAYS = ("images.npy", "labels.npy", "folds.npy")  # what the runs share
FoldEvent: TypeAlias = FoldMoved | FoldDone


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

    fold_of (N,) are the folds of the training images, from 0. Of the runs no file stays. With one job they run in this
    process, with more in processes of their own, which end when the iterator is closed. Raises RunError for a process
    that was ended from outside, and what `experiment.run` raises."""
    part = source.train
    with temporary_folder("the runs of the folds") as folder:
        arrays: tuple[NDArray[Any], ...] = (part.images, part.labels, fold_of)
        for file, array in zip(ARRAYS, arrays, strict=True):
            np.save(folder / file, array)
        tasks = [_Task(config, source.name, source.classes, folder, fold) for fold in range(int(fold_of.max()) + 1)]
        if jobs > 1:
            yield from _side_by_side(tasks, jobs)
        else:
            for task in tasks:
                yield from _judge_fold(task)


def take(part: ImageSet, places: NDArray[np.int64]) -> ImageSet:
    """The images at these places, in this order."""
    names = part.names and tuple(part.names[place] for place in places.tolist())
    return ImageSet(part.images[places], part.labels[places], names)


@dataclass(frozen=True)
class _Task:
    """The run of one fold. It is small, because a process that is started waits for all that it is given."""

    config: Config
    name: str  # of the dataset
    classes: tuple[str, ...]
    folder: Path  # which holds the ARRAYS, and the run in the meantime
    fold: int

    @property
    def path(self) -> Path:
        return self.folder / f"fold{self.fold + 1}"


def _judge_fold(task: _Task) -> Iterator[FoldEvent]:
    """Train on all folds but one, then let the network judge that one."""
    config = task.config
    images, labels, fold_of = (np.load(task.folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS)
    whole, unseen = ImageSet(images, labels), np.flatnonzero(fold_of == task.fold)
    others = np.flatnonzero(fold_of != task.fold)
    source = ImageDataset(task.name, task.classes, take(whole, others), take(whole, unseen), ())
    shown = 0
    try:
        for event in run(config, source, task.path):
            if isinstance(event, StepDone) and event.part == "train":
                share = (event.epoch - 1 + event.batch / event.batches) / config.epochs
                if int(100 * share) > shown:
                    shown = int(100 * share)
                    yield FoldMoved(task.fold, share)
    except TrainingError as error:
        raise TrainingError(f"fold {task.fold + 1}, of whose run nothing is left: {error}") from error
    trained = load_trained(task.path)
    device = activate(config)
    seen = evaluate(trained.network.to(device), split(source.test, device), trained.mean, trained.sd)
    yield FoldDone(task.fold, unseen, seen.logits.double().softmax(1).numpy(), seen.accuracy)


def _side_by_side(tasks: list[_Task], jobs: int) -> Iterator[FoldEvent]:
    """The same in up to `jobs` processes at a time, which are ended with the generator."""
    context = multiprocessing.get_context("spawn")  # a fork of a process in which PyTorch has threads may hang
    waiting = list(reversed(tasks))
    running: dict[Connection, BaseProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                with _interrupts_wait():
                    ours, theirs = context.Pipe(duplex=False)
                    process: BaseProcess = context.Process(target=_report, args=(waiting.pop(), theirs), daemon=True)
                    process.start()
                    running[ours] = process
                theirs.close()
            for ready in cast("list[Connection]", wait(list(running))):
                try:
                    message = ready.recv()
                except EOFError:
                    _conclude(running.pop(ready))
                    continue
                if isinstance(message, MnistOpsError):
                    raise message
                yield message
    finally:
        for process in running.values():
            process.terminate()
            process.join()


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C, which reaches every process of a terminal, wait until after the block, and never reach the processes
    that are started in it: they are ended by this one, and silently."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _conclude(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise RunError(f"the process of a fold ended with exit code {process.exitcode}; if memory did not suffice, try "
                       "--jobs 1") from None


def _report(task: _Task, pipe: "Connection[FoldEvent | MnistOpsError, None]") -> None:
    """What a process of its own does: judge one fold and send every event, or the error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where the mask above is not to be had
    with pipe:
        try:
            for event in _judge_fold(task):
                pipe.send(event)
        except MnistOpsError as error:
            pipe.send(error)
