"""Labelled arrays of images -> training and test set: their classes, sets, names and sizes. Reads nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.data.arrays import fit, grey, labels_of, pixels
from mnist_ops.data.catalog import ARRAYS
from mnist_ops.data.dataset import ImageDataset, ImageSet, Originals
from mnist_ops.data.draw import Labelled, Test, draw_test, recorded
from mnist_ops.data.inspection import inspect
from mnist_ops.data.shape import Colour, Size, shape_of_arrays
from mnist_ops.errors import DataError, UsageError, brief, counted, legible
from mnist_ops.pictures.listing import names_text, natural_key
from mnist_ops.pictures.prepare import prepare


@dataclass(frozen=True, eq=False)
class Part:
    """A set as its file has it: images (N, H, W) or (N, H, W, 3) uint8; labels (N,) of numbers or text."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | NDArray[np.str_]
    where: str  # as in messages, e.g. digits.npz: x_train
    first: str  # path of the images in their file, e.g. digits.npz/x_train; followed by the number of each
    number: int = 0  # of the first image

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each image, for reports and for the record of a run's sets."""
        return tuple(f"{self.first}/{index}" for index in range(self.number, self.number + len(self.labels)))


@dataclass(frozen=True, eq=False)
class Parts:
    """All sets of a file or folder, and what is to be told about them."""

    train: Part
    test: Part | None = None  # None if it is to be drawn from the training set
    validation: Part | None = None
    names: Mapping[int, str] = field(default_factory=dict)  # of the classes, by label; else the label is the name
    taken: Sequence[str] = ()


def assemble(parts: Parts, name: str, *, seed: int, how: str, test: Test, size: Size = "auto",
             colour: Colour = "auto") -> ImageDataset:
    """The dataset `name`; the others as in `source.read`. Classes are the labels of the training set, in order.

    Raises DataError if there are fewer than two, if another set has other labels, or as `prepare`; UsageError and
    DataError as `draw_test`."""
    values = _values(parts.train)
    classes = tuple(parts.names.get(value, str(value)) for value in values.tolist())
    shape = shape_of_arrays(parts.train.images, how, size, colour)

    def seen(part: Part) -> ImageSet:
        return ImageSet(prepared(part.images, how, shape, part.where), _indexes(part, values, parts.train), part.names)

    whole = seen(parts.train)
    tested = None if parts.test is None else seen(parts.test)
    validation = None if parts.validation is None else seen(parts.validation)
    generator = np.random.default_rng(seed)
    if tested is None:
        train, drawn = draw_test(_described(name, classes, whole), test, generator)
        whole, tested = _chosen(whole, train), _chosen(whole, drawn)
    elif not isinstance(test, str):
        tested = _chosen(tested, recorded(_described(name, classes, tested), set(test))[1])
    # Shuffled, because the validation set is the end of the training set and needs every class.
    shuffled = _chosen(whole, generator.permutation(len(whole.labels)).tolist())
    lines = [*parts.taken, *_gaps(parts.train, values)]
    if validation:
        lines.append(f"{len(validation.labels):,} validation images: the validation set if one is asked for "
                     "(--validation, any number), else unused")
    told = tuple(f"{legible(name)}: {line}" for line in (*lines, *inspect(classes, shuffled, tested)))
    return ImageDataset(name, classes, shuffled, tested, told, _originals(parts), validation)


