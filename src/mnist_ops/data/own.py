"""A user's folder of pictures -> training and test set, and warnings about the pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnist_ops.data.dataset import ImageDataset, ImageSet, Originals
from mnist_ops.data.draw import Labelled, Test, draw_test, recorded
from mnist_ops.data.inspection import inspect
from mnist_ops.data.layout import Folder, read_folder
from mnist_ops.errors import legible
from mnist_ops.pictures.listing import names_text, natural_key, unread_format
from mnist_ops.pictures.prepare import prepared_file
from mnist_ops.pictures.strokes import SIDE

STRETCHED = 2  # warn if the aspect ratios differ by this factor
Pictures = Sequence[tuple[Path, int]]


@dataclass
class _Loaded:
    """The state of reading pictures."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    transparent: int = 0
    warnings: dict[str, list[str]] = field(default_factory=dict)  # warning -> the names of its pictures


def read_own(root: Path, *, seed: int, how: str, test: Test) -> ImageDataset:
    """Read the folder `root`; seed, how and test as `source.read` has them.

    Raises UsageError as `read_folder`, or if a class has too few pictures to split; DataError, naming a picture that
    cannot be read."""
    folder = read_folder(root)
    generator = np.random.default_rng(seed)
    train, tested = _split(folder, root, test, generator)
    # Shuffled, because the validation set is the end of the training set and needs every class.
    shuffled = [train[index] for index in generator.permutation(len(train))]
    loaded = _Loaded()
    parts = [_load(pictures, root, how, loaded) for pictures in (shuffled, tested)]
    lines = [*folder.taken, *_skipped(folder, root), *_of_pictures(loaded, how), *inspect(folder.classes, *parts)]
    told = tuple(f"{legible(root)}: {line}" for line in lines)
    return ImageDataset(str(root), folder.classes, parts[0], parts[1], told,
                        Originals(dict(loaded.sizes), loaded.transparent))


def _split(folder: Folder, root: Path, how: Test, generator: np.random.Generator) -> tuple[Pictures, Pictures]:
    """The folder's own sets, or a test set as described in `source.read`."""
    pictures = folder.train if folder.test is None else folder.test
    part = Labelled(str(root), folder.classes, [path.relative_to(root).as_posix() for path, _ in pictures],
                    [label for _, label in pictures])
    if folder.test is not None:
        indexes = range(len(pictures)) if how == "fifth" or how == "all" else recorded(part, set(how))[1]
        return folder.train, [pictures[index] for index in indexes]
    train, test = draw_test(part, how, generator)
    return [pictures[index] for index in train], [pictures[index] for index in test]


def _load(pictures: Pictures, root: Path, how: str, loaded: _Loaded) -> ImageSet:
    names = tuple(path.relative_to(root).as_posix() for path, _ in pictures)
    images = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    for index, (path, _) in enumerate(pictures):
        picture = prepared_file(path, how)
        images[index] = picture.seen
        loaded.sizes[picture.original.shape] += 1
        loaded.transparent += picture.transparent
        for text in picture.warnings:
            loaded.warnings.setdefault(text.partition(":")[0], []).append(names[index])
    return ImageSet(images, np.array([label for _, label in pictures], dtype=np.int64), names)


def _skipped(folder: Folder, root: Path) -> list[str]:
    unread = [path for path in folder.ignored if unread_format(path)]
    lines = []
    for paths, what in ((unread, "pictures in unsupported formats; convert them to PNG or JPEG"),
                        ([path for path in folder.ignored if path not in set(unread)], "not pictures of a class")):
        if paths:
            names = names_text([path.relative_to(root).as_posix() for path in paths])
            entries = "entry was" if len(paths) == 1 else "entries were"
            lines.append(f"{len(paths):,} {entries} skipped: {what} ({names})")
    return lines


def _of_pictures(loaded: _Loaded, how: str) -> list[str]:
    """Warnings about single files, and about their shapes."""
    lines = [f"{names_text(sorted(names, key=natural_key))}: {'each ' * (len(names) > 1)}{text}"
             for text, names in loaded.warnings.items()]
    ratios = {width / height: f"{width}x{height}" for height, width in loaded.sizes}
    narrow, wide = min(ratios), max(ratios)
    if how == "resize" and wide > STRETCHED * narrow:
        lines.append(f"pictures of different aspect ratios, from {ratios[narrow]} to {ratios[wide]}, are stretched to "
                     f"{SIDE}x{SIDE}; crop them to one shape")
    return lines
