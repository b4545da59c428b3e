"""IDX bytes, plain or gzip-compressed -> uint8 array. Refuses malformed files, with the reason.

The format, from MNIST's home page: two zero bytes, the type of the values (08 is unsigned byte), the number of
dimensions, then each dimension's size as a big-endian 32-bit number, then the values, the last dimension fastest."""

import math
import os
import stat
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.unpack import GZIP_MAGIC, unpack
from mnist_ops.errors import DataError, counted

# Of content. Reading takes six times that, which 8 GB of memory have. EMNIST's largest file has 547 million.
MOST_BYTES = 2**30
AGAIN = "Move it away and download the original (mnist-ops data NAME --fetch)."
BIG_ENDIAN = "Write the header in big-endian order, as struct.pack('>I', number) does."
_UNSIGNED_BYTE = 8
_TYPES = {8: "unsigned bytes", 9: "signed bytes", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}


def read_bytes(path: Path) -> bytes:
    """The raw file. Raises DataError if it cannot be read, is not a regular file or is far too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would block
            raise DataError(f"{path}: is a pipe or a device, expected a regular file. {AGAIN}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read() if size <= MOST_BYTES else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
    if size > MOST_BYTES:
        raise DataError(f"{path}: too long: {size:,} bytes, the limit is {MOST_BYTES:,}. {AGAIN}")
    return raw


def unpack_idx(path: Path, raw: bytes, dimensions: int) -> bytes:
    """The IDX content of `raw`, read from `path`, including its header and exactly as long as that says.

    A .gz is recognised by its content, and unpacked at most one byte past the expected end.
    Raises DataError if it is not IDX, of another type or dimension, empty, truncated, too long or damaged."""
    size = 4 + 4 * dimensions
    header = _unpack(path, raw, size)
    promised = size + math.prod(_shape(path, header, dimensions))
    if promised > MOST_BYTES:
        _check_order(path, raw, header)
        raise DataError(f"{path}: its header says {promised:,} bytes, the limit is {MOST_BYTES:,}. {AGAIN}")
    content = _unpack(path, raw, promised + 1)
    if len(content) != promised:
        _check_order(path, raw, header)
    if len(content) < promised:
        raise DataError(f"{path}: truncated: {len(content):,} bytes, its header says {promised:,}. {AGAIN}")
    if len(content) > promised:
        found = "more" if raw.startswith(GZIP_MAGIC) else f"{len(raw):,}"
        raise DataError(f"{path}: too long: {found} bytes, its header says {promised:,}. {AGAIN}")
    return content


def _check_order(path: Path, raw: bytes, header: bytes) -> None:
    """Raise DataError if the sizes in the header fit the content only in little-endian order."""
    size = len(header) + math.prod(struct.unpack(f"<{len(header) // 4 - 1}I", header[4:]))
    if size <= MOST_BYTES and len(_unpack(path, raw, size + 1)) == size:
        raise DataError(f"{path}: the sizes in its header are in little-endian order, IDX is big-endian. {BIG_ENDIAN}")


def array_of(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The content from `unpack_idx` as a writable array."""
    size = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:size])
    return np.frombuffer(content, dtype=np.uint8, offset=size).reshape(shape).copy()


def dimensions_of(path: Path, raw: bytes) -> int:
    """The number of dimensions that the header says; 0 if it is shorter than that. Raises DataError if damaged."""
    return sum(_unpack(path, raw, 4)[3:4])


def _unpack(path: Path, raw: bytes, limit: int) -> bytes:
    try:
        return unpack(raw, limit)
    except ValueError as error:
        raise DataError(f"{path}: {error}. {AGAIN}") from error


def _shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    """The sizes in the header; `header` is the first 4 + 4 * dimensions bytes, or fewer if the file is shorter."""
    start = header[:4]
    expected = f"expected 00 00 08 {dimensions:02x}"
    if start == bytes([dimensions, _UNSIGNED_BYTE, 0, 0]):
        raise DataError(f"{path}: its header is in little-endian order ({start.hex(' ')}), {expected}. {BIG_ENDIAN}")
    if len(start) < 4 or start[:2] != b"\x00\x00" or start[2] not in _TYPES:
        found = f"starts with {start.hex(' ')}" if start else "is empty"
        raise DataError(f"{path}: not an IDX file: {found}, {expected}. {AGAIN}")
    if start[2] != _UNSIGNED_BYTE:
        found = f"holds {_TYPES[start[2]]} ({start.hex(' ')})"
        raise DataError(f"{path}: {found}, expected unsigned bytes: {expected}. {AGAIN}")
    if start[3] != dimensions:
        found = f"has {counted(start[3], 'dimension')} ({start.hex(' ')})"
        todo = f"Are images and labels swapped? {AGAIN}"
        if (start[3], dimensions) == (2, 3) and len(header) >= 12:
            rows, pixels = struct.unpack(">2I", header[4:12])
            todo = f"It holds {rows:,} rows of {pixels:,} pixels: write them as {rows:,} images of height x width."
        raise DataError(f"{path}: {found}, {expected}. {todo}")
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path}: truncated within its header, after {len(header)} bytes. {AGAIN}")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if 0 in shape:
        raise DataError(f"{path}: is empty: its header says {'x'.join(map(str, shape))}. {AGAIN}")
    return shape


def check_labels(path: Path, labels: NDArray[np.uint8], images_count: int, classes: int) -> None:
    """Raises DataError, naming the labels' file `path`, unless labels (N,) has one label in [0, classes) per image."""
    if len(labels) != images_count:
        found = f"{len(labels):,} labels for {images_count:,} images"
        raise DataError(f"{path}: {found}; the two files do not belong together. {AGAIN}")
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        first = wrong[0]
        lowest, highest = labels.min(), labels.max()
        todo = (f"They run from {lowest} to {highest}, as in a dataset with other classes: give the folder of its "
                "files with --data.")
        if (lowest, highest) == (1, classes):
            todo = "They start at 1: subtract 1 from each."
        raise DataError(
            f"{path}: {len(wrong):,} labels are out of range, the first is {labels[first]} at index {first}; "
            f"expected 0 to {classes - 1}. {todo}"
        )
