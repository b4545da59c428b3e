"""Small datasets: a miniature of MNIST in MNIST's own format, folders of pictures. For tests."""

import dataclasses
import gzip
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.data.catalog import CATALOG, KnownFile
from mnist_ops.data.dataset import ImageSet
from mnist_ops.data.idx import array_of, read_bytes, unpack_idx


def idx(array: NDArray[Any], kind: int = 8) -> bytes:
    """The bytes of an IDX file whose values, written as they are, are said to be of type `kind`."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in that file, by the steps in which the program reads one that it knows."""
    return array_of(unpack_idx(path, read_bytes(path), dimensions), dimensions)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


_GENERATOR = np.random.default_rng(0)
ARRAYS: dict[str, NDArray[np.uint8]] = {
    "train-images-idx3-ubyte": _GENERATOR.integers(0, 256, (40, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": np.arange(40, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": _GENERATOR.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(20, dtype=np.uint8) % 10,
}
PLAIN = {name: idx(array) for name, array in ARRAYS.items()}
PACKED = {name: gzip.compress(raw, mtime=0) for name, raw in PLAIN.items()}
MNIST = dataclasses.replace(
    CATALOG["mnist"],
    bases=(),
    files=tuple(KnownFile(n, len(PLAIN[n]), md5(PLAIN[n]), md5(PACKED[n]), ARRAYS[n].shape) for n in ARRAYS),
)


def lay(place: Path, names: Sequence[str] = tuple(ARRAYS), suffix: str = ".gz") -> Path:
    """Put files of the miniature into the data folder `place`, packed or (suffix "") not."""
    folder = place / MNIST.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}{suffix}").write_bytes((PACKED if suffix else PLAIN)[name])
    return place


def folder_of(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Pictures whose shade is their number, so that each can be told from the others."""
    for one, count in counts.items():
        (root / one).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (28, 28), first + number).save(root / one / f"{number}.png")
    return root


def same(left: ImageSet, right: ImageSet) -> bool:
    """Whether two parts hold the same images, labels and names in the same order."""
    return (
        np.array_equal(left.images, right.images)
        and np.array_equal(left.labels, right.labels)
        and left.names == right.names
    )