def from_arrays(arrays: Sequence[ArrayLike], *, seed: int, how: str, size: Size = "auto",
                colour: Colour = "auto") -> ImageDataset:
    """The dataset of (images, labels) or (images, labels, test_images, test_labels), in any form that numpy takes.

    Raises UsageError for another number of arrays, DataError as `pixels`, `labels_of` and `assemble`."""
    if len(arrays) not in (2, 4):
        raise UsageError(f"data: {counted(len(arrays), 'array')}, expected (images, labels) or (images, labels, "
                         "test_images, test_labels).")
    parts: list[Part] = []
    taken: list[str] = []
    for place in range(0, len(arrays), 2):
        images, notes = pixels(f"data[{place}]", _array(f"data[{place}]", arrays[place]))
        where = f"data[{place + 1}]"
        labels = labels_of(where, _array(where, arrays[place + 1]), len(images))
        parts.append(Part(images, labels, where, "test_images" if place else "images"))
        taken += notes
    train, test = parts if len(parts) == 2 else (parts[0], None)
    return assemble(Parts(train, test, taken=taken), ARRAYS, seed=seed, how=how, test="fifth", size=size,
                    colour=colour)


def _array(where: str, given: ArrayLike) -> NDArray[Any]:
    try:
        found = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths, tensors on a GPU
        raise DataError(f"{where}: is not an array ({error}). Make it one with numpy.asarray.") from error
    is_text = found.dtype.hasobject and all(isinstance(one, str) for one in found.flat)
    return found.astype(str) if is_text else found


def _values(part: Part) -> NDArray[Any]:
    """The labels that occur, in natural order. Raises DataError if there are fewer than two."""
    values = np.unique(part.labels)
    if len(values) < 2:
        raise DataError(f"{part.where}: every label is {brief(values[0].item())}, expected at least two classes.")
    return np.array(sorted(values.tolist(), key=natural_key)) if values.dtype.kind == "U" else values


def _gaps(part: Part, values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "U" or (span := int(values[-1]) - int(values[0]) + 1) == len(values):
        return []
    return [f"{part.where}: of the {span:,} labels from {values[0]} to {values[-1]} only {len(values):,} occur: these "
            "are the classes. If that is wrong, number the classes without gaps"]


def _indexes(part: Part, values: NDArray[Any], train: Part) -> NDArray[np.int64]:
    """The class of each label. Raises DataError for labels that are not in `values`, those of the training set."""
    if part.labels.dtype.kind != values.dtype.kind:
        raise DataError(f"{part.where}: its labels are {'text' if part.labels.dtype.kind == 'U' else 'numbers'}, those "
                        f"of {train.where} are not; expected the same classes in both.")
    if len(other := np.setdiff1d(part.labels, values)):
        raise DataError(f"{part.where}: has the labels {names_text([str(one) for one in other])}, which are not in "
                        f"{train.where}; expected the same classes in both.")
    order = np.argsort(values)
    return np.asarray(order[np.searchsorted(values, part.labels, sorter=order)], dtype=np.int64)


def prepared(images: NDArray[np.uint8], how: str, shape: Shape, where: str) -> NDArray[np.uint8]:
    """images (N, H, W) or (N, H, W, 3) -> images of that shape, by the method `how` of `prepare.METHODS`.

    Raises DataError, naming the image, as `prepare`."""
    if how == "resize":
        return fit(images, shape)
    seen = np.empty((len(images), *shape[1:]), np.uint8)
    for index in range(len(images)):
        try:
            seen[index] = prepare(grey(images[index:index + 1])[0], how)
        except DataError as error:
            raise DataError(f"{where}: image {index}: {error}") from error
    return seen


def _described(name: str, classes: Sequence[str], part: ImageSet) -> Labelled:
    return Labelled(name, classes, part.names or (), part.labels.tolist())


def _chosen(part: ImageSet, indexes: Sequence[int]) -> ImageSet:
    index, names = np.array(indexes, dtype=np.int64), part.names or ()
    return ImageSet(part.images[index], part.labels[index], tuple(names[one] for one in indexes))


def _originals(parts: Parts) -> Originals:
    sizes: dict[tuple[int, int], int] = {}
    for part in (parts.train, parts.test):
        if part is not None:
            height, width = part.images.shape[1:3]
            sizes[height, width] = sizes.get((height, width), 0) + len(part.images)
    return Originals(sizes, 0)
