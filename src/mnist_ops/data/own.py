"""A user's folder of pictures -> training and test set, and warnings about the pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.data.dataset import ImageDataset, ImageSet, Originals
from mnist_ops.data.draw import Labelled, Test, draw_test, recorded
from mnist_ops.data.inspection import inspect
from mnist_ops.data.layout import Folder, read_folder
from mnist_ops.data.picture_set import PictureProgress, PictureSet, read_pictures
from mnist_ops.data.shape import Colour, Size, shape_of_files
from mnist_ops.data.unsorted import read_unsorted
from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.pictures.listing import names_text, natural_key, unread_format

STRETCHED = 2  # warn if the aspect ratios differ by this factor
Pictures = Sequence[tuple[Path, int]]


@dataclass
class _Loaded:
    """What has been read, and what was noticed about it."""

    seen: PictureSet
    places: dict[Path, int]  # of the pictures in `seen`
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    transparent: int = 0
    warnings: dict[str, list[str]] = field(default_factory=dict)  # warning -> the names of its pictures


def read_own(root: Path, *, seed: int, how: str, test: Test, size: Size = "auto", colour: Colour = "auto",
             skip_damaged: bool = False, progress: PictureProgress | None = None) -> ImageDataset:
    """Read the folder `root`; all arguments as `source.read` has them.

    Raises UsageError as `read_folder`, or if a class has too few pictures to split; DataError, naming a picture that
    cannot be read, unless these are to be skipped."""
    folder = _laid_out(root)
    paths = [path for pictures in (folder.train, folder.test, folder.validation) for path, _ in pictures or ()]
    shape = shape_of_files([path for path, _ in folder.train], how, size, colour)
    seen = read_pictures(paths, root, how, shape, progress=progress)
    folder, damaged = _without(folder, {paths[place]: text for place, text in seen.damaged.items()}, skip_damaged)
    loaded = _Loaded(seen, {path: place for place, path in enumerate(paths)})
    generator = np.random.default_rng(seed)
    train, tested = _split(folder, root, test, generator)
    # Shuffled, because the validation set is the end of the training set and needs every class.
    shuffled = [train[index] for index in generator.permutation(len(train))]
    parts = [_load(pictures, root, loaded) for pictures in (shuffled, tested)]
    validation = _load(folder.validation, root, loaded) if folder.validation else None
    lines = [*folder.taken, *damaged, *_skipped(folder, root), *_of_pictures(loaded, how, shape),
             *inspect(folder.classes, *parts)]
    told = tuple(f"{legible(root)}: {line}" for line in lines)
    return ImageDataset(str(root), folder.classes, parts[0], parts[1], told,
                        Originals(dict(loaded.sizes), loaded.transparent), validation)


def _without(folder: Folder, damaged: Mapping[Path, str], skip: bool) -> tuple[Folder, list[str]]:
    """The folder without its damaged pictures, and a line about each. Raises DataError if none may be skipped."""
    if not damaged:
        return folder, []
    first = next(iter(damaged.values())).removesuffix(".") + "."  # which those about ink do not end with
    if not skip:
        more = f"{len(damaged) - 1:,} more cannot be read either. " if len(damaged) > 1 else ""
        raise DataError(f"{first} {more}--skip-damaged, or skip_damaged = true in a configuration file, "
                        "goes on without such pictures.")
    train, test, validation = (part and tuple(one for one in part if one[0] not in damaged)
                               for part in (folder.train, folder.test, folder.validation))
    assert train is not None
    if lost := {label for _, label in folder.train} - {label for _, label in train}:
        raise DataError(f"{first} No picture of {names_text([folder.classes[one] for one in lost])} "
                        "can be read.")
    count = f"{len(damaged):,} damaged {'picture was' if len(damaged) == 1 else 'pictures were'} skipped"
    return replace(folder, train=train, test=test, validation=validation), [
        count, *(f"skipped {text}" for text in damaged.values())]


def _laid_out(root: Path) -> Folder:
    """By subfolders of classes, else by a table or by names."""
    try:
        return read_folder(root)
    except UsageError:
        if (folder := read_unsorted(root)) is None:
            raise
        return folder


def _split(folder: Folder, root: Path, how: Test, generator: np.random.Generator) -> tuple[Pictures, Pictures]:
    """The folder's own sets, or a test set as described in `source.read`."""
    pictures = folder.train if folder.test is None else folder.test
    part = Labelled(str(root), folder.classes, _names(pictures, root),
                    [label for _, label in pictures])
    if folder.test is not None:
        indexes = range(len(pictures)) if how == "fifth" or how == "all" else recorded(part, set(how))[1]
        return folder.train, [pictures[index] for index in indexes]
    train, test = draw_test(part, how, generator)
    return [pictures[index] for index in train], [pictures[index] for index in test]


def _load(pictures: Pictures, root: Path, loaded: _Loaded) -> ImageSet:
    seen, names = loaded.seen, _names(pictures, root)
    places = [loaded.places[path] for path, _ in pictures]
    index = np.array(places, dtype=np.int64)
    loaded.sizes.update(zip(*seen.shapes[index].T.tolist(), strict=True))
    loaded.transparent += int(seen.transparent[index].sum())
    for place, name in zip(places, names, strict=True) if seen.warnings else ():
        for text in seen.warnings.get(place, ()):
            loaded.warnings.setdefault(text.partition(":")[0], []).append(name)
    return ImageSet(seen.images[index], np.array([label for _, label in pictures], dtype=np.int64), names)


def _names(pictures: Pictures, root: Path) -> tuple[str, ...]:
    """The paths relative to the root; by cutting, as pathlib takes a second for 60,000."""
    above = len(root.as_posix().rstrip("/")) + 1
    return tuple(path.as_posix()[above:] for path, _ in pictures)


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


def _of_pictures(loaded: _Loaded, how: str, shape: Shape) -> list[str]:
    """Warnings about single files, and about their shapes."""
    lines = [f"{names_text(sorted(names, key=natural_key))}: {'each ' * (len(names) > 1)}{text}"
             for text, names in loaded.warnings.items()]
    ratios = {width / height: f"{width}x{height}" for height, width in loaded.sizes}
    narrow, wide = min(ratios), max(ratios)
    if how == "resize" and wide > STRETCHED * narrow:
        lines.append(f"pictures of different aspect ratios, from {ratios[narrow]} to {ratios[wide]}, are stretched to "
                     f"{shape[1]}x{shape[2]}; crop them to one shape")
    return lines
