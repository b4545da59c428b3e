"""The images that a network misclassifies, with their probabilities, as sorted records and as CSV."""

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mnist_ops.errors import legible
from mnist_ops.score.evaluate import Evaluation

Order: TypeAlias = Literal["least-confident", "most-confident"]

# Zero-based indices of MNIST's test images whose given label, the second number, at most 2 of 5 people confirmed:
# Northcutt, Athalye, Mueller 2021, arXiv:2103.14749, github.com/cleanlab/label-errors.
DISPUTED: Mapping[int, int] = {
    947: 8, 1621: 0, 1901: 9, 2130: 4, 2462: 2, 2597: 5, 2654: 6, 3520: 6, 3558: 5, 5937: 5, 6651: 0, 6783: 1, 8527: 4,
    9679: 6, 9729: 5,
}
MNIST_TEST_IMAGES = 10_000

COLUMNS = ("index", "file", "label", "label_name", "predicted", "predicted_name", "probability", "label_probability",
           "disputed")


@dataclass(frozen=True)
class Mistake:
    """A misclassified image; classes by number."""

    index: int  # from 0, in the dataset's own order
    name: str | None  # of the file, below the folder; None if images come without names
    label: int
    predicted: int
    probability: float  # softmax of the predicted class, 0 to 1
    label_probability: float  # softmax of the labelled class
    disputed: bool = False  # people do not agree with the label

    @property
    def place(self) -> str:
        """Where to find the image: its file, or its index."""
        return str(self.index) if self.name is None else self.name


@dataclass(frozen=True)
class Undisputed:
    """The accuracy without the images whose labels people dispute; shown in addition to the official one."""

    accuracy: float  # percent
    correct: int
    count: int  # images left
    left_out: tuple[int, ...]  # their indices


def find_mistakes(evaluation: Evaluation, names: Sequence[str] | None = None,
                  disputed: Collection[int] = ()) -> tuple[Mistake, ...]:
    """Every misclassified image, least confident first.

    names: of all N files, if the images have any; disputed: indices to mark."""
    shares, predicted, labels = evaluation.logits.double().softmax(1), evaluation.predicted, evaluation.labels
    found = []
    for index in (predicted != labels).nonzero().flatten().tolist():
        guess, label = int(predicted[index]), int(labels[index])
        found.append(Mistake(index, names[index] if names else None, label, guess, float(shares[index, guess]),
                             float(shares[index, label]), index in disputed))
    return in_order(found, "least-confident")


def in_order(mistakes: Iterable[Mistake], by: Order) -> tuple[Mistake, ...]:
    """Sorted by the probability of the predicted class, the lowest or the highest first; equal ones by index."""
    sign = 1 if by == "least-confident" else -1
    return tuple(sorted(mistakes, key=lambda one: (sign * one.probability, one.index)))


def disputed_images(dataset: str, evaluation: Evaluation) -> tuple[int, ...]:
    """`DISPUTED` indices, if the evaluation is of MNIST's own test set, by its name, size and labels there."""
    labels = evaluation.labels
    if dataset != "mnist" or len(labels) != MNIST_TEST_IMAGES:
        return ()
    return tuple(DISPUTED) if all(int(labels[index]) == label for index, label in DISPUTED.items()) else ()


def without_disputed(evaluation: Evaluation, disputed: Sequence[int]) -> Undisputed | None:
    """The accuracy on all images except these; None if there are no others, or none is disputed."""
    count = len(evaluation.labels) - len(set(disputed))
    if not disputed or not count:
        return None
    right = evaluation.predicted == evaluation.labels
    correct = evaluation.correct - sum(bool(right[index]) for index in set(disputed))
    return Undisputed(100 * correct / count, correct, count, tuple(sorted(set(disputed))))


def as_csv(mistakes: Iterable[Mistake], classes: Sequence[str]) -> str:
    """A header and a row for each, after RFC 4180; names as written by `safe_cell`, disputed as yes or no."""
    return csv_text(COLUMNS, [(one.index, "" if one.name is None else safe_path(one.name), one.label,
                               safe_cell(classes[one.label]), one.predicted, safe_cell(classes[one.predicted]),
                               f"{one.probability:.6f}", f"{one.label_probability:.6f}",
                               "yes" if one.disputed else "no") for one in mistakes])


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table after RFC 4180."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()


def safe_cell(text: str) -> str:
    """A name that a spreadsheet does not take for a formula: if it begins like one, an apostrophe is put before it.

    A single sign (a class "+") and a number ("-1") are kept. Invalid characters are shown as by `legible`, and so is a
    semicolon before a formula, as it begins a cell where numbers have a decimal comma."""
    shown = _of_one_cell(text)
    return f"'{shown}" if _begins_like_a_formula(shown) else shown


def safe_path(name: str) -> str:
    """The same for a file, but still its path: ./=name for =name."""
    shown = _of_one_cell(name)
    return f"./{shown}" if _begins_like_a_formula(shown) else shown


def _of_one_cell(text: str) -> str:
    first, *rest = legible(text).split(";")
    return first + "".join((r"\x3b" if _begins_like_a_formula(one) else ";") + one for one in rest)


def _begins_like_a_formula(text: str) -> bool:
    text = text.strip().lstrip('"')
    if len(text) < 2 or text[0] not in "=+-@＝＋－＠":  # noqa: RUF001 - the wide forms, which spreadsheets also take
        return False
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return True
