"""Finds labels of the training set that are likely wrong: confident learning on out-of-fold predictions."""

import contextlib
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.tensors import batch_count
from mnist_ops.errors import UsageError
from mnist_ops.score.mistakes import csv_text, safe_cell, safe_path
from mnist_ops.suspects.confident import Doubt, class_thresholds, confident_classes, confident_joint, find_doubts
from mnist_ops.suspects.folds import OutOfFold, Progress, out_of_fold, take

FOLDS = 4
STEPS = 600  # training steps in each fold, by default
FEWEST_EPOCHS, MOST_EPOCHS = 3, 100  # likewise
COLUMNS = ("index", "file", "given", "given_name", "suggested", "suggested_name", "self_confidence", "score", "likely")


@dataclass(frozen=True, eq=False)
class Suspects:
    """The result for the training set `part`."""

    part: ImageSet
    classes: tuple[str, ...]
    config: Config  # of the runs, resolved
    folds: int
    probabilities: NDArray[np.float64]  # (N, classes), each row by a network that has not seen the image
    doubts: tuple[Doubt, ...]  # most suspicious first

    @property
    def likely(self) -> int:
        """The number of labels that are likely wrong; they come first in `doubts`."""
        return sum(doubt.likely for doubt in self.doubts)

    @property
    def accuracy(self) -> float:
        """Percent of all images predicted as labelled, out of fold."""
        return 100 * float((self.probabilities.argmax(1) == self.part.labels).mean())


Event: TypeAlias = Progress | Suspects


def first_images(source: ImageDataset, count: int) -> ImageDataset:
    """The source with only the first `count` images of its training set. Raises UsageError if it has fewer."""
    part = source.train
    if not 1 <= count <= len(part.labels):
        raise UsageError(f"--first {count}: {source.name} has {len(part.labels):,} training images, expected an "
                         f"integer from 1 to {len(part.labels)}")
    return replace(source, train=take(part, np.arange(count)))


def lone_classes(source: ImageDataset) -> tuple[str, ...]:
    """The classes with a single training image, whose label cannot be judged."""
    counts = np.bincount(source.train.labels, minlength=len(source.classes))
    return tuple(name for name, count in zip(source.classes, counts, strict=True) if count == 1)


def usual_epochs(images: int, folds: int, batch_size: int) -> int:
    """The epochs that make about `STEPS` steps in each fold, within bounds.

    Telling wrong labels from hard images depends on the number of steps more than on epochs, and a small training set
    has few steps per epoch."""
    steps = batch_count(images - images // folds, batch_size)
    return min(max(-(-STEPS // steps), FEWEST_EPOCHS), MOST_EPOCHS)


def find(config: Config, source: ImageDataset, *, folds: int = FOLDS, jobs: int = 1) -> Generator[Event, None, None]:
    """Search the rate, train `config` once per fold on all other folds, and yield the progress and, last, the Suspects.

    The test set is not used. jobs and errors as for `out_of_fold`."""
    part = source.train
    with contextlib.closing(out_of_fold(config, source, folds, jobs)) as events:
        for event in events:
            yield Suspects(part, source.classes, event.config, folds, event.probabilities,
                           find_doubts(part.labels, event.probabilities)) if isinstance(event, OutOfFold) else event


def as_csv(found: Suspects) -> str:
    """A header and a row for each doubt, most suspicious first, after RFC 4180; names as written by `safe_cell`."""
    cells = [row | {key: safe_cell(row[key]) for key in ("given_name", "suggested_name")}
             | {"file": safe_path(row["file"] or "")}
             | {key: f"{row[key]:.6f}" for key in ("self_confidence", "score")}
             | {"likely": "yes" if row["likely"] else "no"} for row in rows(found)]
    return csv_text(COLUMNS, [list(row.values()) for row in cells])


def rows(found: Suspects) -> list[dict[str, Any]]:
    """Each doubt as plain data, with its file and the names of its classes; in the order of `COLUMNS`."""
    names = found.part.names
    plain = [asdict(doubt) | {"file": names and names[doubt.index], "given_name": found.classes[doubt.given],
                              "suggested_name": found.classes[doubt.suggested]} for doubt in found.doubts]
    return [{key: row[key] for key in COLUMNS} for row in plain]


def summary(found: Suspects, dataset: str) -> dict[str, Any]:
    """The content of suspects.json except time and versions: the settings, the numbers, every doubt."""
    labels, config = found.part.labels, found.config
    thresholds = class_thresholds(labels, found.probabilities)
    joint = confident_joint(labels, confident_classes(found.probabilities, thresholds), len(found.classes))
    return {
        "recipe": config.recipe, "model": config.model, "dataset": dataset, "images": len(labels),
        "classes": list(found.classes), "folds": found.folds, "epochs": config.epochs, "lr": config.lr,
        "seed": config.seed, "accuracy": found.accuracy, "likely": found.likely, "listed": len(found.doubts),
        "thresholds": [float(one) if np.isfinite(one) else None for one in thresholds], "joint": joint.tolist(),
        "device": config.device, "threads": config.threads, "precision": config.precision, "suspects": rows(found),
    }
