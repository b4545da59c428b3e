"""A dataset as read: its sets, its classes, and what its user should know of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The training or the test set: images (N, 28, 28) uint8, 0 black; labels (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] | None = None  # of the files, below the folder; None where the images come without names


@dataclass(frozen=True)
class Originals:
    """The picture files of a folder as they were before they became 28x28."""

    sizes: dict[tuple[int, int], int]  # how many pictures there are of each (height, width)
    transparent: int  # pictures


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A dataset as read. The order of each set is fixed by the dataset, or by folder and seed."""

    name: str  # as resolved: "auto" may have become "mnist" or "digits"; the whole path of a folder
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    warnings: tuple[str, ...]  # texts to be shown to the user
    originals: Originals | None = None  # of a folder
