"""Damaged and made-up folders of images, caches and drawings for tools/readers.py, as hypothesis strategies; what reads
them."""

import io
import json
import struct
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.data import picture_set
from mnist_ops.data.array_files import read_arrays
from mnist_ops.data.source import read
from mnist_ops.data.unsorted import read_unsorted
from mnist_ops.errors import DataError, UsageError
from tools.forms import Form, zipped
from tools.inputs import TOKENS, TREES, damaged, written

# ---------------------------------------------------------------- IDX

IDX_FILES = ("emnist-few-train-images-idx3-ubyte", "emnist-few-train-labels-idx1-ubyte",
             "emnist-few-test-images-idx3-ubyte", "emnist-few-test-labels-idx1-ubyte", "emnist-few-mapping.txt")


def idx_folders() -> SearchStrategy[tuple[bytes, ...]]:
    """The content of each of `IDX_FILES`; none: no file."""
    pixels = np.arange(6 * 4 * 4, dtype=np.uint8)
    images = b"\0\0\x08\x03" + struct.pack(">3I", 6, 4, 4) + pixels.tobytes()
    colours = b"\0\0\x08\x04" + struct.pack(">4I", 2, 3, 4, 4) + pixels.tobytes()
    labels = b"\0\0\x08\x01" + struct.pack(">I", 6) + bytes([0, 1, 2, 0, 1, 2])
    originals = [(images, labels, images, labels, b"0 48\n1 49\n2 65 97\n"), (images, labels, b"", b"", b""),
                 (colours, b"\0\0\x08\x01\0\0\0\2\0\1", b"", b"", b"1 9999\n")]

    def changed(one: tuple[bytes, ...]) -> SearchStrategy[tuple[bytes, ...]]:
        contents = [st.just(raw) | damaged([raw, *one]) for raw in one]
        return st.tuples(*contents)

    return st.sampled_from(originals).flatmap(changed)


def read_idx_folder(folder: Path, given: tuple[bytes, ...]) -> object:
    """As --data reads it."""
    _lay(folder, dict(zip(IDX_FILES, given, strict=True)))
    if read_arrays(folder) is None:
        raise DataError("no IDX files")
    return read(str(folder))


def _lay(folder: Path, files: dict[str, bytes]) -> None:
    """Make the files hold that; one without content is not there."""
    for name, content in files.items():
        if content:
            written(folder, name, content)
        else:
            (folder / name).unlink(missing_ok=True)


# ---------------------------------------------------------------- lists of pictures

PICTURES = ("1.png", "2.png", "a b.png", "sub/3.png", "sub/ä.png", "test/1.png")


def picture_lists() -> SearchStrategy[bytes]:
    """Tables of names and labels."""
    names = [f"{name},{number % 2}" for number, name in enumerate(PICTURES)]
    plain = ["\n".join(lines).encode() for lines in (
        ["file,label", *names], names, ["id;class", *(one.replace(",", ";") for one in names)],
        ['"path","split","label"', *(f'"{one.split(",")[0]}","x","cat, {one[-1]}"' for one in names)],
        ["filename\tcategory", "sub\\3.png\t1", "1\t2", "./2\t1"])]
    tokens = (*TOKENS, b'"', b"\n", b",,", b"../1.png", b"/etc/passwd,1", b"\xef\xbb\xbf", b"\r", b"\x85", b"\0",
              b"1.png,", b"label", b"file", b",0\n1.png,1\n")
    return damaged(plain, tokens)


def read_picture_list(folder: Path, raw: bytes) -> object:
    """As --data reads a folder of pictures with such a table."""
    for name in PICTURES:
        if not (path := folder / "listed" / name).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    written(folder / "listed", "labels.csv", raw)
    found = read_unsorted(folder / "listed")
    if found is None:
        raise UsageError("no such list")
    inside = {folder / "listed" / name for name in PICTURES}
    assert {path for path, _ in found.train} <= inside, "it leads out of the folder"
    return found


# ---------------------------------------------------------------- caches

CACHED = ("notes", "images", "shapes", "transparent")
COUNT = 4  # pictures in it


