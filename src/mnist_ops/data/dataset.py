"""A dataset as read: its sets, its classes, and warnings about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape

NEARLY_BLACK = 16  # of 255, with room for what JPEG adds


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The training or the test set: images uint8, grey (N, H, W), 0 black, or RGB (N, 3, H, W); labels (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] | None = None  # paths relative to the folder, or in the file; None if there are none


@dataclass(frozen=True)
class Originals:
    """The picture files of a folder before they were resized."""

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

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of an image."""
        return images_shape(self.train.images)

    @property
    def dark_edges(self) -> bool:
        """Whether most pixels at the edges of the training images are black, or nearly so."""
        images = self.train.images
        edges = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
        return float(np.median(np.concatenate([edge.ravel() for edge in edges]))) < NEARLY_BLACK

    def kept(self, validation: int) -> int:
        """The number of training images of a run that asks for so many validation images."""
        return len(self.train.labels) - (0 if self.validation else validation)


def images_shape(images: NDArray[np.uint8]) -> Shape:
    """Channels, height and width of images (N, H, W) or (N, 3, H, W)."""
    height, width = images.shape[-2:]
    return (1 if images.ndim == 3 else images.shape[1], height, width)
