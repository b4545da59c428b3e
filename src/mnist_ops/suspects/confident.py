"""Confident learning: finds labels that are likely wrong from out-of-fold probabilities. No torch.

Northcutt, Jiang, Chuang 2021, arXiv:1911.00068. `given` (N,) are the given labels, probabilities (N, classes) the
predictions of networks that have not seen the image; classes are counted from 0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Doubt:
    """An image for which networks that have not seen it predict another class."""

    index: int  # of the image, from 0
    given: int
    suggested: int
    self_confidence: float  # probability of the given class, 0 to 1
    score: float  # probability of the suggested class minus that of the given one, above 0, up to 1
    likely: bool  # confidently predicted: the label is likely wrong


def class_thresholds(given: Whole, probabilities: Floats) -> Floats:
    """Mean self-confidence of each class, (classes,): the mean probability of class j over the images labelled j.

    Equation 2 of the paper. A prediction is confident if its probability is at least the average of its class, so a
    difficult class is not suspected as a whole. Infinite, so never reached, for a class of fewer than two images, which
    cannot be learnt out of fold."""
    classes = probabilities.shape[1]
    images = np.bincount(given, minlength=classes)
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], classes)
    return np.where(images > 1, sums / np.maximum(images, 1), np.inf)


def confident_classes(probabilities: Floats, thresholds: Floats) -> Whole:
    """The most probable of the classes that reach their threshold, (N,); -1 if none does."""
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    return np.where(reached.max(1) < 0, -1, reached.argmax(1)).astype(np.int64)


def confident_joint(given: Whole, confident: Whole, classes: int) -> Whole:
    """Counts (classes, classes), given class by confidently predicted class: equation 1 of the paper.

    Images without a confident prediction are not counted."""
    known = confident >= 0
    counts = np.bincount(given[known] * classes + confident[known], minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def find_doubts(given: Whole, probabilities: Floats) -> tuple[Doubt, ...]:
    """Every image whose most probable class is not the given one, most suspicious first.

    First the likely ones, off the diagonal of the confident joint, then the others, with the most probable class as the
    suggestion; each by falling margin between suggested and given class, as in the paper's pruning by noise rate, equal
    ones in their order. The only image of a class is skipped, as its class cannot be learnt."""
    thresholds = class_thresholds(given, probabilities)
    confident = confident_classes(probabilities, thresholds)
    rows = np.arange(len(given))
    own = probabilities[rows, given]
    # A rare class has a low threshold, which an image may reach although its own class is more probable.
    likely = (confident >= 0) & (confident != given) & (probabilities[rows, confident] > own)
    suggested = np.where(likely, confident, probabilities.argmax(1))
    margin = probabilities[rows, suggested] - own
    listed = np.flatnonzero((margin > 0) & np.isfinite(thresholds[given]))
    order = listed[np.lexsort((listed, -margin[listed], ~likely[listed]))]
    return tuple(Doubt(place, int(given[place]), int(suggested[place]), float(own[place]), float(margin[place]),
                       bool(likely[place])) for place in order.tolist())
