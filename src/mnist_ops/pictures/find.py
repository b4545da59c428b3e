"""Finds the picture files of the paths that a user gives, and their class if a subfolder names it."""

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_ops.pictures.listing import SUFFIXES, listing, natural_key, unread_format


@dataclass(frozen=True)
class PictureFile:
    """A picture file, or a path without one."""

    path: Path
    label: str | None = None  # named by a subfolder on its path
    error: str | None = None  # why it cannot be read, judging by its path
    skipped: bool = False  # a file in a folder whose name is not that of a picture


def find_pictures(paths: Iterable[Path], classes: Collection[str]) -> Iterator[PictureFile]:
    """For each path: the file, whatever its name; all files of a folder at any depth, in natural order; or the matches
    of a pattern such as *.png, unless a file has that name.

    A picture is labelled by the nearest subfolder named like one of `classes`. Hidden files and links to folders are
    ignored. Paths that do not exist, cannot be listed or have no pictures are yielded with an error."""
    for path in paths:
        matching = [] if os.path.lexists(path) else sorted(glob.glob(str(path), recursive=True), key=natural_key)
        for one in matching or [str(path)]:
            yield from _at(Path(one), classes)


def _at(path: Path, classes: Collection[str]) -> Iterator[PictureFile]:
    if os.path.isdir(path):
        found = list(_within(path, None, classes))
        yield from found
        if all(one.skipped for one in found):
            yield PictureFile(path, error="no pictures in this folder; expected files ending in "
                              f"{', '.join(SUFFIXES)}")
    elif os.path.isfile(path):
        yield PictureFile(path)
    elif glob.has_magic(str(path)):
        yield PictureFile(path, error="matches no file; expected a pattern of pictures, or of folders. Check the path.")
    else:
        yield PictureFile(path, error="does not exist; expected a picture, or a folder of pictures. Check the path.")


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
