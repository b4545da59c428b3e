"""Any picture file -> grey uint8 array, safely; and which pictures lie in a folder of classes."""

import io
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError, legible

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
DARK_SHARE = 200  # a transparent drawing is light where less than this part of what is visible is dark
Ground: TypeAlias = Literal["white", "contrast"]
MOST_PIXELS = 25_000_000  # a phone's picture; in every format so many are read in two seconds and half a gigabyte
MOST_BYTES = 2**28  # of a file
MOST_SCANS = 100  # of a JPEG file; each goes over the whole picture, so a small file of many could take minutes
STRIP = 2**20  # pixels that are converted at a time


@dataclass(frozen=True)
class Folder:
    """A folder of pictures: its classes, and each part's pictures with the index of their class, in natural order."""

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...] | None  # None where the folder has no train/ and test/
    ignored: tuple[Path, ...]  # what is no picture by its name; hidden files are not listed


def read_image(path: Path, ground: Ground = "white") -> NDArray[np.uint8]:
    """The first frame of the picture `path` as (H, W) uint8, 0 black, 255 white.

    Turned upright by its EXIF data, colours to grey by ITU-R 601. Where it is transparent it is laid on white, or,
    with "contrast", on black if hardly anything visible in it is dark, such as a drawing in white ink.
    Raises DataError, naming the file, where it may not be read, is in none of `FORMATS`, cut off, damaged, or too large
    in bytes, pixels or passes over them."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    raw = _read(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which does not concern the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(_too_large(path, f"{image.width}x{image.height} pixels"))
                # These bytes begin a scan, and stand nowhere else in coded pixels.
                if raw.startswith(b"\xff\xd8") and (scans := raw.count(b"\xff\xda")) > MOST_SCANS:
                    raise ValueError(f"{scans:,} scans, at most {MOST_SCANS} are read")
                image.load()
                return _grey(ImageOps.exif_transpose(image), ground)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path, "far more")) from error
    except Exception as error:  # what a decoder raises on damaged input is not limited to any family
        unknown = isinstance(error, UnidentifiedImageError)  # whose own text names an object in memory
        reason = "its content is of another kind" if unknown else f"{type(error).__name__}: {error}"
        raise DataError(
            f"{legible(path)}: cannot be read as a picture ({reason}); expected a whole {', '.join(FORMATS)} file. "
            "Remove it or save it again."
        ) from error


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError as error:
        raise DataError(
            f"{legible(path)}: cannot be read ({error.strerror}). Check its permissions, or remove it."
        ) from error
    if size > MOST_BYTES:
        raise DataError(
            f"{legible(path)}: the file is too large: {size:,} bytes, at most {MOST_BYTES:,} are read. Scale it down."
        )
    return raw


def _too_large(path: Path, found: str) -> str:
    limit = f"at most {MOST_PIXELS:,} pixels are read. Scale it down."
    return f"{legible(path)}: the picture is too large: {found}, {limit}"


def _grey(image: "Image", ground: Ground) -> NDArray[np.uint8]:
    """Strip by strip, as several copies of a large picture in full colour would fill the memory."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    paper = "black" if ground == "contrast" and image.has_transparency_data and _is_light(image) else "white"
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        grey[rows] = _grey_16_bit(strip) if image.mode.startswith("I") else _grey_8_bit(strip, paper)
    return grey


