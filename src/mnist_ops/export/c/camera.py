"""The preparation of a camera's frames as C: a second pair, which a program without a camera leaves out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.zoo import INPUT
from mnist_ops.disk import temporary_folder
from mnist_ops.engine.compiler import c_compiler, run_tool
from mnist_ops.errors import DataError, RunError
from mnist_ops.export.c import compiler
from mnist_ops.export.c.code import CCode, Naming
from mnist_ops.export.model_card import Snippet
from mnist_ops.export.targets import Subject
from mnist_ops.pictures import contrast, ink, strokes
from mnist_ops.pictures.prepare import prepare
from mnist_ops.pictures.sampling import smooth_resize
from mnist_ops.templating import fill

MOST = 4096  # pixels of a side of a frame
# By default for "mnist": pixels of the longer side at which ink is searched, and the parts of a pixel in which strokes
# are drawn. Python's 512 and 8 need more memory than small chips have.
SEARCHED, FINE = 96, 4
WIDEST, FINEST = 240, strokes.FINENESS  # and at most, for the sizes of counters
PARTS = 100  # connected parts that are told apart
FRAMES = 20  # made from test images, to compare with Python
UNLIKE = 24  # grey values: a "mnist" image that differs more in the mean is not Python's
LIKE = 0.8   # share of the frames that must not
WAYS = {
    "nearest": "stretched by nearest neighbour, as mnist-ops does it, pixel for pixel.",
    "bilinear": "stretched bilinearly, over more pixels where it shrinks, as mnist-ops does it, pixel for pixel.",
    "mnist": "the ink found, dark on light or light on dark, its longer side 20 pixels, centred by mass.",
}
HARNESS = """\
#include <stdio.h>
#include "{stem}_prepare.h"

int main(void)
{{
    static uint8_t frame[{bytes}], image[{upper}_PIXELS];
    static uint32_t work[{upper}_PREPARE_WORK({width}, {height})];

    while (fread(frame, 1, sizeof frame, stdin) == sizeof frame) {{
        fputc({name}_prepare(frame, {width}, {height}, image, work), stdout);
        fwrite(image, 1, sizeof image, stdout);
    }}
    return 0;
}}
"""
USE = """\
static uint8_t frame[120 * 160{channels}], image[{upper}_PIXELS]; /* the camera's, row by row */
static uint32_t work[{upper}_PREPARE_WORK(160, 120)];

if ({name}_prepare(frame, 160, 120, image, work) == 0)
    best = {name}_predict(image, logits);"""


@dataclass(frozen=True)
class Camera:
    """What an export has more of with `--prepare`."""

    files: dict[str, bytes]
    size: tuple[str, str]  # a row of the card
    use: Snippet


def render_prepare(naming: Naming) -> CCode:
    """The header and the source of `NAME_prepare`, by the method of the network."""
    channels, side, _ = naming.input_shape
    way = "mnist" if naming.prepare == "mnist" else "nearest" if naming.input_shape == INPUT else "bilinear"
    context = {
        "name": naming.name, "upper": naming.name.upper(), "stem": naming.stem, "version": naming.version,
        "title": "A camera's frames to the images that a network takes", "side": side, "channels": channels,
        "colour": channels == 3, "row": side * channels, "most": MOST, "mnist": way == "mnist",
        "nearest": way == "nearest", "how": WAYS[way],
        "refused": "there is no ink, or the frame is too large" if way == "mnist" else "the frame is too large",
        **(_constants() if way == "mnist" else {}),
    }
    source = "prepare_mnist" if way == "mnist" else "prepare_resize"
    header, code = (fill(f"export/c/templates/{one}.jinja", escape=False, **context)
                    for one in ("prepare.h", f"{source}.c"))
    return CCode(header, code, 0, 0)


def _constants() -> dict[str, Any]:
    """What the C code has of `pictures`; widths of strokes in sixteenths of a pixel."""
    return {
        "searched": SEARCHED, "fine": FINE, "widest": WIDEST, "finest": FINEST, "parts": PARTS,
        "scratch": 256 + 4 * PARTS, "line": strokes.SIDE**2, "box": strokes.BOX,
        "darkest": contrast.DARKEST, "faintest": contrast.FAINTEST, "photo": contrast.PHOTO, "dim": contrast.DIM,
        "pale": contrast.PALE, "near": ink.NEAR, "small": ink.FINE, "frames": ink.FRAMES, "wide": ink.WIDE,
        "narrow": ink.NARROW, "longest_path": strokes.LONGEST_PATH, "thinnest": round(16 * strokes.THINNEST),
        "thickest": round(16 * strokes.THICKEST),
    }


def frames_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Test images as a camera may show them: dark on light, enlarged to 75x110, with a third more around them."""
    large = []
    for one in images[:FRAMES]:
        planes = one if one.ndim == 3 else one[None]
        grown = [np.pad(smooth_resize(plane.astype(np.int64), 50, 70), ((10, 15), (20, 20))) for plane in planes]
        large.append(255 - np.stack(grown, -1).clip(0, 255))
    frames = np.stack(large).astype(np.uint8)
    return frames if images.ndim == 4 else frames[..., 0]


