"""CSV tables with a row of pixels per image, as on Kaggle -> images and labels. The header may be missing."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.arrays import MOST_IMAGES, labels_of, pixels
from mnist_ops.data.idx import MOST_BYTES, read_bytes
from mnist_ops.data.labelled import Part, Parts
from mnist_ops.data.unpack import unpack
from mnist_ops.errors import DataError, brief, legible

SUFFIXES = (".csv", ".csv.gz")
LABEL = ("label", "labels", "class", "target", "y")  # heads of the column of labels
NUMBER = ("id", "imageid", "index", UNNAMED := "unnamed: 0")  # heads of columns that number the rows
MOST_COLUMNS = 2**22
BLOCK = 2**21  # numbers that are read at once
EXPECTED = ("expected a label and the pixels of a square image in each row, such as 1 + 784 numbers for 28x28, with or "
            "without a header (label,pixel0,pixel1 and so on)")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as read: images (N, S, S) uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[Any] | None  # (N,); None if there is no column of labels
    numbers: tuple[str, tuple[int, ...]] | None  # head and content of the column that numbers the rows
    first: int  # line of the first image, from 1
    notes: tuple[str, ...]  # what was done to the values


@dataclass(frozen=True)
class _Columns:
    """The places of a table's columns."""

    separator: str
    count: int
    has_header: bool
    label: int | None
    number: int | None
    head: str  # of the column that numbers the rows


def read_csv(path: Path) -> Parts:
    """The images and labels in `path`. Raises DataError as `read_table`, or if there are no labels."""
    part, notes = labelled(path, read_table(path))
    if part is None:
        raise DataError(f"{legible(path)}: has no labels, only pixels; {EXPECTED}. To classify its images with a "
                        "trained network: mnist-ops predict RUN FILE")
    return Parts(part, taken=notes)


def read_two(train: Path, test: Path) -> Parts:
    """Training and test set from two tables; without labels, the second is not used."""
    part = read_csv(train)
    tested, notes = labelled(test, read_table(test))
    if tested is None:
        notes = (f"{legible(test.name)} has no labels, so the test set is drawn from {legible(train.name)}. To "
                 f"classify its images: mnist-ops predict RUN {legible(test.name)} --csv FILE",)
    return Parts(part.train, tested, taken=(*part.taken, *notes))


def labelled(path: Path, table: Table) -> tuple[Part | None, tuple[str, ...]]:
    """The table in `path` as a set, None without labels; and what was done to its values."""
    if table.labels is None:
        return None, table.notes
    return Part(table.images, table.labels, legible(path.name), path.name, table.first), table.notes


def read_table(path: Path) -> Table:
    """The table in `path`, plain or packed with gzip; separated by commas, semicolons or tabs.

    Raises DataError, naming the file and often the line, if it is damaged, too large or not such a table."""
    lines = _lines(path)
    columns = _columns(path, lines[0])
    first = int(columns.has_header)
    blocks = [_numbers(path, lines, range(start, min(start + _rows(columns), len(lines))), columns)
              for start in range(first, len(lines), _rows(columns))]
    values = np.concatenate([block for block in blocks if len(block)] or [np.zeros((0, columns.count))])
    if not len(values):
        raise DataError(f"{legible(path)}: has no rows; {EXPECTED}.")
    special = [place for place in (columns.label, columns.number) if place is not None]
    name = legible(path.name)
    images, notes = pixels(name, np.delete(values, special, axis=1) if special else values)
    numbers = None
    if columns.number is not None:
        column = labels_of(f"{name}: column {brief(columns.head)}", values[:, columns.number], len(images))
        numbers = columns.head, tuple(column.tolist())
    labels = None if columns.label is None else labels_of(name, values[:, columns.label], len(images))
    return Table(images, labels, numbers, first + 1, notes)


def _lines(path: Path) -> list[bytes]:
    raw = read_bytes(path)
    try:
        content = unpack(raw, MOST_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    except ValueError as error:
        raise DataError(f"{legible(path)}: {error}. Download it again.") from error
    rows = content.count(b"\n") + content.count(b"\r")
    if len(content) > MOST_BYTES or rows > 2 * MOST_IMAGES:
        raise DataError(f"{legible(path)}: {rows:,} lines, {len(content):,} bytes or more; the limits are "
                        f"{2 * MOST_IMAGES:,} and {MOST_BYTES:,}. Use a part of it.")
    lines = content.rstrip().splitlines()
    if not lines:
        raise DataError(f"{legible(path)}: is empty; {EXPECTED}.")
    return lines


def _columns(path: Path, line: bytes) -> _Columns:
    """By the first line. Raises DataError if the pixels are not those of a square."""
    text = line.decode("latin-1")
    separator = max(",;\t", key=text.count)
    count = text.count(separator) + 1
    if count > MOST_COLUMNS:
        raise DataError(f"{legible(path)}: {count:,} columns, the limit is {MOST_COLUMNS:,}; {EXPECTED}.")
    heads = [one.strip(" \"'").lower() for one in text.split(separator)]
    heads[0] = heads[0] or UNNAMED  # as pandas calls its index
    has_header = 2 * sum(map(_is_number, heads)) < count or not {*LABEL, *NUMBER}.isdisjoint(heads)
    places = {kind: next((place for place, head in enumerate(heads) if head in names), None) if has_header else None
              for kind, names in (("label", LABEL), ("number", NUMBER))}
    left = count - sum(place is not None for place in places.values())
    if places["label"] is None and not _is_square(left):
        places["label"], left = 0, left - 1
    if not _is_square(left):
        raise DataError(f"{legible(path)}: its first line {brief(text[:60])} has {count:,} columns, so {left:,} "
                        f"pixels, which are not a square; {EXPECTED}.")
    number = places["number"]
    return _Columns(separator, count, has_header, places["label"], number, "" if number is None else heads[number])


def _is_square(count: int) -> bool:
    return count > 0 and math.isqrt(count)**2 == count


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rows(columns: _Columns) -> int:
    return max(1, BLOCK // columns.count)


def _numbers(path: Path, lines: list[bytes], block: range, columns: _Columns) -> NDArray[Any]:
    """The numbers in a block of lines, (rows, columns): uint8 if all fit, else int32 or float32.

    Raises DataError, naming the first line that is not so many numbers."""
    kept = [text for index in block if (text := lines[index].decode("latin-1")).strip()]
    found = _parsed(kept, columns)
    if found is None:
        wrong = next(index for index in block if lines[index].strip()
                     and _parsed([lines[index].decode("latin-1")], columns) is None)
        text = lines[wrong].decode("latin-1")
        raise DataError(f"{legible(path)}: line {wrong + 1} {brief(text[:60])} has "
                        f"{text.count(columns.separator) + 1:,} columns, expected {columns.count:,} numbers as in line "
                        "1. Correct it, or delete it.")
    return found.astype(np.uint8) if found.size and found.min() >= 0 and found.max() <= 255 and (
        found.dtype.kind == "i") else found


def _parsed(texts: list[str], columns: _Columns) -> NDArray[Any] | None:
    """The numbers in these lines, None if some are not."""
    if not texts:
        return np.zeros((0, columns.count), np.uint8)
    for kind in (np.int32, np.float32):
        try:
            found = np.loadtxt(texts, kind, comments=None, delimiter=columns.separator, quotechar='"', ndmin=2)
        except ValueError:
            continue
        if found.shape == (len(texts), columns.count):
            return found
    return None
