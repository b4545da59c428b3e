"""A dataset as read: its sets, its classes, and warnings about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The training or the test set: images (N, 28, 28) uint8, 0 black; labels (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] | None = None  # paths relative to the folder, or in the file; None if there are none


@dataclass(frozen=True)
class Originals:
    """The picture files of a folder before they were resized to 28x28."""

    sizes: dict[tuple[int, int], int]  # number of pictures of each (height, width)
    transparent: int  # pictures


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A dataset as read. The order of each set is fixed by the dataset, or by folder and seed."""

    name: str  # as resolved: "auto" becomes "mnist" or "digits"; the absolute path of a folder or file
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    warnings: tuple[str, ...]  # to show to the user
    originals: Originals | None = None  # of a folder or file
    validation: ImageSet | None = None  # a set of the data's own, not part of `train`

    def kept(self, validation: int) -> int:
        """The number of training images of a run that asks for so many validation images."""
        return len(self.train.labels) - (0 if self.validation else validation)
