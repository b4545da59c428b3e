"""A folder of IDX files, of any number of classes -> its sets; EMNIST's images are put upright, its classes named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_ops.data.arrays import labels_of, pixels
from mnist_ops.data.idx import array_of, dimensions_of, read_bytes, unpack_idx
from mnist_ops.data.labelled import Part, Parts
from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.pictures.listing import names_text

NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<set>train|t10k|test|val|valid|validation)[-_.](?P<kind>images|labels)"
                  r"[-.]idx[134]-ubyte(\.gz)?", re.IGNORECASE)
SETS = {"train": "train", "t10k": "test", "test": "test", "val": "validation", "valid": "validation",
        "validation": "validation"}
EMNIST = "emnist"  # begins the names of files whose images are stored on their side
MOST_BYTES = 2**16  # of a mapping


@dataclass(frozen=True)
class Files:
    """The files of one dataset in a folder."""

    prefix: str  # of their names, e.g. emnist-byclass
    sets: Mapping[str, Mapping[str, Path]]  # set -> images or labels -> file


def find_idx(folder: Path) -> Files | None:
    """The IDX files in the folder, or its subfolder raw; None if no labels of a training set are among them.

    Raises UsageError if there are those of several datasets."""
    for place in (folder, folder / "raw"):
        found: dict[str, dict[str, dict[str, Path]]] = {}
        try:
            paths = sorted(place.iterdir())
        except OSError:  # not there, or reported when it is read as a folder of pictures
            continue
        for path in paths:
            if match := NAME.fullmatch(path.name):
                sets = found.setdefault(match["prefix"], {})
                sets.setdefault(SETS[match["set"].lower()], {}).setdefault(match["kind"].lower(), path)
        whole = {prefix: sets for prefix, sets in found.items() if "labels" in sets.get("train", {})}
        if len(whole) > 1:
            names = names_text([sets["train"]["labels"].name for sets in whole.values()], 8)
            raise UsageError(f"{legible(place)}: has the IDX files of several datasets, such as {names}; expected one. "
                             "Move the others away, or give a known name with --data and this folder with --data-dir.")
        if whole:
            return Files(*next(iter(whole.items())))
    return None


def read_idx(files: Files) -> Parts:
    """Raises DataError if images or labels of a set are missing, as `unpack_idx`, or if they do not fit together."""
    is_emnist = files.prefix.lower().startswith(EMNIST)
    parts = {kind: _part(pair, is_emnist) for kind, pair in files.sets.items()}
    taken = ["EMNIST's images are stored on their side: rows and columns were exchanged"] if is_emnist else []
    labels = files.sets["train"]["labels"]
    return Parts(parts["train"], parts.get("test"), parts.get("validation"),
                 _names(labels.with_name(f"{files.prefix}-mapping.txt")), taken)


def _part(pair: Mapping[str, Path], is_emnist: bool) -> Part:
    for kind, other in (("images", "labels"), ("labels", "images")):
        if kind not in pair:
            name = re.sub(r"idx\d", f"idx{3 if kind == 'images' else 1}", pair[other].name.replace(other, kind))
            raise DataError(f"{legible(pair[other])}: its {kind} are missing, expected a file such as {legible(name)} "
                            "beside it. Add it, or move this away.")
    raw = read_bytes(pair["images"])
    dimensions = max(3, min(4, dimensions_of(pair["images"], raw)))  # 4 in colour
    found = array_of(unpack_idx(pair["images"], raw, dimensions), dimensions)
    labels = array_of(unpack_idx(pair["labels"], read_bytes(pair["labels"]), 1), 1)
    name, place = pair["images"].name, legible(pair["labels"])
    images, _ = pixels(legible(pair["images"]), np.ascontiguousarray(found.swapaxes(1, 2)) if is_emnist else found)
    return Part(images, labels_of(place, labels, len(images)), place, name)


def _names(mapping: Path) -> dict[int, str]:
    """The characters of the labels, by EMNIST's mapping: label and character code in each line; {} without one."""
    if not mapping.is_file():
        return {}
    found = {}
    for number, line in enumerate(read_bytes(mapping)[:MOST_BYTES].decode("latin-1").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, code, *_ = map(int, line.split())
            found[label] = chr(code)
        except (ValueError, OverflowError) as error:
            raise DataError(f"{legible(mapping)}: line {number} is not a label and a character's code, such as 0 48. "
                            "Correct it, or move the file away.") from error
    if len(set(found.values())) < len(found):
        raise DataError(f"{legible(mapping)}: two labels have the same character. Correct it, or move the file away.")
    return found