def _strips(image: "Image") -> Iterator[tuple[slice, "Image"]]:
    """The picture in pieces of about `STRIP` pixels, each with its rows."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _grey_8_bit(image: "Image", ground: str) -> NDArray[np.uint8]:
    from PIL import Image

    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        image = Image.new("RGBA", image.size, ground)
        image.alpha_composite(drawing)
    return np.array(image.convert("L"), dtype=np.uint8)


def _is_light(image: "Image") -> bool:
    """Whether of the pixels that are rather visible than not fewer than one in 200 are rather black than white."""
    visible = dark = 0
    for _, strip in _strips(image):
        drawing = strip.convert("RGBA")
        shades = np.array(drawing.convert("L"))[np.array(drawing.getchannel("A")) >= 128]
        visible, dark = visible + shades.size, dark + int((shades < 128).sum())
    return visible > 0 and DARK_SHARE * dark < visible


def _grey_16_bit(image: "Image") -> NDArray[np.uint8]:
    """0..65535 -> 0..255, rounded: 65535 / 255 = 257."""
    values = np.array(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its pixels run from {values.min()} to {values.max()}, 16 bits hold 0 to 65535")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65535
    return ((values + 128) // 257).astype(np.uint8)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts "2" before "10", "a2.png" before "a10.png", and the same on every file system."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces], name


def read_folder(folder: Path) -> Folder:
    """The classes and pictures of `folder`: one subfolder per class, below train/ and test/ where it has both.

    Pictures are told by their suffix and not opened. All lists are in natural order, whatever the file system's.
    Raises DataError where there is no or only one class, a class without pictures, classes that differ between train/
    and test/, or a link that leads out of the folder or nowhere."""
    ignored: list[Path] = []
    if all(os.path.isdir(folder / part) for part in ("train", "test")):  # no error where it may not be looked into
        ignored += [entry for entry in _entries(folder, folder) if entry.name not in ("train", "test")]
        train = _read_part(folder / "train", folder, ignored)
        test = _read_part(folder / "test", folder, ignored)
        if differing := sorted(train.keys() ^ test.keys(), key=natural_key):
            raise DataError(
                f"{legible(folder)}: only one of train/ and test/ has {', '.join(map(legible, differing))}, "
                "expected the same in both. Add or remove subfolders."
            )
        return Folder(tuple(train), _labelled(train), _labelled(test), tuple(ignored))
    whole = _read_part(folder, folder, ignored)
    return Folder(tuple(whole), _labelled(whole), None, tuple(ignored))


def _read_part(folder: Path, root: Path, ignored: list[Path]) -> dict[str, list[Path]]:
    """The pictures of each class; what is neither a class nor a picture is added to `ignored`."""
    entries = _entries(folder, root)
    classes = [entry for entry in entries if os.path.isdir(entry)]
    ignored += [entry for entry in entries if not os.path.isdir(entry)]
    if len(classes) < 2:
        found = f"only {legible(classes[0].name)}" if classes else "no subfolder"
        raise DataError(
            f"{legible(folder)}: found {found}, expected one subfolder of pictures for each of at least two classes "
            "(or train and test, with such subfolders in both)."
        )
    pictures: dict[str, list[Path]] = {}
    for one in classes:
        files = _entries(one, root)
        pictures[one.name] = [file for file in files if file.suffix.lower() in SUFFIXES and os.path.isfile(file)]
        ignored += [file for file in files if file not in set(pictures[one.name])]
        if not pictures[one.name]:
            expected = f"expected files that end in {', '.join(SUFFIXES)}"
            raise DataError(f"{legible(one)}: no pictures in this class, {expected}. Add some or remove the subfolder.")
    return pictures


def _entries(folder: Path, root: Path) -> list[Path]:
    """What lies in `folder` and is not hidden, in natural order. Links must stay within `root`."""
    try:
        with os.scandir(folder) as found:
            entries = [(entry.name, entry.is_symlink()) for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{legible(folder)}: cannot be listed ({error.strerror}). Check its permissions.") from error
    for name, link in entries:
        if link and not _stays_within(folder / name, root):
            raise DataError(
                f"{legible(folder / name)}: a link that leads out of {legible(root)}, or nowhere. Replace it by a copy."
            )
    return [folder / name for name in sorted((name for name, _ in entries), key=natural_key)]


def _stays_within(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # leads nowhere, or in a circle
        return False


def _labelled(pictures: dict[str, list[Path]]) -> tuple[tuple[Path, int], ...]:
    return tuple((path, label) for label, paths in enumerate(pictures.values()) for path in paths)
