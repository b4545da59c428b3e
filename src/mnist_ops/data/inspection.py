"""Finds problems of a dataset: blank pictures, duplicates, mixed light and dark backgrounds, unbalanced classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.dataset import ImageSet
from mnist_ops.errors import legible
from mnist_ops.pictures.listing import names_text

FLAT = 8  # grey values: a picture that spans fewer is blank
DIM = 64  # of 255: if nothing is brighter, the values probably have another range
UNEQUAL = 4  # warn if a class has this many times the pictures of the smallest
EVEN, MOSTLY = 16, 0.75  # even background: this share of the border is within so many grey values of its median
DRAWINGS = 0.9  # share of pictures with an even background from which they are drawings rather than photos


def inspect(classes: Sequence[str], train: ImageSet, test: ImageSet) -> list[str]:
    """A warning for each problem of the two sets that makes an accuracy unreliable; either set may be empty.

    The images are compared as the network sees them. One pass, about a second for 70,000 of 28x28."""
    images, labels = np.concatenate([train.images, test.images]), np.concatenate([train.labels, test.labels])
    names = [*_names(train, "training"), *_names(test, "test")]
    flat = images.reshape(len(images), -1)
    blank = flat.max(1) - flat.min(1) < FLAT
    whole = ImageSet(images[~blank], labels[~blank],
                     tuple(name for name, one in zip(names, blank, strict=True) if not one))
    kept = int((~blank[:len(train.labels)]).sum())
    return [*_blank(classes, labels, blank, names), *_dim(whole.images), *_grounds(classes, whole),
            *_copies(classes, whole, kept), *_unequal(classes, train.labels, test.labels)]


def _names(part: ImageSet, what: str) -> Sequence[str]:
    return part.names if part.names is not None else [f"{what} image {index}" for index in range(len(part.labels))]


def _blank(classes: Sequence[str], labels: NDArray[np.int64], blank: NDArray[np.bool_], names: list[str]) -> list[str]:
    if blank.all():
        return ["every picture is blank"]
    empty = [name for label, name in enumerate(classes) if blank[labels == label].all()]
    lines = [f"every picture of {names_text(empty)} is blank"] if empty else []
    others = blank & ~np.isin(labels, [classes.index(name) for name in empty])
    if count := int(others.sum()):
        found = [names[index] for index in np.flatnonzero(others)[:4]]
        lines.append(f"{_pictures(count)} blank ({names_text(found)})" if count <= len(found) else
                     f"{_pictures(count)} blank ({', '.join(map(legible, found[:3]))}, ...)")
    return lines


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count:,} pictures are"


def _dim(images: NDArray[np.uint8]) -> list[str]:
    if len(images) and (brightest := int(images.max())) < DIM:
        return [f"the brightest value of all pictures is {brightest} of 255: pictures that use the whole range "
                "will be misclassified. Scale the values so that white is 255"]
    return []


def _grounds(classes: Sequence[str], whole: ImageSet) -> list[str]:
    """Whether some drawings are light on dark and others dark on light."""
    images = whole.images if whole.images.ndim == 4 else whole.images[:, None]
    border = np.concatenate([images[:, :, 0], images[:, :, -1], images[:, :, 1:-1, 0], images[:, :, 1:-1, -1]],
                            axis=2).mean(1, dtype=np.float32).astype(np.int16)  # of all channels
    ground = np.sort(border, axis=1)[:, border.shape[1] // 2]  # the median, in a sixth of its time
    even = (np.abs(border - ground[:, None]) <= EVEN).mean(1) >= MOSTLY
    if not len(even) or even.mean() < DRAWINGS:
        return []
    light = images.mean((1, 2, 3)) > ground
    rarer = light if 2 * light.sum() <= len(light) else ~light
    found = np.flatnonzero(rarer & even)
    if not len(found):
        return []
    kinds = ("light on dark", "dark on light") if rarer is light else ("dark on light", "light on dark")
    counts = np.bincount(whole.labels[found], minlength=len(classes))
    of_classes = names_text([f"{count:,} of {name}" for name, count in zip(classes, counts, strict=True) if count])
    return [f"{_pictures(len(found))} {kinds[0]} and the others {kinds[1]}: {of_classes}, such as "
            f"{legible((whole.names or ())[found[0]])}. A network may learn the background instead of the drawing: "
            "make them alike or, for characters, set prepare = \"mnist\", which does that"]


def _copies(classes: Sequence[str], whole: ImageSet, kept: int) -> list[str]:
    """Equal images in both sets, of which the first has `kept`, or in two classes."""
    same: dict[bytes, list[int]] = {}
    for index, image in enumerate(whole.images):
        same.setdefault(image.tobytes(), []).append(index)
    groups = [group for group in same.values() if len(group) > 1]
    names, lines = whole.names or (), []
    across = [group for group in groups if group[0] < kept <= group[-1]]
    if count := sum(index >= kept for group in across for index in group):
        tested = len(whole.images) - kept
        of_all = ("every picture of the test set is" if count == tested else
                  f"{count:,} of {tested:,} test pictures {'is' if count == 1 else 'are'}")
        first, last = (legible(names[across[0][place]]) for place in (0, -1))
        lines.append(f"{of_all} in the training set too, {last} as {first}: the accuracy includes memorised pictures. "
                     "Keep each picture in only one set")
    torn = [group for group in groups if len(set(whole.labels[group].tolist())) > 1]
    if torn:
        one, other = next((torn[0][0], index) for index in torn[0] if whole.labels[index] != whole.labels[torn[0][0]])
        lines.append(f"{_pictures(len(torn))} in more than one class, {legible(names[one])} also as "
                     f"{legible(names[other])}: no network can be right on both. Keep each in only one class")
    return lines


def _unequal(classes: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> list[str]:
    counts = np.bincount(np.concatenate([train, test]), minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] < UNEQUAL * counts[least] or not len(test):
        return []
    share, large, small = 100 * float((test == most).mean()), legible(classes[most]), legible(classes[least])
    return [f"the classes are unbalanced, {counts[most]:,} pictures of {large} and {counts[least]:,} of {small}: "
            f"always predicting {large} gives {share:.2f} % on the test set. Compare the accuracy with that"]
