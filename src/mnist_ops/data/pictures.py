"""Which picture files are meant by the paths that a user gives, and the class that a subfolder says they are of."""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_ops.data.images import SUFFIXES, natural_key


@dataclass(frozen=True)
class Picture:
    """One picture file, or a path where none is."""

    path: Path
    label: str | None = None  # the class that a subfolder on the way to it is named after
    error: str | None = None  # what is wrong with the path


def find_pictures(paths: Iterable[Path], classes: Collection[str]) -> Iterator[Picture]:
    """Each path in its turn: a file, whatever its name, or of a folder all pictures at any depth, in natural order.

    A picture is labelled by the nearest subfolder named like one of `classes`. Hidden files, and links to folders, are
    left out. What is not there, cannot be listed, or has no picture in it comes with its error: the others go on."""
    for path in paths:
        if os.path.isdir(path):
            found = list(_within(path, None, classes))
            expected = f"expected files that end in {', '.join(SUFFIXES)}"
            yield from found or [Picture(path, error=f"no pictures in this folder; {expected}")]
        elif os.path.isfile(path):
            yield Picture(path)
        else:
            yield Picture(path, error="is not there; expected a picture, or a folder of pictures. Check the path.")


def _within(folder: Path, label: str | None, classes: Collection[str]) -> Iterator[Picture]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")),
                           key=lambda entry: natural_key(entry.name))
    except OSError as error:
        yield Picture(folder, error=f"cannot be listed ({error.strerror}). Check its permissions.")
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _within(folder / entry.name, entry.name if entry.name in classes else label, classes)
        elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
            yield Picture(folder / entry.name, label)