@cache
def _cached() -> tuple[bytes, ...]:
    notes = np.frombuffer(json.dumps({"warnings": {"1": ["has two pages"]}, "damaged": {"2": "no picture"}}).encode(),
                          np.uint8)
    images, shapes = np.zeros((COUNT, 28, 28), np.uint8), np.full((COUNT, 2), 30)
    return tuple(map(_npy, (notes, images, shapes, np.zeros(COUNT, bool))))


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def caches() -> SearchStrategy[tuple[bytes, ...]]:
    """The content of each of `CACHED` as a .npy file."""
    notes = st.fixed_dictionaries({}, optional={name: TREES | st.dictionaries(
        st.sampled_from(["0", "3", "4", "-1", "99", "x", "1e3"]), TREES | st.just(["one"]) | st.just("why"), max_size=3)
        for name in ("warnings", "damaged")}).map(lambda one: _npy(np.frombuffer(json.dumps(one).encode(), np.uint8)))
    shapes = st.sampled_from([(COUNT, 28, 28), (COUNT, 2), (COUNT,), (0,), (), (COUNT, 2, 1)])
    arrays = st.builds(lambda shape, kind: _npy(np.zeros(shape, kind)), shapes,
                       st.sampled_from(["u1", "i8", "f8", "?", "U3", ">c16", "M8[s]"]))
    first, *others = _cached()
    return st.tuples(st.just(first) | notes | damaged([first]),
                     *(st.just(one) | arrays | damaged([one]) for one in others))


def read_cache(folder: Path, given: tuple[bytes, ...]) -> None:
    """As it is read instead of four pictures. A useless cache counts for none, never for an error."""
    pictures = [folder / f"{number}.png" for number in range(COUNT)]
    for path in pictures:
        if not path.exists():
            Image.new("L", (30, 30), 255).save(path)
    file, contents = folder / "cache.npz", dict(zip(CACHED, given, strict=True))
    file.write_bytes(zipped({f"{name}.npy": content for name, content in contents.items()}))
    with patch.object(picture_set, "FEW", 1), patch.object(picture_set, "_cache_file", lambda *_: file):
        found = picture_set.read_pictures(pictures, folder, "resize", (1, 28, 28))
    assert found.images.dtype == np.uint8
    assert found.images.shape == (COUNT, 28, 28)
    assert all(type(text) is str for texts in found.warnings.values() for text in texts)
    assert {*found.warnings, *found.damaged} <= set(range(COUNT))


# ---------------------------------------------------------------- drawings


SMALL = 24  # pixels of a side, at which noise has few enough marks that may be characters


def drawings() -> SearchStrategy[NDArray[np.uint8]]:
    """Grey pictures: noise, strokes, and both."""
    def drawn(height: int, width: int, points: list[tuple[int, int]], ink: int) -> NDArray[np.uint8]:
        picture = np.full((height, width), 255 - ink, np.uint8)
        for (top, left), (bottom, right) in pairwise(points):
            rows, columns = (np.linspace(first * size // 256, last * size // 256, 60).astype(int)
                             for first, last, size in ((top, bottom, height), (left, right, width)))
            picture[rows, columns] = ink
        return picture

    sides, byte = st.integers(1, 120), st.integers(0, 255)
    strokes = st.builds(drawn, sides, sides, st.lists(st.tuples(byte, byte), min_size=2, max_size=9), byte)
    noise = st.builds(lambda height, width, raw: _tiled(bytes([height, width]) + raw), sides, sides,
                      st.binary(min_size=1, max_size=300))
    return strokes | noise


def _tiled(raw: bytes) -> NDArray[np.uint8]:
    height, width = max(1, raw[0] if raw else 1), max(1, raw[1] if len(raw) > 1 else 1)
    return np.resize(np.frombuffer(raw[2:] or b"\0", np.uint8), (height, width))


def drawing_form() -> Form:
    """Height and width, a byte each, then grey values, which are repeated where there are too few."""
    return Form(_tiled, lambda given: bytes(given.shape) + given.tobytes())


@cache
def _classifier() -> Any:
    from mnist_ops.classifier import load
    from mnist_ops.run.named import SHIPPED

    return load(SHIPPED)


def classify(_: Path, picture: NDArray[np.uint8]) -> None:
    """As predict does, alone and, where it is small enough for `SECONDS`, with --several."""
    one = _classifier().read(picture)
    assert abs(sum(one.probabilities.values()) - 1) < 1e-4
    if max(picture.shape) <= SMALL:
        _classifier().read_several(picture)
