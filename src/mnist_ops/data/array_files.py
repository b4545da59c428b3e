"""Which files hold arrays of images, alone or in a folder, and who reads them."""

from collections.abc import Sequence
from pathlib import Path

from mnist_ops.data.catalog import TRAIN_LABELS
from mnist_ops.data.files import whose
from mnist_ops.data.idx_folder import find_idx, read_idx
from mnist_ops.data.labelled import Parts
from mnist_ops.data.layout import set_of
from mnist_ops.data.npz import read_npz
from mnist_ops.data.pixel_table import SUFFIXES as TABLES
from mnist_ops.data.pixel_table import read_csv, read_two
from mnist_ops.pictures.listing import listing

SUFFIXES = (".npz", *TABLES)


def is_array_file(path: Path) -> bool:
    """Whether the file's name says so."""
    return path.name.lower().endswith(SUFFIXES)


def read_file(path: Path) -> Parts:
    """The sets in such a file. Raises DataError as `read_npz` and `read_csv`."""
    return read_csv(path) if path.name.lower().endswith(TABLES) else read_npz(path)


def read_arrays(folder: Path) -> Parts | None:
    """The sets in the only such file of a folder, in a table of the training set and one of the test set, or in IDX
    files.

    None if the folder has pictures or subfolders, other files of that kind, or IDX files of a known dataset. Raises
    DataError as `read_file` and `read_idx`, UsageError as `find_idx`."""
    try:
        here = listing(folder)
    except OSError:  # reported when it is read as a folder of pictures
        return None
    found = find_idx(folder)
    if found is not None and whose({TRAIN_LABELS: found.sets["train"]["labels"]}) is None:
        return read_idx(found)
    files = [] if here.folders or here.pictures else [path for path in here.others if is_array_file(path)]
    if len(files) == 1:
        return read_file(files[0])
    train, test = (_named(files, kind) for kind in ("train", "test"))
    return read_two(train, test) if train and test else None


def _named(files: Sequence[Path], kind: str) -> Path | None:
    """The only table whose name has a word for that set, e.g. train.csv, mnist_test.csv or fashion-mnist_train.csv."""
    found = [path for path in files if path.name.lower().endswith(TABLES)
             and kind in {set_of(word) for word in path.name.replace("-", "_").split(".")[0].split("_")}]
    return found[0] if len(found) == 1 else None
