"""Which data a run was measured on, by what its folder says, which a stranger may have written. No torch."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import RunError
from mnist_ops.run.folder import CONFIG, SPLIT, read_split

if TYPE_CHECKING:
    from mnist_ops.data.own import Test


def own_test_part(path: Path, data: str) -> "Test":
    """The test part of the run in folder `path`, whose config.json names that `data`, as `source.read` takes it.

    Raises RunError, naming that file, where the data is not to be followed without the user's word. A name that is
    known is, and so is the whole path of a folder whose pictures the run has recorded by their names: where other
    pictures lie there, reading says so. ../../etc is written by no run."""
    names, place = read_split(path), PurePath(data)
    if data in ("auto", *CATALOG) or (place.is_absolute() and ".." not in place.parts and names is not None):
        return "fifth" if names is None else names
    raise RunError(f"{path / CONFIG}: data is {data!r:.100}, expected the name of a dataset, or the whole path of a "
                   f"folder whose pictures are recorded in {SPLIT}; nothing was read there. Name the data with --data")
