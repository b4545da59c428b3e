"""Training, validation and test set as tensors on one device; mean and SD of the training set; shuffled batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Split:
    """A split of a dataset on a device: the training, validation or test set."""

    images: Tensor  # (N, 1, 28, 28) uint8
    labels: Tensor  # (N,) int64
    names: tuple[str, ...] | None = None  # file names, for a folder of images

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """All of a dataset on one device. `mean` and `sd` of grey values in [0, 1] come from `train` alone."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    mean: float
    sd: float


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
    if sd == 0:
        raise ConfigError(f"data: all {kept} training images of {source.name} have the same grey value "
                          f"{mean * 255:.0f}; expected images that differ")
    own = source.validation
    apart = (split(own, device) if own else cut(whole, kept, len(whole))) if validation else None
    return Dataset(source.name, source.classes, train, apart, split(source.test, device), mean, sd)


def split(part: ImageSet, device: torch.device) -> Split:
    """Arrays (N, 28, 28) uint8 and (N,) int64 -> tensors on `device`."""
    images = torch.from_numpy(part.images).unsqueeze(1)
    return Split(images.to(device), torch.from_numpy(part.labels).to(device), part.names)


def cut(whole: Split, first: int, last: int) -> Split:
    """Images first to last - 1, without copying."""
    return Split(whole.images[first:last], whole.labels[first:last], whole.names and whole.names[first:last])


def mean_and_sd(images: Tensor) -> tuple[float, float]:
    """Mean and population SD of all pixels, as grey values in [0, 1]; exact, from the 256 counts."""
    counts = torch.bincount(images.flatten(), minlength=256).cpu().double()
    share, grey = counts / counts.sum(), torch.arange(256, dtype=torch.float64) / 255
    mean = float((share * grey).sum())
    return mean, float((share * (grey - mean) ** 2).sum().sqrt())


def to_grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) uint8 -> float32 in [0, 1]."""
    return images.float().div_(255)


def normalise(grey: Tensor, mean: float, sd: float) -> Tensor:
    """Grey values in [0, 1] -> mean 0, SD 1 over the training set; channels last, which convolutions prefer.

    (N, C, H, W) -> the same. A single channel has the same layout first and last, so PyTorch calls it both; its strides
    are set to mean last, so that convolutions choose the faster algorithm."""
    scaled = ((grey - mean) / sd).contiguous(memory_format=torch.channels_last)
    _, channels, height, width = scaled.shape
    return scaled.as_strided(scaled.shape, (channels * height * width, 1, channels * width, channels))


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
