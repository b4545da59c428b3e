"""mnist-ops predict --show: the pictures that were read, on one sheet."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.errors import UsageError

if TYPE_CHECKING:
    from mnist_ops.classifier import Reading
    from mnist_ops.pictures.find import PictureFile
    from mnist_ops.pictures.several import Several
    from mnist_ops.report.predictions import Prediction

SHEET = "predictions.png"  # without --out
MOST_SHOWN = 60  # pictures


def check_other(option: str, file: Path | None, picture: Path) -> None:
    """Raises UsageError if the file to write would replace a picture."""
    if file is not None and file.exists() and picture.exists() and file.samefile(picture):
        raise UsageError(f"{option} {file}: is one of the pictures to read; choose another file")


def draw_sheet(kept: "Sequence[tuple[PictureFile, Reading | Several]]", sheet: Path) -> None:
    """Draw each picture, the network's input and its prediction; of several characters, each."""
    from mnist_ops.report.predictions import draw_predictions
    from mnist_ops.report.style import write_picture

    names = below_shared([picture.path for picture, _ in kept])
    answers = [one for name, (picture, reading) in zip(names, kept, strict=True)
               for one in _predictions(name, picture, reading)]
    write_picture(sheet, lambda: draw_predictions(answers))


def _predictions(name: str, picture: "PictureFile", reading: "Reading | Several") -> "Iterator[Prediction]":
    from mnist_ops.classifier import Reading
    from mnist_ops.report.predictions import Prediction

    if isinstance(reading, Reading):
        yield Prediction(name, reading.original, reading.seen, reading.probabilities, picture.label, reading.verdict)
        return
    for number, one in enumerate(reading.characters, 1):
        top, left, bottom, right = one.box
        yield Prediction(f"{name}, {number} of {len(reading.characters)}", reading.original[top:bottom, left:right],
                         one.seen, one.probabilities, None, one.verdict)


def below_shared(paths: Sequence[Path]) -> list[str]:
    """The paths relative to their common folder, which tells apart files of the same name."""
    whole = [os.path.abspath(path) for path in paths]
    shared = os.path.commonpath(map(os.path.dirname, whole))
    return [os.path.relpath(path, shared) for path in whole]
