"""Folders of pictures without a subfolder per class: their classes by a table beside them, or by their names."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mnist_ops.data.arrays import MOST_IMAGES
from mnist_ops.data.idx import read_bytes
from mnist_ops.data.layout import MOST_FOLDERS, Classes, Folder, Reading, innermost, set_of, with_labels
from mnist_ops.data.pixel_table import LABEL
from mnist_ops.errors import DataError, UsageError, brief, legible
from mnist_ops.pictures.listing import SUFFIXES, names_text, natural_key

NUMBERED = re.compile(r"(.*[^-_. ])[-_. ]+\(?\d+\)?")  # 7_00123, cat.12, A (3)
FILE = ("filename", "file", "file_name", "image", "image_name", "image_id", "imageid", "img", "name", "path", "id")
KIND = (*LABEL, "category", "classid", "class_id")
DEPTH = 3  # of folders below the table with pictures that it lists
MOST_COLUMNS = 100


def read_unsorted(folder: Path) -> Folder | None:
    """The classes and pictures of `folder` by tables of names and labels in it, else by names such as LABEL_12.png.

    None for another layout. Raises DataError if a table lists a picture that does not exist or has two labels;
    UsageError if the sets have different classes, or it is unclear which table is which."""
    reading = Reading(folder)
    place = innermost(folder, reading)
    return _by_tables(place, reading) or _by_names(place, reading)


def _by_names(place: Path, reading: Reading) -> Folder | None:
    """Pictures in one folder, or in folders of the sets, of which train is one."""
    here = reading.listing(place)
    sets = {kind: one for one in here.folders if (kind := set_of(one.name)) and reading.listing(one).pictures}
    single = [place] if here.pictures else [one for one in here.folders if reading.listing(one).pictures]
    folders = sets if "train" in sets and not here.pictures else {"train": single[0]} if len(single) == 1 else {}
    found = {kind: classes for kind, one in folders.items() if (classes := _named(reading.listing(one).pictures))}
    if "train" not in found:
        return None
    label, pictures = next(iter(found["train"].items()))
    reading.taken.append(f"the class of each picture is the beginning of its name, such as {legible(label)} of "
                         f"{legible(pictures[0].name)}")
    return _folder(found, reading, (*here.folders, *here.pictures, *here.others))


def _named(pictures: Sequence[Path]) -> Classes | None:
    """By the text before the number, if all names have both, and every class has two pictures."""
    matches = [NUMBERED.fullmatch(path.stem) for path in pictures]
    if not all(matches):
        return None
    found = _grouped(zip(pictures, (match[1] for match in matches if match), strict=True))
    return found if len(found) > 1 and all(len(paths) > 1 for paths in found.values()) else None


def _by_tables(place: Path, reading: Reading) -> Folder | None:
    here = reading.listing(place)
    tables = {path: rows for path in here.others if path.suffix.lower() == ".csv"
              and "submission" not in path.stem.lower() and (rows := _rows(path))}
    if not tables:
        return None
    pictures = list(_pictures(place, reading, DEPTH))
    found: dict[str, Classes] = {}
    for path, rows in tables.items():
        kinds = {kind for word in re.split(r"[-_ ]", path.stem) if (kind := set_of(word))}
        kind = kinds.pop() if len(kinds) == 1 and len(tables) > 1 else "train"
        if kind in found:
            raise UsageError(f"{legible(place)}: which of {names_text([one.name for one in tables])} lists the "
                             "training pictures is unclear; call them train.csv and test.csv, or leave one.")
        own = [one for one in pictures if set_of(one.relative_to(place).parts[0]) == kind]  # they win
        found[kind] = _grouped(_listed(path, rows, _by_key([*own, *pictures], place)))
    if "train" not in found:
        return None
    reading.taken.append(f"the class of each picture is in {names_text([reading.name(one) for one in tables])}")
    used = {path for classes in found.values() for paths in classes.values() for path in paths}
    return _folder(found, reading, [one for one in (*pictures, *here.others) if one not in used | {*tables}])


def _folder(found: Mapping[str, Classes], reading: Reading, skipped: Iterable[Path]) -> Folder:
    """The sets, in which every class of the training set has a place. Raises UsageError for others."""
    train = found["train"]
    for kind, classes in found.items():
        if other := sorted(classes.keys() - train.keys(), key=natural_key):
            raise UsageError(f"{legible(reading.root)}: only the {kind} set has {names_text(other, 8)}, expected "
                             "classes of the training set.")
    test, validation = (with_labels({name: found[kind].get(name, ()) for name in train}) if kind in found else None
                        for kind in ("test", "validation"))
    used = {path for classes in found.values() for paths in classes.values() for path in paths}
    return Folder(tuple(train), with_labels(train), test, validation,
                  tuple(one for one in skipped if one not in used and not any(one in path.parents for path in used)),
                  tuple(reading.taken))


def _grouped(labelled: Iterable[tuple[Path, str]]) -> Classes:
    """The pictures of each class, both in natural order."""
    found: dict[str, list[Path]] = {}
    for path, label in labelled:
        found.setdefault(label, []).append(path)
    return {label: tuple(sorted(found[label], key=lambda path: natural_key(path.as_posix())))
            for label in sorted(found, key=natural_key)}


def _pictures(folder: Path, reading: Reading, depth: int) -> Iterator[Path]:
    here = reading.listing(folder)
    yield from here.pictures
    for one in itertools.islice(here.folders, MOST_FOLDERS) if depth else ():
        yield from _pictures(one, reading, depth - 1)


def _by_key(pictures: Iterable[Path], place: Path) -> dict[str, Path]:
    """The pictures by path, name, and both without suffix: the first one wins, and none leads out of the folder."""
    found: dict[str, Path] = {}
    keys = (lambda path: path.relative_to(place).as_posix(), lambda path: path.name,
            lambda path: path.relative_to(place).with_suffix("").as_posix(), lambda path: path.stem)
    for (key, path) in itertools.product(keys, list(pictures)):
        found.setdefault(key(path), path)
    return found


def _listed(table: Path, rows: Sequence[tuple[int, str, str]],
            pictures: Mapping[str, Path]) -> Iterable[tuple[Path, str]]:
    """The picture and label of each row. Raises DataError if there is no such picture, or if it has another label."""
    seen: dict[Path, str] = {}
    for line, name, label in rows:
        path = pictures.get(name.replace("\\", "/").removeprefix("./"))
        if path is None:
            raise DataError(f"{legible(table)}: line {line} lists {brief(name)}, but there is no such picture beside "
                            "it. Add the picture, or delete the line.")
        if seen.setdefault(path, label) != label:
            raise DataError(f"{legible(table)}: line {line} lists {brief(name)} as {brief(label)}, another line as "
                            f"{brief(seen[path])}. Delete one of them.")
    return seen.items()


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Line, file and label of each row; none if the table is not such a list."""
    text = read_bytes(path).decode("utf-8-sig", errors="replace")
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    if not 0 < first.count(separator) < MOST_COLUMNS or text.count("\n") > MOST_IMAGES:
        return []
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=separator))
    except csv.Error:
        return []
    columns, has_header = _columns([head.strip().lower() for head in rows[0]])
    if columns is None:
        return []
    file, label = columns
    return [(number, row[file].strip(), row[label].strip()) for number, row in enumerate(rows, start=1)
            if len(row) > max(columns) and row[label].strip() and number > has_header]


def _columns(heads: Sequence[str]) -> tuple[tuple[int, int] | None, bool]:
    """The places of file and label in the first row, if it shows them, and whether it is a header."""
    files, labels = ([place for place, head in enumerate(heads) if head in names] for names in (FILE, KIND))
    if files and len(heads) == 2:
        return (files[0], 1 - files[0]), True
    if files and labels:
        return (files[0], labels[0]), True
    named = [place for place, head in enumerate(heads[:2]) if head.endswith(SUFFIXES)]
    return ((named[0], 1 - named[0]) if named else None), False
