"""NumPy's .npz archives of images and labels -> their sets: as Keras and MedMNIST name them, or alike. Runs no code."""

import io
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.arrays import labels_of, pixels
from mnist_ops.data.idx import MOST_BYTES, read_bytes
from mnist_ops.data.labelled import Part, Parts
from mnist_ops.errors import DataError, brief, legible
from mnist_ops.pictures.listing import names_text

SETS = {"train": "train", "training": "train", "tr": "train", "": "train", "test": "test", "testing": "test",
        "val": "validation", "valid": "validation", "validation": "validation"}
IMAGES = ("x", "images", "image", "imgs", "img", "data", "pixels")
LABELS = ("y", "labels", "label", "targets", "target")
EXPECTED = ("expected x_train, y_train, x_test and y_test, or train_images, train_labels, test_images and test_labels, "
            "or images and labels")
MOST_ENTRIES = 10_000  # of an archive; its directory takes far more memory than its bytes
ENTRY = b"PK\x01\x02"  # begins each entry of a zip archive's directory


def read_npz(path: Path) -> Parts:
    """The sets in `path`, recognised by the names of its arrays. Other arrays are not read.

    Raises DataError, naming file and array, if it is not an intact archive of number arrays, is too large, or has not
    both images and labels of a training set."""
    raw = read_bytes(path)
    if (entries := raw.count(ENTRY)) > MOST_ENTRIES:
        raise DataError(f"{legible(path)}: {entries:,} entries, the limit is {MOST_ENTRIES:,}. {EXPECTED}.")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            keys = _keys(path, names)
            _check_size(path, archive, [name for pair in keys.values() for name in pair])
            found = {part: _part(path, archive, pair) for part, pair in keys.items()}
    except DataError:
        raise
    except Exception as error:  # on damaged archives zipfile and numpy raise anything
        raise DataError(f"{legible(path)}: not an intact .npz archive ({type(error).__name__}: {error!s:.100}); "
                        "expected one that numpy.savez has written. Save or download it again.") from error
    taken = [note.removeprefix(f"{legible(path.name)}: ") for _, notes in found.values() for note in notes]
    sets = {name: part for name, (part, _) in found.items()}
    return Parts(sets["train"], sets.get("test"), sets.get("validation"), taken=taken)


def _keys(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each set. Raises DataError if one is missing or in doubt."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"[-_ .]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        kinds = [word for word in words if word in (*IMAGES, *LABELS)]
        of = [word for word in words if word not in kinds]
        if len(kinds) == 1 and len(of) <= 1 and (part := SETS.get("".join(of))):
            kind = "images" if kinds[0] in IMAGES else "labels"
            if (other := found.setdefault(part, {}).setdefault(kind, name)) != name:
                raise DataError(f"{legible(path)}: {other} and {name} are both {kind} of the {part} set, expected one. "
                                "Leave one out.")
    lacking = [f"{kind} of the {part} set" for part, pair in found.items() for kind in ("images", "labels")
               if kind not in pair]
    if lacking or "train" not in found:
        there = f"the arrays {names_text(names, 8)}" if names else "no arrays"
        raise DataError(f"{legible(path)}: has {there}, without {' and '.join(lacking or ['a training set'])}; "
                        f"{EXPECTED}. Save it with numpy.savez under these names.")
    return {part: (pair["images"], pair["labels"]) for part, pair in found.items()}


def _check_size(path: Path, archive: zipfile.ZipFile, names: list[str]) -> None:
    """Raises DataError if the arrays are too large together: packed, the file may be small."""
    size = sum(archive.getinfo(f"{name}.npy").file_size for name in names)
    if size > MOST_BYTES:
        raise DataError(f"{legible(path)}: its arrays have {size:,} bytes, the limit is {MOST_BYTES:,}. Save images as "
                        "uint8, or fewer or smaller ones.")


def _part(path: Path, archive: zipfile.ZipFile, pair: tuple[str, str]) -> tuple[Part, tuple[str, ...]]:
    """The set with those names of images and labels, and what was done to its values."""
    wheres = [f"{legible(path.name)}: {legible(name)}" for name in pair]
    found, labels = (_array(where, archive, f"{name}.npy") for where, name in zip(wheres, pair, strict=True))
    images, notes = pixels(wheres[0], found)
    return Part(images, labels_of(wheres[1], labels, len(images)), wheres[1], f"{path.name}/{pair[0]}"), notes


def _array(where: str, archive: zipfile.ZipFile, entry: str) -> NDArray[Any]:
    """The array in an entry of the archive, whose header alone decides how much is read."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = header(file)
        if dtype.hasobject:
            raise DataError(f"{where}: holds Python objects, which could run code and are not read; expected numbers. "
                            "Save it with a dtype such as uint8 or str.")
        size = math.prod(shape) * dtype.itemsize
        if size > MOST_BYTES or min(shape, default=0) < 0:
            raise DataError(f"{where}: {size:,} bytes of {brief(dtype.name)}, the limit is {MOST_BYTES:,}. Save images "
                            "as uint8, or fewer or smaller ones.")
        raw = file.read(size)
    if len(raw) < size:
        raise ValueError(f"{where} is truncated")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")
