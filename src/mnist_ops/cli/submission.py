"""mnist-ops predict with a table of pixels: a class for each row, as Kaggle takes them."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.wording import interval_text
from mnist_ops.disk import write_whole
from mnist_ops.errors import UsageError, legible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_ops.data.pixel_table import Table

HEADER = ("ImageId", "Label")


def predict_table(run: str, path: Path, out: Path | None, *, prepare: str | None, as_json: bool) -> int:
    """Classify each row of the table `path`; write the submission to `out`, else print it. Returns the exit code.

    With labels in the table, the accuracy is told too. Raises UsageError if `out` is the table, DataError as
    `read_table`, RunError as `load`."""
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise UsageError(f"--csv {out}: is the table to read; choose another file")
    from mnist_ops.classifier import load
    from mnist_ops.data.labelled import prepared
    from mnist_ops.data.pixel_table import read_table

    classifier = load(run)
    classifier = replace(classifier, prepare=prepare or classifier.prepare)
    table = read_table(path)
    best = classifier.predict(prepared(table.images, classifier.prepare, classifier.input_shape,
                                    legible(path.name))).argmax(1)
    labels = [classifier.classes[index] for index in best]
    for note in table.notes:
        warn(note)
    text = _submission(table, labels)
    if out is not None:
        write_whole(out, text.encode())
    checked = {} if table.labels is None else _checked(table.labels, labels)
    if as_json:
        show_json({"run": run, "prepare": classifier.prepare, "classes": list(classifier.classes), "file": str(path),
                   "images": len(labels), **({"predicted": labels} if out is None else {"csv": str(out)}), **checked})
    elif out is None:
        show(text.rstrip("\n"))
    else:
        told = (f"; {checked['accuracy']:.2f} % accuracy ({checked['correct']:,} of {len(labels):,}), "
                f"{interval_text(checked['interval'])}") if checked else ""
        show(f"The classes of {len(labels):,} images are in {legible(out)}{told}")
    return 0


def _submission(table: "Table", labels: list[str]) -> str:
    """ImageId from 1 and Label; or the table's own column of numbers, under its name, and label."""
    from mnist_ops.score.mistakes import safe_cell

    name, numbers = table.numbers or (HEADER[0], range(1, len(labels) + 1))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((name, HEADER[1] if table.numbers is None else HEADER[1].lower()))
    writer.writerows(zip(numbers, map(safe_cell, labels), strict=True))
    return buffer.getvalue()


def _checked(known: "NDArray[Any]", labels: list[str]) -> dict[str, Any]:
    from mnist_ops.score.statistics import wilson

    correct = sum(str(label) == found for label, found in zip(known.tolist(), labels, strict=True))
    return {"labelled": len(labels), "correct": correct, "accuracy": 100 * correct / len(labels),
            "interval": list(wilson(correct, len(labels)))}
