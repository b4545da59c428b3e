"""Damaged and made-up inputs for tools/fuzz.py, as hypothesis strategies: bytes, data files, pictures, settings."""

import gzip
import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from PIL import Image

from mnist_ops.cli.settings import Selection, configure
from mnist_ops.config import RECIPES, Augment, Config, Optimizer, Schedule, Tune
from mnist_ops.mapping import to_mapping
from tools.forms import BETWEEN, Form, opened, unzipped, zipped

# ---------------------------------------------------------------- bytes


def _extremes(size: int) -> list[bytes]:
    numbers = (0, 1, 2**(8 * size - 1) - 1, 2**(8 * size - 1), 2**(8 * size) - 1)
    return [number.to_bytes(size, order) for number in numbers for order in ("big", "little")]


TOKENS = (*_extremes(2), *_extremes(4), *_extremes(8), b"\0" * 64, b"\xff" * 64, b"<svg/>", b"<!DOCTYPE html>",
          b"\x1f\x8b", b"PK\x03\x04", b"../../etc/passwd", b"NaN", b"[" * 2000, b"{" * 200, b"9" * 5000)


@st.composite
def damaged(draw: DrawFn, originals: Sequence[bytes], tokens: Sequence[bytes] = TOKENS) -> bytes:
    """An original with up to five changes: bits, extreme numbers, pieces lost, doubled, put in, or of another one."""
    raw = bytearray(draw(st.sampled_from(originals)))
    for kind, share, number in draw(st.lists(st.tuples(st.sampled_from("bbbxtdiscc"), st.integers(0, 2**16 - 1),
                                                       st.integers(0, 255)), max_size=5)):
        place, token = share * len(raw) >> 16, tokens[number % len(tokens)]
        match kind:
            case "b" if raw:
                raw[place] ^= 1 << number % 8
            case "x" if raw:
                raw[place] = number
            case "t":
                raw[place:place + len(token)] = token
            case "d":
                del raw[place:place + number]
            case "i":
                raw[place:place] = raw[place:place + number]
            case "s":
                other = originals[number % len(originals)]
                raw[place:] = other[share * len(other) >> 16:]
            case "c" if share % 2:
                del raw[place:]
    return bytes(raw)


def written(folder: Path, name: str, content: bytes) -> Path:
    """The path of a new file."""
    path = folder / name
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- data


DIMENSIONS = (1, 3)  # of labels and of images


def idx_files() -> SearchStrategy[tuple[int, bytes]]:
    """IDX files, plain and packed, and headers that promise anything."""
    images = np.arange(3 * 4 * 5, dtype=np.uint8)
    plain = [b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 5) + images.tobytes(),
             b"\0\0\x08\x01" + struct.pack(">I", 60) + images.tobytes()]
    headers = st.builds(lambda kind, sizes: bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes),
                        st.sampled_from([8, 9, 11, 13]), st.lists(st.integers(0, 2**32 - 1), max_size=4))
    originals = [*plain, *(gzip.compress(one, mtime=0) for one in plain)]
    return st.tuples(st.sampled_from(DIMENSIONS), damaged(originals) | st.binary(max_size=64) | headers
                     | headers.map(lambda one: gzip.compress(one + bytes(100_000), mtime=0)))


def archives() -> SearchStrategy[bytes]:
    """Archives of arrays as Keras, MedMNIST and numpy.savez write them, packed or not, and one of 36 MB in 40 KB."""
    images, labels = np.arange(6 * 25, dtype=np.uint8).reshape(6, 5, 5), np.arange(6) % 2
    contents: list[dict[str, Any]] = [
        {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels},
        {f"{part}_{kind}": array for part in ("train", "val", "test")
         for kind, array in (("images", images[..., None].repeat(3, 3)), ("labels", labels[:, None]))},
        {"images": images / 255, "labels": labels.astype(str)}, {"images": images, "labels": labels.astype(float)},
        {"images": images, "labels": labels.astype(object)}, {"images": np.zeros((9, 10**6), ">f4"), "labels": labels},
    ]
    saved = [_saved(np.savez_compressed, content) for content in contents]
    return damaged([*saved, *(_saved(np.savez, content) for content in contents[:-1])])


def archive_form() -> Form:
    """Name and content of each file in the archive, as `forms.sections`."""
    def open_it(raw: bytes) -> bytes | None:
        if (parts := unzipped(raw)) is None:
            return None
        return BETWEEN.join(one for name, content in parts.items() for one in (name.encode(), content))

    def closed(raw: bytes) -> bytes:
        found = raw.split(BETWEEN)
        return zipped({name.decode("latin-1"): content for name, content in zip(found[::2], found[1::2], strict=False)})

    return opened(open_it, closed)


def _saved(save: Callable[..., None], content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **content)
    return buffer.getvalue()


