"""Which picture files are meant by the paths that a user gives, and the class that a subfolder says they are of."""

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_ops.pictures.listing import SUFFIXES, listing, natural_key, unread_format


@dataclass(frozen=True)
class PictureFile:
    """One picture file, or a path where none is."""

    path: Path
    label: str | None = None  # the class that a subfolder on the way to it is named after
    error: str | None = None  # why it cannot be read, as far as the path tells
    skipped: bool = False  # a file in a folder that is not a picture by its name


def find_pictures(paths: Iterable[Path], classes: Collection[str]) -> Iterator[PictureFile]:
    """Each path in its turn: a file, whatever its name, or of a folder all files at any depth, in natural order; or
    what a pattern such as *.png matches, where no file is named so.

    A picture is labelled by the nearest subfolder named like one of `classes`. Hidden files, and links to folders, are
    left out. What is not there, cannot be listed, or has no picture in it comes with its error: the others go on."""
    for path in paths:
        matching = [] if os.path.lexists(path) else sorted(glob.glob(str(path), recursive=True), key=natural_key)
        for one in matching or [str(path)]:
            yield from _at(Path(one), classes)


def _at(path: Path, classes: Collection[str]) -> Iterator[PictureFile]:
    if os.path.isdir(path):
        found = list(_within(path, None, classes))
        yield from found
        if all(one.skipped for one in found):
            yield PictureFile(path, error="no pictures in this folder; expected files that end in "
                              f"{', '.join(SUFFIXES)}")
    elif os.path.isfile(path):
        yield PictureFile(path)
    elif glob.has_magic(str(path)):
        yield PictureFile(path, error="matches no file; expected a pattern of pictures, or of folders. Check the path.")
    else:
        yield PictureFile(path, error="is not there; expected a picture, or a folder of pictures. Check the path.")


def _within(folder: Path, label: str | None, classes: Collection[str]) -> Iterator[PictureFile]:
    try:
        here = listing(folder)
    except OSError as error:
        yield PictureFile(folder, error=f"cannot be listed ({error.strerror}). Check its permissions.")
        return
    pictures, folders = set(here.pictures), set(here.folders)
    for path in sorted((*pictures, *folders, *here.others), key=lambda path: natural_key(path.name)):
        if path in pictures:
            yield PictureFile(path, label)
        elif path not in folders:
            unread = unread_format(path)
            yield PictureFile(path, label if unread else None, unread or None, skipped=not unread)
        elif path not in here.links:
            yield from _within(path, path.name if path.name in classes else label, classes)
