"""mnist-ops predict: classify pictures."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mnist_ops.cli.answers import as_csv, cells, described
from mnist_ops.cli.output import complain, draws, show, show_json, warn
from mnist_ops.cli.settings import Json, completed
from mnist_ops.cli.sheet import MOST_SHOWN, SHEET, check_other, draw_sheet
from mnist_ops.cli.submission import predict_table
from mnist_ops.cli.wording import interval_text
from mnist_ops.disk import write_whole
from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.run.folder import CONFIG
from mnist_ops.run.named import SHIPPED

if TYPE_CHECKING:
    from mnist_ops.classifier import Reading
    from mnist_ops.pictures.find import PictureFile
    from mnist_ops.pictures.several import Several


@dataclass
class Results:
    """The results so far."""

    rows: list[list[str]] = field(default_factory=list)  # table cells of the pictures that could be read
    kept: "list[tuple[PictureFile, Reading | Several]]" = field(default_factory=list)  # the first ones, for the sheet
    pictures: list[dict[str, Any]] = field(default_factory=list)  # for --json
    warnings: list[str] = field(default_factory=list)  # not shown yet
    skipped: list[str] = field(default_factory=list)  # files in folders whose names are not those of pictures
    labelled: int = 0  # pictures of known class
    correct: int = 0  # of the labelled
    failed: int = 0


def predict(
    run: str,
    /,
    *images: Path,
    several: bool = False,
    show_sheet: Annotated[bool, Parameter(name="--show", show_default=False)] = False,
    out: Path | None = None,
    csv: Path | None = None,
    prepare: Literal["mnist", "resize"] | None = None,
    as_json: Json = False,
) -> int:
    """Classify pictures: drawings, scans or photos of a character or number each, dark on light or light on dark.

    Prints the file, the class, its probability, a verdict, and the next most probable class. The verdict is read,
    unsure, or not a character: then the class means nothing. A picture that cannot be read or has no ink is reported
    as an error; the others are still classified, and the exit code is 1. Pictures in subfolders
    named after classes are checked and the accuracy is printed; an unreadable one counts as wrong. Warnings name
    skipped files, and pictures with more pages or characters than were read.

    A .csv file with a row of pixels per image, with or without labels, is classified alone: the result is a table with
    the columns ImageId, which counts from 1, and Label. If the file has a column id, its numbers are used instead.

    Parameters
    ----------
    run
        A run folder, a model.safetensors, or default: the weights that ship with the package.
    images
        PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM files, folders of them, or patterns such as "*.png"; or one .csv
        file.
    several
        Read every character of a picture, such as the digits of a number, row by row. Otherwise one is read.
    show_sheet
        Draw each picture, the network's input and the probabilities into predictions.png in the current folder.
    out
        PNG file for --show to write instead; an existing one is replaced.
    csv
        Write a row per picture to this file too: file, class or text, probability (several: the lowest), verdict, and
        label, correct and error if there are any. For a .csv file of pixels: write the result to this file, e.g.
        submission.csv, instead of printing it.
    prepare
        How a picture becomes the network's input: mnist (as MNIST was made) or resize (stretched)
        [default: the run's own way].
    as_json
        Print one JSON object: run, prepare, classes, pictures (each with file, class, probability, probabilities by
        class, verdict, warnings, and label and correct if its class is known; or file and error), failed (pictures),
        skipped (files). Known classes add labelled, correct (pictures), accuracy and interval (percent); --show adds
        sheet (path), --csv csv (path). For a .csv file: run, prepare, classes, file, images (number), predicted
        (classes) or csv (path), and if it has labels, labelled, correct, accuracy and interval.
    """
    _check_order(run, images)
    if (pixels := _table(images, several or show_sheet or out is not None)) is not None:
        return predict_table(run, pixels, csv, prepare=prepare, as_json=as_json)
    sheet = _sheet(out) if show_sheet or out else None
    from mnist_ops.classifier import load
    from mnist_ops.pictures.find import find_pictures

    classifier = load(run)
    classifier = replace(classifier, prepare=prepare or classifier.prepare)
    read = classifier.read_several if several else classifier.read
    results = Results()
    table = not as_json and draws(sys.stdout)
    for picture in find_pictures(images, classifier.classes):
        if picture.skipped:
            results.skipped.append(str(picture.path))
            continue
        for option, file in (("--out", sheet), ("--csv", csv)):
            check_other(option, file, picture.path)
        _read(read, picture, results, "none" if as_json else "later" if table else "now")
    if table and results.rows:
        verdict = ["verdict"] * (classifier.refusal is not None)
        _show_table(results, ["text", "characters"] if several else ["class", "probability", *verdict, "next"])
    _warn(results, as_json)
    about = {"run": run, "prepare": classifier.prepare, "classes": list(classifier.classes)}
    _conclude(results, about, _write(results, sheet, csv, several), as_json)
    return 1 if results.failed else 0


def _check_order(run: str, images: tuple[Path, ...]) -> None:
    """Raises UsageError, with the intended command, if a picture is named instead of a run, or no picture at all."""
    is_picture = (guess_type(run)[0] or "").startswith("image/")
    is_folder_of_pictures = not images and os.path.isdir(run) and not os.path.exists(Path(run, CONFIG))
    if run != SHIPPED and (is_picture or is_folder_of_pictures):
        meant = shlex.join(["mnist-ops", "predict", SHIPPED, run, *map(str, images)])
        raise UsageError(f"{run}: expected a run folder or {SHIPPED} as the first argument; did you mean\n  {meant}")
    if not images:
        raise UsageError("no pictures given; expected picture files or folders of them, such as\n  "
                         f"{shlex.join(['mnist-ops', 'predict', run, 'my-digit.png'])}")


def _sheet(out: Path | None) -> Path:
    sheet = completed(out or Path(SHEET), ".png")
    if sheet.suffix.lower() != ".png":
        raise UsageError(f"--out {sheet}: expected a file ending in .png")
    return sheet


def _table(images: tuple[Path, ...], more: bool) -> Path | None:
    """The table to classify, None if pictures are given. Raises UsageError for a mixture, and for arrays."""
    from mnist_ops.data.pixel_table import SUFFIXES

    if arrays := [path for path in images if path.suffix.lower() == ".npz"]:
        raise UsageError(f"{arrays[0]}: a file of arrays; expected pictures, folders of them, or a table of pixels. "
                         "From Python, mnist_ops.load(RUN).predict(images) classifies arrays")
    tables = [path for path in images if path.name.lower().endswith(SUFFIXES)]
    if tables and (len(images) > 1 or more):
        raise UsageError(f"{tables[0]}: a table of pixels; expected it alone, without pictures, --show and --several")
    return tables[0] if tables else None


def _write(results: Results, sheet: Path | None, csv: Path | None, several: bool) -> dict[str, Path]:
    """Write the sheet and the table that are wished; those that are there now, by their names in --json."""
    found = {}
    if sheet is not None and results.kept:
        draw_sheet(results.kept, sheet)
        found["sheet"] = sheet
    if csv is not None:
        write_whole(csv, as_csv(results.pictures, several).encode())
        found["csv"] = csv
    return found


def _warn(results: Results, as_json: bool) -> None:
    """Tell of skipped files, and show the warnings that were kept, unless they are part of the JSON."""
    if results.skipped:
        results.warnings.append(_skipped_text(results.skipped))
    if results.warnings and not as_json:
        warn("\n".join(results.warnings))


def _skipped_text(names: Sequence[str]) -> str:
    from mnist_ops.pictures.listing import SUFFIXES, names_text

    files = "1 file was" if len(names) == 1 else f"{len(names):,} files were"
    return (f"{files} skipped, not named like pictures ({names_text(names)}); expected names ending in "
            f"{', '.join(SUFFIXES)}")


def _read(read: "Callable[[Path], Reading | Several]", picture: "PictureFile", results: Results, line: str) -> None:
    """Classify one picture into `results`; its line is printed now or later; none: neither it nor its error."""
    known = {} if picture.label is None else {"label": picture.label}
    results.labelled += len(known)
    try:
        if picture.error:
            raise DataError(f"{picture.path}: {picture.error}")
        reading = read(picture.path)
    except DataError as error:
        results.failed += 1
        results.pictures.append({"file": str(picture.path), "error": str(error), **known})
        if line != "none":
            complain(legible(error), 1)
        return
    results.rows.append(cells(picture, reading))
    if len(results.kept) < MOST_SHOWN:
        results.kept.append((picture, reading))
    answer, about = described(reading)
    outcome = {} if picture.label is None else {**known, "correct": answer == picture.label}
    results.correct += outcome.get("correct") is True
    results.pictures.append({"file": str(picture.path), **about, "warnings": list(reading.warnings), **outcome})
    said = [f"{legible(picture.path)}: {text}" for text in reading.warnings]
    if line == "now":
        show("  ".join(results.rows[-1]))
        for text in said:
            warn(text)
    else:
        results.warnings += said


def _show_table(results: Results, names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("file", *names, *(["checked"] if results.labelled else []))
    for row in results.rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _conclude(results: Results, about: dict[str, Any], files: dict[str, Path], as_json: bool) -> None:
    """Show the accuracy, if classes are known, and the written files; or everything as JSON."""
    from mnist_ops.score.statistics import wilson

    checked: dict[str, Any] = {}
    if results.labelled:
        interval = wilson(results.correct, results.labelled)
        checked = {"labelled": results.labelled, "correct": results.correct,
                   "accuracy": 100 * results.correct / results.labelled, "interval": list(interval)}
    if as_json:
        show_json({**about, "pictures": results.pictures, "failed": results.failed, "skipped": results.skipped,
                   **checked, **{name: str(file) for name, file in files.items()}})
        return
    if checked:
        show(f"{checked['accuracy']:.2f} % accuracy ({results.correct:,} of {results.labelled:,} pictures of known "
             f"class), {interval_text(interval)}")
    if "sheet" in files:
        left = f", the first {MOST_SHOWN} of {len(results.rows):,} pictures" if len(results.rows) > MOST_SHOWN else ""
        show(f"Shown in {legible(files['sheet'])}{left}")
    if "csv" in files:
        show(f"Written to {legible(files['csv'])}")
