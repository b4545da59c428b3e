"""Confusion matrix, precision and recall per class, calibration."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.data.inspection import UNEQUAL
from mnist_ops.errors import legible
from mnist_ops.score.evaluate import Evaluation

BINS = 15  # of confidence, as in Guo et al. 2017


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class; None instead of a division by zero."""

    label: int
    images: int  # labelled as this class
    predictions: int  # predicted as this class
    correct: int  # both
    precision: float | None  # percent of the predictions that are right; None without predictions
    recall: float | None  # percent of the images that are found; None without images
    f1: float | None  # percent, harmonic mean of both; None without either


@dataclass(frozen=True)
class Confused:
    """Images of one class that are predicted as another."""

    label: int
    predicted: int
    count: int


@dataclass(frozen=True)
class Bin:
    """The images whose highest probability is above `low` and not above `high`."""

    low: float  # percent, as all here
    high: float
    count: int
    confidence: float | None  # mean of the highest probabilities; None without images
    accuracy: float | None  # None without images


@dataclass(frozen=True)
class Calibration:
    """How well a network's probabilities match the share of right predictions."""

    bins: tuple[Bin, ...]
    ece: float  # percentage points: mean distance of confidence and accuracy, each bin weighted by its images
    mean_confidence: float  # percent
    accuracy: float  # percent


@dataclass(frozen=True, eq=False)
class Explanation:
    """All metrics of a split."""

    confusion: NDArray[np.int64]  # (classes, classes): images of the row's class predicted as the column's
    scores: tuple[ClassScore, ...]  # by class
    confused: tuple[Confused, ...]  # all there are, the most frequent first
    calibration: Calibration


def explain(evaluation: Evaluation) -> Explanation:
    """All of it, in float64. Raises ValueError without any image."""
    if not len(evaluation.labels):
        raise ValueError("expected at least one image")
    counts = confusion(evaluation)
    return Explanation(counts, class_scores(counts), most_confused(counts), calibration(evaluation))


def confusion(evaluation: Evaluation) -> NDArray[np.int64]:
    """Counts (classes, classes), true class by predicted class."""
    classes = evaluation.logits.shape[1]
    pairs = evaluation.labels * classes + evaluation.predicted
    counts: NDArray[np.int64] = torch.bincount(pairs, minlength=classes**2).view(classes, classes).numpy()
    return counts


def class_scores(counts: NDArray[np.int64]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class (van Rijsbergen 1979), from the confusion matrix."""
    found = []
    for label in range(len(counts)):
        images, predictions, correct = (int(part) for part in (counts[label].sum(), counts[:, label].sum(),
                                                               counts[label, label]))
        found.append(ClassScore(label, images, predictions, correct, _percent(correct, predictions),
                                _percent(correct, images), _percent(2 * correct, images + predictions)))
    return tuple(found)


def balanced_accuracy(scores: Sequence[ClassScore]) -> float:
    """Mean recall in percent of the classes that have images (Brodersen et al. 2010), each counting the same."""
    return statistics.fmean(one.recall for one in scores if one.recall is not None)


def unequal(images: Sequence[int]) -> bool:
    """Whether classes of so many images each are of such different size that the accuracy tells of the large ones."""
    there = [count for count in images if count]
    return bool(there) and max(there) >= UNEQUAL * min(there)


def by_class(scores: Sequence[ClassScore], classes: Sequence[str]) -> dict[str, Any]:
    """Plain data: balanced_accuracy, and of each class its name, its images and its accuracy, both in percent."""
    return {"balanced_accuracy": balanced_accuracy(scores),
            "classes": [{"class": name, "images": one.images, "accuracy": one.recall}
                        for name, one in zip(classes, scores, strict=True)]}


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def most_confused(counts: NDArray[np.int64]) -> tuple[Confused, ...]:
    """Every confusion that occurs, the most frequent first; equally frequent ones by class."""
    pairs = [Confused(label, predicted, int(counts[label, predicted]))
             for label, predicted in np.argwhere(counts).tolist() if label != predicted]
    return tuple(sorted(pairs, key=lambda one: (-one.count, one.label, one.predicted)))


def in_words(confused: Confused, classes: Sequence[str]) -> str:
    """"4 read as 9: 5 times"."""
    times = "once" if confused.count == 1 else f"{confused.count:,} times"
    return f"{legible(classes[confused.label])} read as {legible(classes[confused.predicted])}: {times}"


def calibration(evaluation: Evaluation) -> Calibration:
    """Confidence against accuracy in 15 bins of equal width, and the expected calibration error (ECE).

    Guo et al. 2017, arXiv:1706.04599, equations 2 and 3; confidence is the predicted class's softmax probability."""
    shares = evaluation.logits.double().softmax(1).amax(1).clamp(max=1.0).numpy()
    right = (evaluation.predicted == evaluation.labels).double().numpy()
    number = np.clip(np.ceil(shares * BINS).astype(int) - 1, 0, BINS - 1)
    images = np.bincount(number, minlength=BINS)
    sums = [np.bincount(number, values, BINS) for values in (shares, right)]
    bins = []
    for place, count in enumerate(images.tolist()):
        confidence, accuracy = (100 * float(values[place]) / count if count else None for values in sums)
        bins.append(Bin(100 * place / BINS, 100 * (place + 1) / BINS, count, confidence, accuracy))
    ece = 100 * float(np.abs(sums[0] - sums[1]).sum()) / len(right)
    return Calibration(tuple(bins), ece, 100 * float(shares.mean()), 100 * float(right.mean()))
