"""Any picture file -> grey uint8 array, safely; and which pictures lie in a folder of classes."""

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
DARK_SHARE = 200  # a transparent drawing is light where less than this part of what is visible is dark
Ground: TypeAlias = Literal["white", "contrast"]
MOST_PIXELS = 50_000_000  # a large camera's picture; more is most likely made to fill the memory


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
    Raises DataError, naming the file, where it is in none of `FORMATS`, cut off, damaged, or too large."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which does not concern the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(_too_large(path, f"{image.width}x{image.height} pixels"))
                image.load()
                return _grey(ImageOps.exif_transpose(image), ground)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path, "far more")) from error
    except Exception as error:  # what a decoder raises on damaged input is not limited to any family
        raise DataError(
            f"{path}: cannot be read as a picture ({type(error).__name__}: {error}); expected a whole "
            f"{', '.join(FORMATS)} file. Remove it or save it again."
        ) from error


def _too_large(path: Path, found: str) -> str:
    return f"{path}: the picture is too large: {found}, at most {MOST_PIXELS:,} pixels are read. Scale it down."


def _grey(image: "Image", ground: Ground) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode.startswith("I"):
        return _grey_16_bit(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "black" if ground == "contrast" and _is_light(drawing) else "white")
        image.alpha_composite(drawing)
    return np.array(image.convert("L"), dtype=np.uint8)


def _is_light(drawing: "Image") -> bool:
    """Whether of the pixels that are rather visible than not fewer than one in 200 are rather black than white."""
    shades = np.array(drawing.convert("L"))[np.array(drawing.getchannel("A")) >= 128]
    return shades.size > 0 and DARK_SHARE * int((shades < 128).sum()) < shades.size


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
    if all((folder / part).is_dir() for part in ("train", "test")):
        ignored += [entry for entry in _entries(folder, folder) if entry.name not in ("train", "test")]
        train = _read_part(folder / "train", folder, ignored)
        test = _read_part(folder / "test", folder, ignored)
        if differing := sorted(train.keys() ^ test.keys(), key=natural_key):
            raise DataError(
                f"{folder}: only one of train/ and test/ has {', '.join(differing)}, expected the same in both. "
                "Add or remove subfolders."
            )
        return Folder(tuple(train), _labelled(train), _labelled(test), tuple(ignored))
    whole = _read_part(folder, folder, ignored)
    return Folder(tuple(whole), _labelled(whole), None, tuple(ignored))


def _read_part(folder: Path, root: Path, ignored: list[Path]) -> dict[str, list[Path]]:
    """The pictures of each class; what is neither a class nor a picture is added to `ignored`."""
    entries = _entries(folder, root)
    classes = [entry for entry in entries if entry.is_dir()]
    ignored += [entry for entry in entries if not entry.is_dir()]
    if len(classes) < 2:
        found = f"only {classes[0].name}" if classes else "no subfolder"
        raise DataError(
            f"{folder}: found {found}, expected one subfolder of pictures for each of at least two classes "
            "(or train and test, with such subfolders in both)."
        )
    pictures: dict[str, list[Path]] = {}
    for one in classes:
        files = _entries(one, root)
        pictures[one.name] = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
        ignored += [file for file in files if file not in set(pictures[one.name])]
        if not pictures[one.name]:
            expected = f"expected files that end in {', '.join(SUFFIXES)}"
            raise DataError(f"{one}: no pictures in this class, {expected}. Add some or remove the subfolder.")
    return pictures


def _entries(folder: Path, root: Path) -> list[Path]:
    """What lies in `folder` and is not hidden, in natural order. Links must stay within `root`."""
    try:
        with os.scandir(folder) as found:
            entries = [(entry.name, entry.is_symlink()) for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}). Check its permissions.") from error
    for name, link in entries:
        if link and not _stays_within(folder / name, root):
            raise DataError(f"{folder / name}: a link that leads out of {root}, or nowhere. Replace it by a copy.")
    return [folder / name for name in sorted((name for name, _ in entries), key=natural_key)]


def _stays_within(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # leads nowhere, or in a circle
        return False


def _labelled(pictures: dict[str, list[Path]]) -> tuple[tuple[Path, int], ...]:
    return tuple((path, label) for label, paths in enumerate(pictures.values()) for path in paths)
