"""A user's folder of pictures -> training and test set, and warnings about the pictures."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.data.dataset import ImageDataset, ImageSet, Originals
from mnist_ops.data.inspection import inspect
from mnist_ops.data.layout import Folder, read_folder
from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.pictures.listing import names_text, natural_key, unread_format
from mnist_ops.pictures.prepare import check_shape, prepared_file
from mnist_ops.pictures.read import read_image, size_of

Test: TypeAlias = Literal["fifth", "all"] | Collection[str]
TEST_SHARE = 0.2  # of each class, if the folder has no test set
SIDES = (28, 32, 48, 64, 96)  # pixels of an image, of which "auto" chooses
MOST_SIZES, SAMPLE = 1000, 100  # pictures whose size, and whose colours, are looked at
GREY = 24  # largest difference between the channels of a grey pixel
STRETCHED = 2  # warn if the aspect ratios differ by this factor
Pictures = Sequence[tuple[Path, int]]


@dataclass
class _Loaded:
    """The state of reading pictures of the folder `root` into images of that shape."""

    root: Path
    how: str
    shape: Shape
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    transparent: int = 0
    warnings: dict[str, list[str]] = field(default_factory=dict)  # warning -> the names of its pictures


def read_own(root: Path, *, seed: int, how: str, test: Test, size: int | Literal["auto"] = "auto",
             colour: bool | Literal["auto"] = "auto") -> ImageDataset:
    """Read the folder `root`; all as `source.read` has them.

    Raises UsageError as `read_folder`, or if a class has too few pictures to split; DataError, naming a picture that
    cannot be read."""
    folder = read_folder(root)
    generator = np.random.default_rng(seed)
    train, tested = _split(folder, root, test, generator)
    # Shuffled, because the validation set is the end of the training set and needs every class.
    shuffled = [train[index] for index in generator.permutation(len(train))]
    check_shape(how, size, colour)
    loaded = _Loaded(root, how, input_shape([path for path, _ in folder.train], how, size, colour))
    parts = [_load(pictures, loaded) for pictures in (shuffled, tested)]
    lines = [*folder.taken, *_skipped(folder, root), *_of_pictures(loaded), *inspect(folder.classes, *parts)]
    told = tuple(f"{legible(root)}: {line}" for line in lines)
    return ImageDataset(str(root), folder.classes, parts[0], parts[1], told,
                        Originals(dict(loaded.sizes), loaded.transparent))


def input_shape(paths: Sequence[Path], how: str, size: int | Literal["auto"], colour: bool | Literal["auto"]) -> Shape:
    """Channels, height and width of the images that these pictures become, where "auto" goes by the pictures.

    size: 28 for characters, else the smallest of SIDES that is not below the median picture's longer side, or the
    largest. colour: if a tenth of at most SAMPLE pictures have any. A picture that cannot be read counts as grey."""
    if how == "mnist":
        return INPUT
    side = _usual_side(paths) if size == "auto" else size
    if colour == "auto":
        seen = [_is_coloured(path) for path in _sample(paths, SAMPLE)]
        colour = 10 * sum(seen) >= len(seen)
    return (3 if colour else 1, side, side)


def _usual_side(paths: Sequence[Path]) -> int:
    longer = sorted(max(size_of(path)) for path in _sample(paths, MOST_SIZES))
    return next((side for side in SIDES if side >= longer[len(longer) // 2]), SIDES[-1])


def _sample(paths: Sequence[Path], most: int) -> Sequence[Path]:
    """At most so many, evenly spaced."""
    count = min(most, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _is_coloured(path: Path) -> bool:
    """Whether a hundredth of the pixels differ between red, green and blue by more than a JPEG's rounding."""
    try:
        pixels = read_image(path, colour=True).pixels
    except DataError:  # reported when it is read for the set
        return False
    return bool((pixels.max(-1) - pixels.min(-1) > GREY).mean() > 0.01)


def _split(folder: Folder, root: Path, how: Test, generator: np.random.Generator) -> tuple[Pictures, Pictures]:
    """The folder's own sets, or a test set as described in `source.read`."""
    if folder.test is not None:
        whole = how == "fifth" or how == "all"
        return folder.train, folder.test if whole else _as_recorded(folder.test, root, set(how))[1]
    if how == "all":
        return (), folder.train
    if how != "fifth":
        return _as_recorded(folder.train, root, set(how))
    train: list[tuple[Path, int]] = []
    test: list[tuple[Path, int]] = []
    for label in range(len(folder.classes)):
        members = [picture for picture in folder.train if picture[1] == label]
        if len(members) < 2:
            found = f"{legible(members[0][0].parent)}: one picture"
            raise UsageError(f"{found}, expected at least two, for training and test. Add some.")
        count = max(1, round(TEST_SHARE * len(members)))
        drawn = set(generator.permutation(len(members))[:count].tolist())
        test += [picture for index, picture in enumerate(members) if index in drawn]
        train += [picture for index, picture in enumerate(members) if index not in drawn]
    return train, test


def _as_recorded(pictures: Pictures, root: Path, recorded: set[str]) -> tuple[Pictures, Pictures]:
    names = [path.relative_to(root).as_posix() for path, _ in pictures]
    if gone := sorted(recorded - set(names)):
        raise DataError(f"{legible(root)}: {len(gone):,} pictures of the run's test set no longer exist, "
                        f"e.g. {legible(gone[0])}; restore them, or use other data")
    parts = [[picture for picture, name in zip(pictures, names, strict=True) if (name in recorded) is tested]
             for tested in (False, True)]
    return parts[0], parts[1]


def _load(pictures: Pictures, loaded: _Loaded) -> ImageSet:
    shape, names = loaded.shape, tuple(path.relative_to(loaded.root).as_posix() for path, _ in pictures)
    images = np.empty((len(pictures), *(shape if shape[0] > 1 else shape[1:])), np.uint8)
    for index, (path, _) in enumerate(pictures):
        picture = prepared_file(path, loaded.how, shape)
        images[index] = picture.seen
        height, width = picture.original.shape[:2]
        loaded.sizes[height, width] += 1
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


def _of_pictures(loaded: _Loaded) -> list[str]:
    """Warnings about single files, and about their shapes."""
    lines = [f"{names_text(sorted(names, key=natural_key))}: {'each ' * (len(names) > 1)}{text}"
             for text, names in loaded.warnings.items()]
    ratios = {width / height: f"{width}x{height}" for height, width in loaded.sizes}
    narrow, wide = min(ratios), max(ratios)
    if loaded.how == "resize" and wide > STRETCHED * narrow:
        lines.append(f"pictures of different aspect ratios, from {ratios[narrow]} to {ratios[wide]}, are stretched to "
                     f"{loaded.shape[1]}x{loaded.shape[2]}; crop them to one shape")
    return lines
