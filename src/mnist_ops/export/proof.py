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
from mnist_ops.score.statistics import tail, wilson

TIE = 1e-4            # between PyTorch's two best logits: rounding may change the order of closer ones
PROBABILITY = 1e-5    # largest difference of a probability in float32
ODDNESS = 1e-3        # largest difference of the oddness in float32, as a share of it and 1
DIFFERENT = 0.01      # largest share of images with another class in integers, where no labels are known
LOSS = 0.002          # largest share that integers may lose: wrong less right where PyTorch is the opposite
FOREIGN = 0.05        # the same of images that are not the run's own, which lie nearer to a class's border
CHANCE = 0.01         # more is refused only where it has this probability or less if the limit holds


@dataclass(frozen=True, eq=False)
class Expected:
    """PyTorch's result for N images, in float32."""

    logits: NDArray[np.float64]  # (N, classes)
    labels: NDArray[np.int64] | None  # (N,); None if the images are not of the network's classes
    oddness: NDArray[np.float32] | None = None  # (N,); None without the score that refuses

    @property
    def accuracy(self) -> float | None:
        """Percent; None without labels."""
        return _accuracy(self, self.logits.argmax(1))


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
    lost: int = 0  # that PyTorch alone reads right; 0 without labels, as is won
    won: int = 0   # that the export alone reads right

    @property
    def most_different(self) -> float:
        """The upper end of the 95 % interval of the share of images in another class, in percent."""
        return wilson(self.images - self.same, self.images)[1]


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
    right, rightly = (np.zeros(len(other), bool) if expected.labels is None else classes == expected.labels
                      for classes in (predicted, expected.logits.argmax(1)))
    return Proof(
        images=len(other), same=int((~other).sum()), ties=int((other & tied).sum()), different=len(different),
        first_different=int(different[0]) if len(different) else None,
        largest_difference=float(np.where(np.isfinite(distance), distance, 1.0).max()),
        accuracy=_accuracy(expected, predicted), pytorch_accuracy=expected.accuracy,
        lost=int((rightly & ~right).sum()), won=int((right & ~rightly).sum()),
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


def require_near(proof: Proof, what: str, *, own: bool = True) -> None:
    """Raises RunError if `what`, integer arithmetic, is worse than PyTorch by more than rounding and chance.

    With labels that is a paired test, McNemar's (1947), exact, of the images that one of both reads right; without, a
    test of the share of images in another class. own: whether they are of the run's own data."""
    if proof.accuracy is None:
        allowed, changed = DIFFERENT if own else FOREIGN, proof.images - proof.same
        refused = changed > allowed * proof.images and tail(changed, proof.images, allowed) <= CHANCE
        found = f"{changed:,} of {proof.images:,} images get another class than with PyTorch"
    else:
        allowed = LOSS if own else FOREIGN
        refused = (proof.lost - proof.won > allowed * proof.images
                   and tail(proof.lost, proof.lost + proof.won, 0.5) <= CHANCE)
        found = (f"{proof.lost:,} of {proof.images:,} images are right with PyTorch alone and {proof.won:,} with "
                 f"{what} alone")
    if refused:
        way = {"int4": "--bits 8", "int2": "--bits 4"}.get(what, "--float, in float32")
        raise RunError(f"{what} loses too much, so nothing was written: {found}, expected a loss of at most "
                       f"{allowed:.1%}. Export it with {way}, or give its own images with --data-dir or --data")


def _accuracy(expected: Expected, predicted: NDArray[np.integer]) -> float | None:
    return None if expected.labels is None else 100 * float((predicted == expected.labels).mean())