def check_prepare(source: CCode, network: CCode, naming: Naming, images: NDArray[np.uint8]) -> None:
    """Build the pair with that of the network, run it on frames made of the images, and compare with `prepare`.

    Raises RunError if an image differs; for "mnist", which is simpler in C, if more than a few are unlike Python's."""
    frames = frames_of(images)
    height, width = frames.shape[1:3]
    program = c_compiler()
    assert program is not None
    with temporary_folder("compiling the C code") as folder:
        compiler.write_pair(folder, network, naming.stem)
        compiler.write_pair(folder, source, f"{naming.stem}_prepare")
        (folder / "harness.c").write_text(HARNESS.format(
            stem=naming.stem, name=naming.name, upper=naming.name.upper(), height=height, width=width,
            bytes=frames[0].size), encoding="ascii")
        run_tool([*program, *compiler.STRICT, "-O2", "-o", str(folder / "harness"), str(folder / "harness.c"),
                  str(folder / f"{naming.stem}_prepare.c")], folder)
        said = run_tool([str(folder / "harness")], folder, np.ascontiguousarray(frames).tobytes())
    made = np.frombuffer(said, np.uint8).reshape(len(frames), -1)
    if (unlike := _unlike(made, frames, naming)) > (1 - LIKE if naming.prepare == "mnist" else 0) * len(frames):
        raise RunError(f"{naming.name}_prepare makes other images than mnist-ops of {unlike} of {len(frames)} frames; "
                       "nothing was written: leave --prepare out")


def _unlike(made: NDArray[np.uint8], frames: NDArray[np.uint8], naming: Naming) -> int:
    """The number of frames of which a returned value and an image (N, 1 + pixels) are not as in Python."""
    most, unlike = UNLIKE if naming.prepare == "mnist" else 0, 0
    for (refused, *pixels), frame in zip(made.tolist(), frames, strict=True):
        try:
            wanted = prepare(frame, naming.prepare, naming.input_shape[1])
        except DataError:
            continue
        apart = np.abs(np.array(pixels) - compiler.interleaved(wanted[None])[0].ravel())
        unlike += bool(refused or apart.mean() > most)
    return unlike


def camera_files(subject: Subject, naming: Naming, network: CCode, *, proved: bool) -> Camera:
    """The pair; if `proved`, compared with `prepare` on frames made of test images. Raises RunError if it differs."""
    source = render_prepare(naming)
    if proved:
        check_prepare(source, network, naming, subject.images)
    stem = f"{naming.stem}_prepare"
    measured = compiler.sizes(source, stem, {f"{naming.stem}.h": network.header})
    work = work_bytes(naming, 160, 120)
    size = f"plus {work:,} bytes of the caller for a frame of 160x120, and the frame"
    if measured is not None:
        size = (f"{measured.flash:,} bytes of flash, at most {measured.stack:,} of stack ({measured.target}, -Os); "
                f"{size}")
    use = USE.format(name=naming.name, upper=naming.name.upper(), channels=" * 3" if naming.input_shape[0] == 3 else "")
    return Camera({f"{stem}.h": source.header.encode("ascii"), f"{stem}.c": source.code.encode("ascii")},
                  ("Preparation", size), Snippet("Read a camera's frame", "c", use))


def work_bytes(naming: Naming, width: int, height: int) -> int:
    """Bytes of `work` for a frame of that size, as the header counts them."""
    channels, side, _ = naming.input_shape
    if naming.prepare == "mnist":
        wide, tall = min(width, SEARCHED), min(height, SEARCHED)
        planes = max(2 * wide * tall, (side * FINE)**2)
        return 4 * (256 + 4 * PARTS + (SEARCHED + 4) // 2 + 1 + max(2 * SEARCHED, side**2) // 4 + 1
                    + (wide + 4) * (tall + 4) // 4 + 1 + planes // 4 + 1)
    if naming.input_shape == INPUT:
        return 4
    return 4 * ((side * channels * height + 3) // 4 + 2 * max(width, height) // side + 4)
