"""mnist-ops predict: what a network reads in pictures."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mnist_ops.cli.output import complain, draws, show, show_json, warn
from mnist_ops.cli.settings import Json, completed
from mnist_ops.cli.wording import interval_text
from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.run.folder import CONFIG
from mnist_ops.run.named import SHIPPED

if TYPE_CHECKING:
    from mnist_ops.api import Classifier, Reading
    from mnist_ops.pictures.find import PictureFile

SHEET = "predictions.png"  # where --show draws, without --out
MOST_SHOWN = 60  # pictures on the sheet


@dataclass
class Results:
    """What has been read so far."""

    rows: list[list[str]] = field(default_factory=list)  # the cells of those that could be read
    kept: "list[tuple[PictureFile, Reading]]" = field(default_factory=list)  # the first few of them, for the sheet
    pictures: list[dict[str, Any]] = field(default_factory=list)  # as --json gives them
    warnings: list[str] = field(default_factory=list)  # that are yet to be shown
    skipped: list[str] = field(default_factory=list)  # files in folders that are not pictures by their names
    labelled: int = 0  # pictures whose class is known
    correct: int = 0  # of them
    failed: int = 0


def predict(
    run: str,
    /,
    *images: Path,
    show_sheet: Annotated[bool, Parameter(name="--show", show_default=False)] = False,
    out: Path | None = None,
    prepare: Literal["mnist", "resize"] | None = None,
    as_json: Json = False,
) -> int:
    """Read pictures: drawings, scans or photos of one character each, dark on light or light on dark.

    Prints the file, the class, its probability, and the next most probable one. A picture that cannot be read, or has
    no ink, is an error that names it; the others are read all the same, and the exit code is 1. Pictures in subfolders
    named like classes are checked, and the accuracy is printed; one of them that cannot be read counts as wrong.
    Warnings say where there is more than was read, such as further pages or characters, and what was skipped.

    Parameters
    ----------
    run
        A run folder, a model.safetensors, or default: the weights inside the package.
    images
        PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM files, folders of them, or patterns such as "*.png".
    show_sheet
        Draw each picture, what the network saw of it, and the probabilities into predictions.png, here.
    out
        Another PNG file for --show to write; one that is there is replaced.
    prepare
        How a picture becomes 28x28: mnist (as MNIST was made) or resize (stretched) [default: the run's own way].
    as_json
        Print one JSON object: run, prepare, classes, pictures (of each file, class, probability, probabilities by
        class, warnings, and where its class is known label and correct; or file and error), failed (pictures), skipped
        (files); with known classes labelled, correct (pictures), accuracy and interval (percent); with --show sheet
        (the file).
    """
    _check_order(run, images)
    sheet = completed(out or Path(SHEET), ".png") if show_sheet or out else None
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"--out {sheet}: expected a file ending in .png")
    from mnist_ops.api import load
    from mnist_ops.pictures.find import find_pictures
    from mnist_ops.pictures.listing import SUFFIXES, names_text

    classifier = load(run)
    classifier = replace(classifier, prepare=prepare or classifier.prepare)
    results = Results()
    table = not as_json and draws(sys.stdout)
    for picture in find_pictures(images, classifier.classes):
        if picture.skipped:
            results.skipped.append(str(picture.path))
            continue
        _read(classifier, picture, results, "none" if as_json else "later" if table else "now")
    if table and results.rows:
        _show_table(results)
    if results.skipped:
        files = "1 file was" if len(results.skipped) == 1 else f"{len(results.skipped):,} files were"
        results.warnings.append(f"{files} skipped, as not named like pictures ({names_text(results.skipped)}); "
                                f"expected names that end in {', '.join(SUFFIXES)}")
    if results.warnings and not as_json:
        warn("\n".join(results.warnings))
    if sheet is not None and results.kept:
        _draw(results, sheet)
    _conclude(results, {"run": run, "prepare": classifier.prepare, "classes": list(classifier.classes)},
              sheet if results.kept else None, as_json)
    return 1 if results.failed else 0


def _check_order(run: str, images: tuple[Path, ...]) -> None:
    """Raises UsageError, with the command that was meant, where a picture is named instead of a run, or none is."""
    is_picture = (guess_type(run)[0] or "").startswith("image/")
    is_folder_of_pictures = not images and os.path.isdir(run) and not os.path.exists(Path(run, CONFIG))
    if run != SHIPPED and (is_picture or is_folder_of_pictures):
        meant = shlex.join(["mnist-ops", "predict", SHIPPED, run, *map(str, images)])
        raise UsageError(f"{run}: stands where a run is expected, a run folder or {SHIPPED}; did you mean\n  {meant}")
    if not images:
        raise UsageError("no picture is named; expected picture files, or folders of them, such as\n  "
                         f"{shlex.join(['mnist-ops', 'predict', run, 'my-digit.png'])}")


def _read(classifier: "Classifier", picture: "PictureFile", results: Results, line: str) -> None:
    """Read one picture into `results`; its line is printed now, later, or (none) neither it nor its error."""
    known = {} if picture.label is None else {"label": picture.label}
    results.labelled += len(known)
    try:
        if picture.error:
            raise DataError(f"{picture.path}: {picture.error}")
        reading = classifier.read(picture.path)
    except DataError as error:
        results.failed += 1
        results.pictures.append({"file": str(picture.path), "error": str(error), **known})
        if line != "none":
            complain(legible(error), 1)
        return
    results.rows.append(cells(picture, reading))
    if len(results.kept) < MOST_SHOWN:
        results.kept.append((picture, reading))
    outcome = {} if picture.label is None else {**known, "correct": reading.label == picture.label}
    results.correct += outcome.get("correct") is True
    results.pictures.append({"file": str(picture.path), "class": reading.label, "probability": reading.probability,
                             "probabilities": reading.probabilities, "warnings": list(reading.warnings), **outcome})
    said = [f"{legible(picture.path)}: {text}" for text in reading.warnings]
    if line == "now":
        show("  ".join(results.rows[-1]))
        for text in said:
            warn(text)
    else:
        results.warnings += said


def cells(picture: "PictureFile", reading: "Reading") -> list[str]:
    """File, class, probability, the next most probable class with its own, and what is wrong, if that is known."""
    texts = [legible(picture.path), legible(reading.label), f"{100 * reading.probability:.1f} %"]
    others = {name: value for name, value in reading.probabilities.items() if name != reading.label}
    if others:
        following = max(others, key=lambda name: others[name])
        texts.append(f"then {legible(following)}, {100 * others[following]:.1f} %")
    if picture.label is not None:
        texts.append("right" if picture.label == reading.label else f"wrong: is {legible(picture.label)}")
    return texts


def _show_table(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "class", "probability", "next", *(["checked"] if results.labelled else []))
    for row in results.rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _draw(results: Results, sheet: Path) -> None:
    from mnist_ops.report.predictions import Prediction, draw_predictions
    from mnist_ops.report.style import write_picture

    names = below_shared([picture.path for picture, _ in results.kept])
    answers = [Prediction(name, reading.original, reading.seen, reading.probabilities, picture.label)
               for name, (picture, reading) in zip(names, results.kept, strict=True)]
    write_picture(sheet, lambda: draw_predictions(answers))


def below_shared(paths: Sequence[Path]) -> list[str]:
    """The paths below the folder that all share: files of one name in several folders are told apart."""
    whole = [os.path.abspath(path) for path in paths]
    shared = os.path.commonpath(map(os.path.dirname, whole))
    return [os.path.relpath(path, shared) for path in whole]


def _conclude(results: Results, about: dict[str, Any], sheet: Path | None, as_json: bool) -> None:
    """The accuracy, where classes are known, and where the sheet is; or all of it as JSON."""
    from mnist_ops.score.statistics import wilson

    checked: dict[str, Any] = {}
    if results.labelled:
        interval = wilson(results.correct, results.labelled)
        checked = {"labelled": results.labelled, "correct": results.correct,
                   "accuracy": 100 * results.correct / results.labelled, "interval": list(interval)}
    if as_json:
        show_json({**about, "pictures": results.pictures, "failed": results.failed, "skipped": results.skipped,
                   **checked, **({"sheet": str(sheet)} if sheet else {})})
        return
    if checked:
        show(f"{checked['accuracy']:.2f} % read right ({results.correct:,} of {results.labelled:,} pictures whose "
             f"class is known), {interval_text(interval)}")
    if sheet:
        left = f", the first {MOST_SHOWN} of {len(results.rows):,} pictures" if len(results.rows) > MOST_SHOWN else ""
        show(f"Shown in {legible(sheet)}{left}")
