"""START HERE for data: a name or a folder -> training and test images with labels, as uint8 arrays. Knows no torch."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.catalog import CATALOG, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, DatasetInfo
from mnist_ops.data.files import VARIABLE, Progress, describe_search, fetch_target, locate
from mnist_ops.data.files import fetch as fetch_files
from mnist_ops.data.idx import check_labels
from mnist_ops.data.images import Folder, read_folder, read_image
from mnist_ops.data.inventory import embedded, read_known
from mnist_ops.data.prepare import SIDE, check_method, prepare
from mnist_ops.errors import DataError, UsageError

DIGITS_TEST = 360  # the last so many of the embedded digits
TEST_SHARE = 0.2  # of each class of a folder without train/ and test/


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the test part: images (N, 28, 28) uint8, 0 black; labels (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] | None = None  # of the files, below the folder; None where the images come without names


@dataclass(frozen=True, eq=False)
class Source:
    """A dataset as read. The order of each part is fixed by the dataset, or by folder and seed."""

    name: str  # as resolved: "auto" may have become "mnist" or "digits"
    classes: tuple[str, ...]
    train: Part
    test: Part
    warnings: tuple[str, ...]  # texts to be shown to the user
    location: str


def read(
    data: str,
    data_dir: Path | None = None,
    *,
    seed: int = 0,
    how: str = "resize",
    fetch: bool = True,
    progress: Progress | None = None,
) -> Source:
    """Read the dataset `data`: "auto", a name of the catalogue, or the path of a folder with one subfolder per class.

    A name of the catalogue wins over a folder of that name, unless written with a path separator (./mnist).
    "auto" is MNIST, or, with a warning, the embedded digits where MNIST is neither there nor to be fetched.
    seed draws the split of a folder without train/ and test/, and the order of any folder's training part.
    how prepares pictures of other sizes, see `prepare`; catalogue files hold 28x28 and stay as they are.
    fetch allows a download, of which progress(file, received, total) is told, in bytes.
    Raises UsageError for an unknown name, DataError for what is missing, cannot be fetched, or is damaged."""
    check_method(how)
    if data == "auto":
        return _read_auto(data_dir, how, fetch, progress)
    if data in CATALOG:
        info = CATALOG[data]
        return _read_files(info, _find(info, data_dir, fetch, progress)) if info.files else _read_digits(how)
    return _read_folder(_folder_named(data), seed, how)


def _read_auto(data_dir: Path | None, how: str, fetch: bool, progress: Progress | None) -> Source:
    info = CATALOG["mnist"]
    try:
        found = _find(info, data_dir, fetch, progress)
    except DataError as error:
        warning = (
            "MNIST IS NOT HERE: the 1,797 embedded digits are used instead. What is measured on them says nothing "
            f"about MNIST, and MNIST's target does not apply.\n{error}"
        )
        return replace(_read_digits(how), warnings=(warning,))
    return _read_files(info, found)  # outside the try: a file that is there and damaged is an error


def _find(info: DatasetInfo, data_dir: Path | None, fetch: bool, progress: Progress | None) -> dict[str, Path]:
    found = locate(info, data_dir)
    if found is not None:
        return found
    searched = f"{info.title} is not on this machine. Looked in:\n{describe_search(info, data_dir)}"
    if not fetch:
        todo = f"Fetch it (mnist-ops data {info.name} --fetch) or name its folder with --data-dir or ${VARIABLE}."
        raise DataError(f"{searched}\n{todo}")
    try:
        return fetch_files(info, fetch_target(data_dir), progress)
    except DataError as error:
        raise DataError(f"{searched}\n{error}") from error


def _read_files(info: DatasetInfo, found: dict[str, Path]) -> Source:
    known = {file.name: file for file in info.files}
    warnings: list[str] = []

    def array(name: str) -> NDArray[np.uint8]:
        values, original = read_known(known[name], found[name])
        if not original:
            warnings.append(
                f"{found[name]}: whole, but not known to be the original {info.title}; used as it is. "
                "Results on it may not be comparable with others."
            )
        return values

    def part(images_name: str, labels_name: str) -> Part:
        images, labels = array(images_name), array(labels_name)
        if images.shape[1:] != (SIDE, SIDE):
            height, width = images.shape[1:]
            raise DataError(
                f"{found[images_name]}: images of {height}x{width}, expected {SIDE}x{SIDE}. "
                f"Remove it and fetch the original (mnist-ops data {info.name} --fetch)."
            )
        check_labels(found[labels_name], labels, len(images), len(info.classes))
        return Part(images, labels.astype(np.int64))

    train, test = part(TRAIN_IMAGES, TRAIN_LABELS), part(TEST_IMAGES, TEST_LABELS)
    return Source(info.name, info.classes, train, test, tuple(warnings), str(found[TRAIN_IMAGES].parent))


def _read_digits(how: str) -> Source:
    with embedded().open("rb") as file, np.load(file, allow_pickle=False) as archive:
        sixteenths, labels = archive["images"], archive["labels"].astype(np.int64)
    scaled = ((sixteenths.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)  # 0..16 -> 0..255, rounded
    images = np.stack([prepare(image, how) for image in scaled])
    train = Part(images[:-DIGITS_TEST], labels[:-DIGITS_TEST])
    test = Part(images[-DIGITS_TEST:], labels[-DIGITS_TEST:])
    return Source("digits", CATALOG["digits"].classes, train, test, (), "inside the package")


def _folder_named(data: str) -> Path:
    folder = Path(data).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"--data {data}: is a file, expected a folder with one subfolder of pictures per class.")
    names = ["auto", *CATALOG]
    if any(separator and separator in data for separator in (os.sep, os.altsep)):
        raise UsageError(f"--data {data}: there is no such folder. Check the path, or name one of {', '.join(names)}.")
    close = difflib.get_close_matches(data.lower(), names, n=2)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UsageError(
        f"--data {data}: no dataset or folder of that name.{hint} There are {', '.join(names)}, or a folder."
    )


def _read_folder(root: Path, seed: int, how: str) -> Source:
    folder = read_folder(root)
    generator = np.random.default_rng(seed)
    train, test = _split(folder, root, generator)
    # Shuffled, because whoever keeps the end of the training part for validation needs every class there.
    shuffled = [train[index] for index in generator.permutation(len(train))]
    warnings: tuple[str, ...] = ()
    if folder.ignored:
        names = ", ".join(path.relative_to(root).as_posix() for path in folder.ignored[:3])
        more = ", ..." if len(folder.ignored) > 3 else ""
        found = f"{len(folder.ignored):,} entries are no pictures by name and place"
        warnings = (f"{root}: {found} and were left out: {names}{more}",)
    parts = [_load(pictures, root, how) for pictures in (shuffled, test)]
    return Source(str(root), folder.classes, parts[0], parts[1], warnings, str(root.resolve()))


Pictures = Sequence[tuple[Path, int]]


def _split(folder: Folder, root: Path, generator: np.random.Generator) -> tuple[Pictures, Pictures]:
    """The folder's own parts, or a fifth of each class, drawn at random, as the test part."""
    if folder.test is not None:
        return folder.train, folder.test
    train: list[tuple[Path, int]] = []
    test: list[tuple[Path, int]] = []
    for label, name in enumerate(folder.classes):
        members = [picture for picture in folder.train if picture[1] == label]
        if len(members) < 2:
            raise DataError(f"{root / name}: one picture, expected at least two, for training and for test. Add some.")
        count = max(1, round(TEST_SHARE * len(members)))
        drawn = set(generator.permutation(len(members))[:count].tolist())
        test += [picture for index, picture in enumerate(members) if index in drawn]
        train += [picture for index, picture in enumerate(members) if index not in drawn]
    return train, test


def _load(pictures: Pictures, root: Path, how: str) -> Part:
    images = np.stack([prepare(read_image(path), how) for path, _ in pictures])
    labels = np.array([label for _, label in pictures], dtype=np.int64)
    return Part(images, labels, tuple(path.relative_to(root).as_posix() for path, _ in pictures))