def tables() -> SearchStrategy[bytes]:
    """Tables of pixels with and without header, labels and quotes, packed or not, and long lines."""
    rows = [[number % 2, *range(number, number + 9)] for number in range(8)]
    heads = [["label", *(f"pixel{number}" for number in range(9))], ["id", *range(9)], ["", *range(9)]]
    plain = ["".join(f"{separator.join(map(str, row))}{end}" for row in (*head, *rows)).encode()
             for head in ([], *([one] for one in heads))
             for separator, end in ((",", "\n"), (";", "\r\n"), ("\t", "\r"))]
    plain += [b",".join([b"1"] * 10**6), b"\n" * 10**6, b"1,2\n" * 10**5, b'"' * 1000, b"name,label\na.png,1\n"]
    tokens = (*TOKENS, b"nan", b"inf", b"1e999", b'"', b"\n", b",,", b"-1", b"256", b"0.5", b"9" * 40, b"\xef\xbb\xbf")
    return damaged([*plain, *(gzip.compress(one, mtime=0) for one in plain)], tokens)


LIMITS = (1, 76, 10_000, 2**24)  # bytes that are wanted of a stream


def gzip_streams() -> SearchStrategy[tuple[int, bytes]]:
    """One member or many, bombs of 10 MB, padding; and how much of the content is wanted."""
    small, bomb = gzip.compress(b"content" * 20, mtime=0), gzip.compress(bytes(10_000_000), mtime=0)
    originals = [small, small * 50, small + bytes(1000), gzip.compress(b"", mtime=0) * 3000, bomb, bomb * 20]
    return st.tuples(st.sampled_from(LIMITS), damaged(originals))


def pictures() -> SearchStrategy[bytes]:
    """Small pictures in every format and mode, and other files that are called pictures."""
    shades = np.arange(16 * 12, dtype=np.uint8).reshape(16, 12)
    grey = Image.fromarray(shades)
    modes = {mode: grey.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I;16")}
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted: dict[str, tuple[str, ...]] = {
        "PNG": ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "GIF": ("1", "L", "P"),
        "BMP": ("1", "L", "P", "RGB"), "WEBP": ("L", "RGB", "RGBA"), "TIFF": ("1", "L", "P", "RGB", "CMYK", "I;16")}
    files = [_encoded(modes[mode], kind) for kind, names in wanted.items() for mode in names]
    files += [_encoded(grey, "PNG", exif=exif), _encoded(grey, "JPEG", exif=exif, progressive=True)]
    files += [_encoded(grey, "TIFF", compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")]
    files += [_encoded(grey, kind, save_all=True, append_images=[grey.rotate(180)])
              for kind in ("GIF", "WEBP", "PNG", "TIFF")]
    files += [b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
    return damaged(files)


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------- configuration

NAMES = sorted({field.name for record in (Config, Augment, Optimizer, Schedule, Tune) for field in fields(record)})
TEXTS = ("auto", "default", "seed", "cpu", "sgd", "plateau", "mnist", "../../etc", "\0", "\ud800", "🖉", "", "x" * 300)
SCALARS = (st.none() | st.booleans() | st.integers() | st.integers(-2, 70) | st.floats() | st.sampled_from(TEXTS)
           | st.text(max_size=8) | st.sampled_from([10**400, -10**400, 2**63, 1e308, float("nan"), float("inf")]))
TREES = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3)
                     | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), part, max_size=4), max_leaves=8)
TABLES = st.dictionaries(st.sampled_from([*NAMES, "format"]) | st.text(max_size=5), TREES, max_size=5)
ODDITIES = (b"", b"\0", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"lr": 1, "lr": 2}', b"lr = 1\nlr = 2", b"[" * 16_000,
            b'{"a":' * 3000, b"a = " + b"[" * 16_000, b"a = " + b"{a=" * 5000, b".".join([b"a"] * 3000) + b" = 1",
            b"seed = 0x" + b"f" * 16_000, b"seed = " + b"9" * 5000, b'{"seed": ' + b"9" * 5000 + b"}", b"lr = nan",
            b"lr = inf", b"seed = 1979-05-27T07:32:00Z", b"[[tune]]\n" * 2000, b'recipe = "' + b"\\" * 3000,
            b'data = """' + b"\n" * 9000, b'"' + b"x" * 16_000 + b'" = 1', b"[a]\n" * 3, b"x = " + b"1_" * 9000)


def as_toml(table: dict[str, Any]) -> bytes:
    """Scalars and lists, then tables; what TOML cannot say (null) stays as it is, for the reader to refuse."""
    flat = {name: value for name, value in table.items() if not isinstance(value, dict)}
    lines = _as_lines(flat)
    for name in table.keys() - flat.keys():
        lines += [f"[{json.dumps(name)}]", *_as_lines(table[name])]
    return "\n".join(lines).encode()


def _as_lines(table: dict[str, Any]) -> list[str]:
    return [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()]


SUFFIXES = (".toml", ".json")


def settings_files() -> SearchStrategy[tuple[str, bytes]]:
    """(suffix, content)."""
    tables = [to_mapping(config) for config in RECIPES.values()]
    originals = [*(json.dumps(one).encode() for one in tables), *map(as_toml, tables), *ODDITIES]
    made_up = TABLES.map(as_toml) | TABLES.map(lambda one: json.dumps(one).encode())
    contents = damaged(originals) | made_up | st.sampled_from(ODDITIES) | st.binary(max_size=40)
    return st.tuples(st.sampled_from(SUFFIXES), contents)


def read_settings_file(folder: Path, given: tuple[str, bytes]) -> None:
    """As --config reads it."""
    configure(None, Selection(config=written(folder, f"settings{given[0]}", given[1])))
