"""Training, validation and test set as tensors on one device; mean and SD of the training set; shuffled batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from mnist_ops.data.dataset import ImageDataset, ImageSet, images_shape
from mnist_ops.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Split:
    """A split of a dataset on a device: the training, validation or test set."""

    images: Tensor  # (N, channels, height, width) uint8
    labels: Tensor  # (N,) int64
    names: tuple[str, ...] | None = None  # file names, for a folder of images

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """All of a dataset on one device. `mean` and `sd` of each channel, of values in [0, 1], come from `train` alone."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @cached_property
    def balance(self) -> Tensor:
        """The weight of an image of each class, (classes,) float32: inverse to the number of training images of the
        class, and 1 in the mean over all of them. Always the same tensor, as recorded steps need."""
        counts = torch.bincount(self.train.labels, minlength=len(self.classes)).float()
        return len(self.train) / ((counts > 0).sum() * counts.clamp(min=1))


def to_device(source: ImageDataset, validation: int, device: torch.device) -> Dataset:
    """The source on `device`, with its last `validation` training images as the validation set.

    If the source has a validation set of its own, any number above 0 asks for all of that instead.
    Raises ConfigError if fewer than two training images would be left, or if all pixels are equal (SD 0), so that they
    cannot be scaled."""
    kept = source.kept(validation)
    if kept < 2:
        raise ConfigError(f"validation: {validation} of {len(source.train.labels)} training images of {source.name} "
                          f"would leave {max(kept, 0)} for training; expected at least 2")
    whole = split(source.train, device)
    train = cut(whole, 0, kept)
    mean, sd = mean_and_sd(train.images)
    if 0 in sd:
        channel = "grey value" if len(sd) == 1 else f"value of {('red', 'green', 'blue')[sd.index(0)]}"
        raise ConfigError(f"data: all {kept} training images of {source.name} have the same {channel} "
                          f"{mean[sd.index(0)] * 255:.0f}; expected images that differ")
    own = source.validation
    apart = (split(own, device) if own else cut(whole, kept, len(whole))) if validation else None
    return Dataset(source.name, source.classes, train, apart, split(source.test, device), mean, sd)


def split(part: ImageSet, device: torch.device) -> Split:
    """The same as tensors on `device`, with an axis of channels."""
    writable = np.require(part.images, requirements="W")  # else PyTorch warns; arrays of a file may be read-only
    images = torch.from_numpy(writable).reshape(-1, *images_shape(part.images))
    return Split(images.to(device), torch.from_numpy(part.labels).to(device), part.names)


def cut(whole: Split, first: int, last: int) -> Split:
    """Images first to last - 1, without copying."""
    return Split(whole.images[first:last], whole.labels[first:last], whole.names and whole.names[first:last])


def mean_and_sd(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population SD of each channel, as values in [0, 1]; exact, from the 256 counts."""
    means, sds = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).cpu().double()
        share, value = counts / counts.sum(), torch.arange(256, dtype=torch.float64) / 255
        means.append(float((share * value).sum()))
        sds.append(float((share * (value - means[-1]) ** 2).sum().sqrt()))
    return tuple(means), tuple(sds)


def to_unit(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> float32 in [0, 1]."""
    return images.float().div_(255)


def normalise(images: Tensor, mean: Sequence[float], sd: Sequence[float]) -> Tensor:
    """Values in [0, 1] -> mean 0, SD 1 of each channel over the training set; channels last, for convolutions.

    (N, C, H, W) -> the same. A single channel has the same layout first and last, so PyTorch calls it both; its strides
    are set to mean last, so that convolutions choose the faster algorithm."""
    scaled = channel_wise(lambda part, mean, sd: (part - mean) / sd, images, mean, sd)
    scaled = scaled.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = scaled.shape
    return scaled.as_strided(scaled.shape, (channels * height * width, 1, channels * width, channels))


def channel_wise(change: Callable[..., Tensor], images: Tensor, *numbers: Sequence[float]) -> Tensor:
    """`change` of each channel (N, 1, H, W) with its own numbers. No tensor of them: a GPU would wait."""
    if images.shape[1] == 1:
        return change(images, *(one[0] for one in numbers))
    return torch.cat([change(images[:, channel:channel + 1], *of_channel)
                      for channel, of_channel in enumerate(zip(*numbers, strict=True))], 1)


def batches(count: int, size: int, generator: Generator) -> Iterator[Tensor]:
    """Index tensors of at most `size` that cover 0..count-1 once, in an order drawn from `generator` (its device).

    A last batch of a single image is merged into the one before it, unless all are single: batch normalisation needs
    more than one."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    bounds = list(range(0, count, size))
    bounds = bounds[:batch_count(count, size)]
    for first, last in zip(bounds, [*bounds[1:], count], strict=True):
        yield order[first:last]


def batch_count(count: int, size: int) -> int:
    """The number of batches that `batches` yields."""
    whole = -(-count // size)
    return whole - 1 if whole > 1 and count % size == 1 else whole
