"""Any picture file -> grey or RGB uint8 array, safely."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_ops.errors import DataError, legible
from mnist_ops.pictures.listing import unread_format

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
ANIMATED, PAGED = ("PNG", "GIF", "WEBP"), ("TIFF",)
DARK_SHARE = 200  # a transparent drawing is light if less than 1/200 of its ink is dark
DIM = 2**14  # of 65535: if nothing in a 16-bit picture is brighter, few grey values are left in 8 bits
MOST_PIXELS = 25_000_000  # any format is read within two seconds and half a gigabyte
MOST_BYTES = 2**28  # of a file
MOST_SCANS = 100  # of a JPEG file; each covers the whole picture, so a small file with many could take minutes
MOST_TEXT = 2**24  # bytes of a PGM or PPM file in text form, which takes far longer to read
STRIP = 2**20  # pixels converted at a time


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture file as read."""

    pixels: NDArray[np.uint8]  # (H, W), 0 black, 255 white; or RGB (H, W, 3)
    warnings: tuple[str, ...]  # each the same words for every picture, then ": " and numbers
    transparent: bool


def read_image(path: Path, *, colour: bool = False) -> Decoded:
    """The first frame of the picture `path` in grey, or in colour.

    Rotated by its EXIF data, colours to grey by ITU-R 601 unless they are wanted. Transparency is put on white, or on
    black if hardly any ink is dark, as in a white drawing. A 16-bit picture whose values end at 255 is read as 8-bit.
    Raises DataError, naming the file, if it cannot be read, is in none of `FORMATS`, truncated, damaged, fully
    transparent, or too large in bytes, pixels or scans."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    raw = _read(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, which does not affect the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                _scale_down(image, path)
                _check_effort(raw)
                frames = _frames(image)
                image.load()
                return _decoded(ImageOps.exif_transpose(image), frames, colour)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path, "far more")) from error
    except Exception as error:  # decoders raise anything on damaged input
        unknown = isinstance(error, UnidentifiedImageError)  # whose text names an object in memory
        plain = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        reason = _kind_of(raw, path) if unknown else plain
        raise DataError(
            f"{legible(path)}: cannot be read as a picture ({reason}); expected an intact {', '.join(FORMATS)} file. "
            "Save it again, or move it away."
        ) from error


def _scale_down(image: "Image", path: Path) -> None:
    """Let a large JPEG be decoded at half its sides: no picture of its full size is ever in memory.

    Raises DataError if the picture is too large all the same."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.draft(None, (width // 2, height // 2))  # of other formats nothing changes
    if image.width * image.height > MOST_PIXELS:
        raise DataError(_too_large(path, f"{width}x{height} pixels"))


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of the picture `path`, without decoding it; (0, 0) if it cannot be read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return image.height, image.width
    except Exception:  # decoders raise anything on damaged input
        return 0, 0


def _check_effort(raw: bytes) -> None:
    """Raises ValueError for a file that would take very long for its size."""
    # These bytes start a scan, and do not occur elsewhere in coded pixels.
    if raw.startswith(b"\xff\xd8") and (scans := raw.count(b"\xff\xda")) > MOST_SCANS:
        raise ValueError(f"{scans:,} scans, the limit is {MOST_SCANS}")
    if raw.startswith((b"P1", b"P2", b"P3")) and len(raw) > MOST_TEXT:
        raise ValueError(f"{len(raw):,} bytes of numbers as text, the limit is {MOST_TEXT:,}")


def _frames(image: "Image") -> tuple[str, ...]:
    """A warning if only the first of several is read. Further ones in a JPEG are previews."""
    if image.format not in (*ANIMATED, *PAGED) or not getattr(image, "is_animated", False):
        return ()
    return (f"has more than one {'page' if image.format in PAGED else 'frame'}; only the first is read",)


def _kind_of(raw: bytes, path: Path) -> str:
    """The kind of a file in none of `FORMATS`, by its content or name."""
    named = path.with_suffix(".heic") if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"mif1") else path
    return unread_format(named) or "unknown format"


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
            f"{legible(path)}: the file is too large: {size:,} bytes, the limit is {MOST_BYTES:,}. Scale it down."
        )
    return raw


def _too_large(path: Path, found: str) -> str:
    limit = f"the limit is {MOST_PIXELS:,} pixels. Scale it down."
    return f"{legible(path)}: the picture is too large: {found}, {limit}"


def _decoded(image: "Image", frames: tuple[str, ...], colour: bool) -> Decoded:
    """Strip by strip, as several full-colour copies of a large picture would fill the memory."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    pixels = np.empty((image.height, image.width, *([3] if colour else [])), np.uint8)
    if image.mode.startswith("I"):
        step, notes = _step(*image.getextrema())
        for rows, strip in _strips(image):
            grey = _grey_16_bit(strip, step)
            pixels[rows] = grey[..., None] if colour else grey
        return Decoded(pixels, (*frames, *notes), image.has_transparency_data)
    ground = "black" if image.has_transparency_data and _is_light(image) else "white"
    for rows, strip in _strips(image):
        pixels[rows] = _8_bit(strip, ground, "RGB" if colour else "L")
    return Decoded(pixels, frames, image.has_transparency_data)


def _strips(image: "Image") -> Iterator[tuple[slice, "Image"]]:
    """The picture in pieces of about `STRIP` pixels, each with its rows."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _8_bit(image: "Image", ground: str, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        image = Image.new("RGBA", image.size, ground)
        image.alpha_composite(drawing)
    return np.array(image.convert(mode), dtype=np.uint8)


def _is_light(image: "Image") -> bool:
    """Whether less than 1/200 of the ink, weighted by opacity, is darker than middle grey."""
    ink = dark = 0
    for _, strip in _strips(image):
        drawing = strip.convert("RGBA")
        opaque = np.array(drawing.getchannel("A"), dtype=np.int64)
        ink, dark = ink + int(opaque.sum()), dark + int(opaque[np.array(drawing.convert("L")) < 128].sum())
    if ink == 0:
        raise ValueError("it is fully transparent")
    return DARK_SHARE * dark < ink


def _step(darkest: int, brightest: int) -> tuple[int, tuple[str, ...]]:
    """The divisor of a 16-bit picture's values to 8 bits, and warnings."""
    if darkest < 0 or brightest > 65535:
        raise ValueError(f"its pixels run from {darkest} to {brightest}, expected 0 to 65535")
    if brightest <= 255:
        return 1, ("is a 16-bit picture, but its values end at 255, so it is read as 8-bit",)
    if brightest < DIM:
        return 257, (f"is a 16-bit picture and nearly black: its brightest value is {brightest:,} of 65,535",)
    return 257, ()  # 65535 / 255


def _grey_16_bit(image: "Image", step: int) -> NDArray[np.uint8]:
    """-> 0..255, rounded."""
    values = np.array(image).astype(np.int64)
    clear = image.info.get("transparency")
    white = values == clear if isinstance(clear, int) else np.zeros(values.shape, bool)
    return np.where(white, 255, (values + step // 2) // step).astype(np.uint8)
