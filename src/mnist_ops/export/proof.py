"""The comparison of an export with PyTorch: classes and probabilities on the test images."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.data.dataset import ImageSet
from mnist_ops.data.tensors import split
from mnist_ops.errors import RunError
from mnist_ops.export.forward import softmax
from mnist_ops.run.trained import TrainedNetwork
from mnist_ops.score.evaluate import evaluate
from mnist_ops.score.refusal import looked_at

TIE = 1e-4            # between PyTorch's two best logits: rounding may change the order of closer ones
PROBABILITY = 1e-5    # largest difference of a probability in float32
ODDNESS = 1e-3        # largest difference of the oddness in float32, as a share of it and 1
INT8_DIFFERENT = 0.01  # largest share of images with another class in int8
INT8_LOSS = 0.2       # largest loss of accuracy of int8 in points, or one image


@dataclass(frozen=True, eq=False)
class Expected:
    """PyTorch's result for N images, in float32."""

    logits: NDArray[np.float64]  # (N, classes)
    labels: NDArray[np.int64] | None  # (N,); None if the images are not of the network's classes
    oddness: NDArray[np.float32] | None = None  # (N,); None without the score that refuses


@dataclass(frozen=True)
class Proof:
    """A comparison with PyTorch, image by image."""

    images: int
    same: int        # with PyTorch's class
    ties: int        # with another, but PyTorch's two best logits are within TIE
    different: int   # with another, without a tie
    first_different: int | None  # index of the first of these
    largest_difference: float    # of any probability
    accuracy: float | None          # percent, of the export; None without labels
    pytorch_accuracy: float | None  # percent


def expect(trained: TrainedNetwork, part: ImageSet, labelled: bool = True) -> Expected:
    """PyTorch's logits of the images of `part`."""
    images = split(part, torch.device("cpu"))
    if not labelled:
        images = replace(images, labels=torch.zeros_like(images.labels))  # a label of other classes may be out of range
    result = evaluate(trained.network, images, trained.mean, trained.sd)
    odd = None if trained.refusal is None else trained.refusal.oddness(
        *looked_at(trained.network, images, trained.mean, trained.sd)).numpy()
    return Expected(result.logits.numpy().astype(np.float64), part.labels if labelled else None, odd)


def compare(expected: Expected, predicted: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Proof:
    """Compare an export's classes (N,) and probabilities (N, classes) with PyTorch's. NaN counts as different.

    Raises RunError if they are of another shape than PyTorch's."""
    found, wanted = (predicted.shape, probabilities.shape), (expected.logits.shape[:1], expected.logits.shape)
    if found != wanted:
        raise RunError("the export does not match PyTorch, so nothing was written: classes and probabilities "
                       f"have the shapes {found}, expected {wanted}")
    best = np.sort(expected.logits, axis=1)
    tied = best[:, -1] - best[:, -2] <= TIE if best.shape[1] > 1 else np.zeros(len(best), bool)
    other = predicted != expected.logits.argmax(1)
    different = np.flatnonzero(other & ~tied)
    distance = np.abs(probabilities - softmax(expected.logits))
    return Proof(
        images=len(other), same=int((~other).sum()), ties=int((other & tied).sum()), different=len(different),
        first_different=int(different[0]) if len(different) else None,
        largest_difference=float(np.where(np.isfinite(distance), distance, 1.0).max()),
        accuracy=_accuracy(expected, predicted), pytorch_accuracy=_accuracy(expected, expected.logits.argmax(1)),
    )


def require_equal(proof: Proof, what: str) -> None:
    """Raises RunError if an export in float32 differs from PyTorch."""
    if proof.different or proof.largest_difference > PROBABILITY:
        first = "" if proof.first_different is None else f" (image {proof.first_different} is the first)"
        raise RunError(f"{what} does not match PyTorch, so nothing was written: {proof.different:,} of "
                       f"{proof.images:,} images get another class{first}, and a probability differs by "
                       f"{proof.largest_difference:.2g}, expected at most {PROBABILITY:g}")


def require_odd(expected: Expected, found: NDArray[np.floating] | None, what: str) -> None:
    """Raises RunError if the oddness by an export in float32, if it has any, differs from PyTorch's."""
    if found is None or expected.oddness is None:
        return
    distance = np.abs(found - expected.oddness) / (1 + np.abs(expected.oddness))
    if not distance.max() <= ODDNESS:
        raise RunError(f"{what} does not match PyTorch, so nothing was written: the oddness of image "
                       f"{int(distance.argmax())} differs by {distance.max():.2g} of it, expected at most {ODDNESS:g}")


def require_near(proof: Proof) -> None:
    """Raises RunError if int8 differs from PyTorch by more than rounding."""
    lost = 0.0
    if proof.accuracy is not None and proof.pytorch_accuracy is not None:
        lost = proof.pytorch_accuracy - proof.accuracy
    allowed = max(INT8_LOSS, 100 / proof.images) + 1e-9
    if proof.different > max(1, INT8_DIFFERENT * proof.images) or lost > allowed:
        raise RunError(f"int8 loses too much, so nothing was written: {proof.different:,} of {proof.images:,} images "
                       f"get another class than with PyTorch, {lost:.2f} points of accuracy are lost, expected at most "
                       f"{INT8_DIFFERENT:.0%} and {allowed:.2f}; export it in float32 with --float")


def _accuracy(expected: Expected, predicted: NDArray[np.integer]) -> float | None:
    return None if expected.labels is None else 100 * float((predicted == expected.labels).mean())
