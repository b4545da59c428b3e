"""The state of a dataset's files: present, where, intact, original."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.catalog import DatasetInfo, KnownFile
from mnist_ops.data.files import locate, md5, places, present
from mnist_ops.data.idx import array_of, read_bytes, unpack_idx
from mnist_ops.errors import DataError

EMBEDDED_SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"


@dataclass(frozen=True)
class FileState:
    """The state of one file of a dataset on this machine."""

    file: str  # name without .gz
    path: Path | None  # None if it is missing
    bytes: int  # on the disk; 0 if it is missing
    state: str  # "original", "intact, ...", "unknown content", "damaged: ..." or "missing"


def read_known(file: KnownFile, path: Path) -> tuple[NDArray[np.uint8], bool]:
    """The array in `path`, and whether its content is the published one of `file`; True if no checksum is published.

    Raises DataError, naming the path, if it cannot be read or is not an intact IDX file."""
    raw = read_bytes(path)
    content = unpack_idx(path, raw, len(file.shape))
    # The .gz is faster to hash, but the same content may have been packed again.
    has_checksum = file.gz_md5 is not None or file.md5 is not None
    original = not has_checksum or md5(raw) == file.gz_md5 or (file.md5 is not None and md5(content) == file.md5)
    return array_of(content, len(file.shape)), original


def status(info: DatasetInfo, data_dir: Path | None) -> list[FileState]:
    """The state of each of the dataset's files where they would be read, or else where some of them are.

    For the embedded dataset, that of the file inside the package."""
    if not info.files:
        return [_embedded_state()]
    found = locate(info, data_dir)
    if found is None:
        found = next((some for place in places(data_dir) if (some := present(info, place))), {})
    return [_state(file, found.get(file.name)) for file in info.files]


def _state(file: KnownFile, path: Path | None) -> FileState:
    if path is None:
        return FileState(file.name, None, 0, "missing")
    try:
        _, original = read_known(file, path)
        published = "original" if file.gz_md5 or file.md5 else "intact, no checksum is published"
        state = published if original else "unknown content"
    except DataError as error:
        state = f"damaged: {str(error).removeprefix(f'{path}: ')}"
    return FileState(file.name, path, path.stat().st_size if path.exists() else 0, state)


def embedded() -> Traversable:
    """The digits inside the package: an archive of images (1797, 8, 8) uint8 in 0..16 and labels (1797,) uint8."""
    return resources.files("mnist_ops.data") / "digits.npz"


def _embedded_state() -> FileState:
    content = embedded().read_bytes()
    state = "original" if hashlib.sha256(content).hexdigest() == EMBEDDED_SHA256 else "unknown content"
    return FileState("digits.npz", Path(str(embedded())), len(content), state)
