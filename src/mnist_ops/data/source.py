"""START HERE for data: a name, folder or file -> training and test images with labels, as uint8 arrays. No torch."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.data.array_files import SUFFIXES, is_array_file, read_arrays, read_file
from mnist_ops.data.catalog import CATALOG, TRAIN_LABELS, DatasetInfo
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.draw import Test
from mnist_ops.data.files import (
    VARIABLE,
    DownloadProgress,
    by_hand,
    describe_search,
    fetch_target,
    locate,
    named_data,
    whose,
)
from mnist_ops.data.files import fetch as fetch_files
from mnist_ops.data.idx import check_labels
from mnist_ops.data.inspection import inspect
from mnist_ops.data.inventory import embedded, read_known
from mnist_ops.data.labelled import assemble
from mnist_ops.data.own import read_own
from mnist_ops.data.picture_set import PictureProgress
from mnist_ops.data.shape import Colour, Size
from mnist_ops.errors import DataError, UsageError, hint
from mnist_ops.pictures.prepare import boxed, check_shape, chosen_method, resize
from mnist_ops.pictures.strokes import SIDE

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
DIGITS_TEST = 360  # the last of the embedded digits


def read(
    data: str,
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    how: str = "auto",
    size: Size = "auto",
    colour: Colour = "auto",
    test: Test = "fifth",
    skip_damaged: bool = False,
    fetch: bool = True,
    progress: DownloadProgress | None = None,
    reading: PictureProgress | None = None,
) -> ImageDataset:
    """Read the dataset `data`: "auto", a known name, or the path of a folder with one subfolder per class, or of a
    file of `array_files`.

    A known name takes precedence over a folder of that name, unless written with a path separator (./mnist).
    "auto" is MNIST or, with a warning, the embedded digits if MNIST is missing and cannot be downloaded.
    seed draws the split of a folder without train/ and test/, and the order of any folder's training set.
    test chooses the test set of a folder without train/ and test/: a fifth of each class, drawn by the seed; all
    pictures, with nothing to train on; or those with the given names, recorded by an earlier run.
    how prepares pictures of other sizes, see `prepare`, or "auto", see `chosen_method`; size and colour are of the
    images that they become, see `shape.shape_of_files`. Files of known datasets are grey, 28x28 and used unchanged.
    skip_damaged leaves out pictures of a folder that cannot be read, with a warning for each.
    fetch allows a download, reported to progress(file, received, total) in bytes; reading(done, total) is told of
    pictures of a folder.
    Raises UsageError for an unknown name, a missing folder or one without classes; DataError if files of a named
    dataset are missing, damaged or cannot be downloaded."""
    how = chosen_method(how, data)
    if data in ("auto", *CATALOG):
        _check_known(data, size, colour)
    if data == "auto":
        return _read_auto(data_dir, how, fetch, progress)
    if data in CATALOG:
        info = CATALOG[data]
        return _read_files(info, _find(info, data_dir, fetch, progress)) if info.files else digits(how)
    path = _path_named(data)
    check_shape(how, size, colour)
    try:
        if (parts := read_file(path) if path.is_file() else read_arrays(path)) is not None:
            return assemble(parts, str(path), seed=seed, how=how, test=test, size=size, colour=colour)
        return read_own(path, seed=seed, how=how, test=test, size=size, colour=colour, skip_damaged=skip_damaged,
                        progress=reading)
    except UsageError as error:
        if path.is_dir() and (todo := named_data(path)):
            raise UsageError(f"{error}\n{todo}") from error
        raise


def _check_known(data: str, size: Size, colour: Colour) -> None:
    if size not in ("auto", SIDE) or colour is True:
        found = f"{size}x{size}" if size not in ("auto", SIDE) else "colour"
        raise UsageError(f"--data {data}: its images are grey, {SIDE}x{SIDE}; found {found}. Leave size and colour "
                         "out, or use a network that was trained on such images")


def _read_auto(data_dir: Path | None, how: str, fetch: bool, progress: DownloadProgress | None) -> ImageDataset:
    info = CATALOG["mnist"]
    try:
        found = _find(info, data_dir, fetch, progress)
    except DataError as error:
        warning = (
            "MNIST WAS NOT FOUND: the 1,797 embedded digits are used instead. Results on them say nothing "
            f"about MNIST, and MNIST's target does not apply.\n{error}"
        )
        return replace(digits(how), warnings=(warning,))
    return _read_files(info, found)  # outside the try: a damaged file is an error


def _find(info: DatasetInfo, data_dir: Path | None, fetch: bool, progress: DownloadProgress | None) -> dict[str, Path]:
    found = locate(info, data_dir)
    if found is not None:
        return found
    searched = f"{info.title} is not on this machine. Looked in:\n{describe_search(info, data_dir)}"
    if not fetch:
        todo = f"Download it (mnist-ops data {info.name} --fetch) or give its folder with --data-dir or ${VARIABLE}."
        raise DataError(f"{searched}\n{todo if info.is_published else by_hand(info)}")
    try:
        return fetch_files(info, fetch_target(data_dir), progress)
    except DataError as error:
        raise DataError(f"{searched}\n{error}") from error


def _read_files(info: DatasetInfo, found: dict[str, Path]) -> ImageDataset:
    known = {file.name: file for file in info.files}
    warnings: list[str] = []
    is_other = (other := whose(found)) not in (None, info.name)
    if is_other:
        warnings.append(f"{found[TRAIN_LABELS].parent}: these are the files of {other}, which have the same names as "
                        f"those of {info.name}. Move them to the folder of {other}")

    def array(name: str) -> NDArray[np.uint8]:
        values, original = read_known(known[name], found[name])
        if not original and not is_other:
            warnings.append(
                f"{found[name]}: intact, but not the original {info.title}; used as it is. "
                "Results on it may not be comparable with others."
            )
        return values

    def part(images_name: str, labels_name: str) -> ImageSet:
        images, labels = array(images_name), array(labels_name)
        if images.shape[1:] != (SIDE, SIDE):
            height, width = images.shape[1:]
            raise DataError(
                f"{found[images_name]}: images of {height}x{width}, expected {SIDE}x{SIDE}. "
                f"Move it away and download the original (mnist-ops data {info.name} --fetch)."
            )
        labels -= info.first_label  # 0 becomes 255, which is out of range
        check_labels(found[labels_name], labels, len(images), len(info.classes))
        upright = np.ascontiguousarray(images.transpose(0, 2, 1)) if info.transposed else images
        return ImageSet(upright, labels.astype(np.int64))

    names = [file.name for file in info.files]
    train, test = part(*names[:2]), part(*names[2:])
    if warnings:
        warnings += [f"{info.title}: {line}" for line in inspect(info.classes, train, test)]
    return ImageDataset(info.name, info.classes, train, test, tuple(warnings))


def digits(how: str, shape: Shape = INPUT) -> ImageDataset:
    """The embedded digits as images of that shape, which serve to compare exports where nothing else is here."""
    with embedded().open("rb") as file, np.load(file, allow_pickle=False) as archive:
        sixteenths, labels = archive["images"], archive["labels"].astype(np.int64)
    scaled = ((sixteenths.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)  # 0..16 -> 0..255, rounded
    # They are already cropped, and too coarse to find strokes in.
    images = boxed(scaled) if how == "mnist" else np.stack([resize(image) for image in scaled])
    if shape != INPUT:
        images = np.stack([resize(image, shape[1]) for image in images])
        images = np.repeat(images[:, None], shape[0], axis=1) if shape[0] > 1 else images
    train = ImageSet(images[:-DIGITS_TEST], labels[:-DIGITS_TEST])
    test = ImageSet(images[-DIGITS_TEST:], labels[-DIGITS_TEST:])
    return ImageDataset("digits", CATALOG["digits"].classes, train, test, ())


def _path_named(data: str) -> Path:
    """A folder, or a file of `array_files`."""
    try:
        path = Path(data).expanduser()
        if data and (path.is_dir() or (path.exists() and is_array_file(path))):
            return path.resolve()
        is_there = path.exists() and data != ""
    except (OSError, ValueError, RuntimeError) as error:  # too long, invalid characters, or ~ of an unknown user
        raise UsageError(f"--data {data:.80}: invalid path ({error}).") from error
    if is_there:
        todo = " Unpack it first." if data.lower().endswith(ARCHIVES) else ""
        raise UsageError(f"--data {data}: is a file, expected a folder with one subfolder of pictures per class, "
                         f"or a file ending in {' or '.join(SUFFIXES)}.{todo}")
    names = ["auto", *CATALOG]
    if any(separator and separator in data for separator in (os.sep, os.altsep)):
        raise UsageError(f"--data {data}: folder not found. Check the path, or use one of {', '.join(names)}.")
    raise UsageError(f"--data {data}: unknown dataset or folder; {hint(data, names)}, or the path of a folder or file")
