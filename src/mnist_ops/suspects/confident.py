"""Confident learning: which labels are likely wrong, from probabilities that were predicted out of fold. No torch.

Northcutt, Jiang, Chuang 2021, arXiv:1911.00068. `given` (N,) are the labels as they stand, probabilities (N, classes)
what networks that have not seen the image say of it; classes are counted from 0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Doubt:
    """An image whose label the networks that have not seen it do not share."""

    index: int  # of the image, from 0
    given: int
    suggested: int
    self_confidence: float  # probability of the given class, 0 to 1
    score: float  # probability of the suggested class minus that of the given one, above 0, up to 1
    likely: bool  # the networks are confident of the suggested class: the label is likely wrong


def class_thresholds(given: Whole, probabilities: Floats) -> Floats:
    """Mean self-confidence of each class, (classes,): the probability of class j over the images that are labelled j.

    Equation 2 of the paper. What is at least as probable as is usual for its class counts as confident, so a class that
    the networks are less sure of throughout is not suspected throughout. Infinite, and so never reached, for a class
    of fewer than two images: one that has only ever been seen in the image itself has not been learnt out of fold."""
    classes = probabilities.shape[1]
    images = np.bincount(given, minlength=classes)
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], classes)
    return np.where(images > 1, sums / np.maximum(images, 1), np.inf)


def confident_classes(probabilities: Floats, thresholds: Floats) -> Whole:
    """The most probable of the classes that reach their threshold, (N,); -1 where none does."""
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    return np.where(reached.max(1) < 0, -1, reached.argmax(1)).astype(np.int64)


def confident_joint(given: Whole, confident: Whole, classes: int) -> Whole:
    """Counts (classes, classes), the class given by the class that is confidently another: equation 1 of the paper.

    Images of which the networks are not confident are not in it."""
    known = confident >= 0
    counts = np.bincount(given[known] * classes + confident[known], minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def find_doubts(given: Whole, probabilities: Floats) -> tuple[Doubt, ...]:
    """Every image to which another class than its own is the most probable, most suspicious first.

    First come the likely ones, off the diagonal of the confident joint, then the others, whose suggestion is the most
    probable class; each by falling margin between suggested and given class, as in the paper's pruning by noise rate,
    equal ones in their order. The only image of a class is left out, since nothing could be learnt of its class."""
    thresholds = class_thresholds(given, probabilities)
    confident = confident_classes(probabilities, thresholds)
    rows = np.arange(len(given))
    own = probabilities[rows, given]
    # A rare class has a low threshold, which an image may reach although its own class is the more probable one.
    likely = (confident >= 0) & (confident != given) & (probabilities[rows, confident] > own)
    suggested = np.where(likely, confident, probabilities.argmax(1))
    margin = probabilities[rows, suggested] - own
    listed = np.flatnonzero((margin > 0) & np.isfinite(thresholds[given]))
    order = listed[np.lexsort((listed, -margin[listed], ~likely[listed]))]
    return tuple(Doubt(place, int(given[place]), int(suggested[place]), float(own[place]), float(margin[place]),
                       bool(likely[place])) for place in order.tolist())
