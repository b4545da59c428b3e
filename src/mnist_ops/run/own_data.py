"""The data of a run according to its folder, which a stranger may have written. No torch."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mnist_ops.data.catalog import ARRAYS, CATALOG
from mnist_ops.errors import RunError
from mnist_ops.run.folder import CONFIG, SPLIT, read_split

if TYPE_CHECKING:
    from mnist_ops.data.draw import Test


def own_test_part(path: Path, data: str) -> "Test":
    """The test set of the run in folder `path`, whose config.json names that `data`, as `source.read` takes it.

    Accepted are a known name, and the absolute path of a folder or file whose images the run has recorded: reading
    reports if other pictures are there. Raises RunError, naming that file, for anything else, such as ../../etc, which
    no run writes; the user can still name it with --data."""
    names, place = read_split(path), PurePath(data)
    if data in ("auto", *CATALOG) or (place.is_absolute() and ".." not in place.parts and names is not None):
        return "fifth" if names is None else names
    if data == ARRAYS:
        raise RunError(f"{path}: this run was trained on arrays from Python, of which a run keeps no copy. Save the "
                       "test images and labels with numpy.savez(\"mine.npz\", images=..., labels=...), and give that "
                       "file with --data")
    raise RunError(f"{path / CONFIG}: data is {data!r:.100}, expected the name of a dataset, or the absolute path of a "
                   f"folder or file whose images are listed in {SPLIT}; nothing was read. Give the data with --data")
