"""How near the C code's preparation of frames is to Python's, and what it takes; writes a table of
docs/microcontroller.md.

    python tools/camera.py          the drawings in $MNIST_OPS_DATA/drawn and photos made from MNIST, for the weights
                                    that ship
    python tools/camera.py --print  print the table instead

Needs a C compiler; arm-none-eabi-gcc for the sizes.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.zoo import INPUT
from mnist_ops.classifier import Classifier, load
from mnist_ops.data.files import VARIABLE
from mnist_ops.data.source import read
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import DataError
from mnist_ops.export.c import camera, compiler
from mnist_ops.export.c.code import Naming
from mnist_ops.pictures.prepare import prepare
from tools.drawn import Pictures, drawn, photos

PAGE = Path(__file__).resolve().parents[1] / "docs" / "microcontroller.md"
MARKED = re.compile(r"(<!-- generated: camera -->\n).*?(<!-- end -->)", re.DOTALL)
SETTINGS = ((camera.SEARCHED, camera.FINE), (64, 4), (128, 8))  # SEARCHED and FINE
NAMING = Naming("tiny", "network", "Measured", (), "0", ("0",), INPUT, "mnist")
NETWORK = "#include <stdint.h>\n#define TINY_PIXELS 784\n"
BLANK = np.zeros(INPUT[1:], np.uint8)  # in place of a refused image
Images = list[NDArray[np.uint8] | None]


def in_c(frames: Sequence[NDArray[np.uint8]], folder: Path, flags: Sequence[str]) -> Images:
    """The images of the frames; None for one that is refused. One program for each size."""
    built: dict[tuple[int, ...], Path] = {}
    made: Images = []
    for frame in frames:
        if frame.shape not in built:
            built[frame.shape] = build(folder, frame.shape, flags)
        said = subprocess.run([built[frame.shape]], input=frame.tobytes(), capture_output=True, check=True).stdout
        made.append(None if said[0] else np.frombuffer(said[1:], np.uint8).reshape(INPUT[1:]))
    return made


def build(folder: Path, shape: tuple[int, ...], flags: Sequence[str]) -> Path:
    """The program for frames of that height and width."""
    height, width = shape
    program = folder / f"{height}x{width}"
    (folder / "main.c").write_text(camera.HARNESS.format(stem="network", name="tiny", upper="TINY", height=height,
                                                         width=width, bytes=height * width))
    subprocess.run([*(c_compiler() or ["cc"]), "-O2", *flags, "main.c", "network_prepare.c", "-o", program], cwd=folder,
                   check=True)
    return program


def in_python(frames: Sequence[NDArray[np.uint8]]) -> Images:
    made: Images = []
    for frame in frames:
        try:
            made.append(prepare(frame, "mnist"))
        except DataError:
            made.append(None)
    return made


def classes(network: Classifier, images: Images) -> NDArray[np.int64]:
    """(N,); -1 for a refused image."""
    found = network.predict(np.stack([BLANK if one is None else one for one in images])).argmax(1)
    return np.where([one is None for one in images], -1, found)


def rows(sets: Sequence[Pictures], network: Classifier) -> list[str]:
    """A row for each set of pictures: how many get Python's class, by each setting, and how many are read rightly."""
    cells = []
    for one in sets:
        python = classes(network, in_python(one.images))
        ours = []
        for searched, fine in SETTINGS:
            flags = [f"-DTINY_PREPARE_SEARCHED={searched}", f"-DTINY_PREPARE_FINE={fine}"]
            with tempfile.TemporaryDirectory() as folder:
                source = camera.render_prepare(NAMING)
                Path(folder, "network.h").write_text(NETWORK)
                compiler.write_pair(Path(folder), source, "network_prepare")
                ours.append(classes(network, in_c(one.images, Path(folder), flags)))
        right = [percent(found == one.labels) for found in (python, ours[0])]
        cells.append([f"{one.name}, {one.part}", f"{len(one.images):,}", *(percent(found == python) for found in ours),
                      *right])
    return [f"| {' | '.join(row)} |" for row in cells]


def percent(same: NDArray[np.bool_]) -> str:
    return f"{100 * np.mean(same):.1f} %"


def sizes() -> str:
    """Flash and stack on a Cortex-M0, of the three ways of preparing."""
    texts, how = [], ""
    for name, naming in (("`mnist`", NAMING),
                         ("`resize` to grey 28x28", Naming("tiny", "network", "", (), "0", ("0",), INPUT, "resize")),
                         ("`resize` to colour 32x32", Naming("tiny", "network", "", (), "0", ("0",), (3, 32, 32),
                                                             "resize"))):
        found = compiler.sizes(camera.render_prepare(naming), "network_prepare", {"network.h": NETWORK})
        if found is None:
            raise SystemExit("needs a C compiler and the program size")
        how = f"{found.target}, `-Os`, {found.compiler}"
        memory = [f"{camera.work_bytes(naming, *size):,}" for size in ((160, 120), (320, 240))]
        texts.append(f"| {name} | {found.flash:,} | {found.stack:,} | {' | '.join(memory)} |")
    return "\n".join(["| preparation | flash | stack, at most | work for 160x120 | work for 320x240 |",
                      f"|{'---|' * 5}", *texts, "", f"Bytes, {how}."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the table instead of writing it into the page")
    test = read("mnist").test
    shown = parser.parse_args().print
    sets = [*drawn(Path(os.environ[VARIABLE], "drawn")), *photos(test.images, test.labels)]
    heads = ["pictures", "number", *(f"as Python's class, {searched} and {fine}" for searched, fine in SETTINGS),
             "right in Python", "right in C"]
    table = "\n".join([sizes(), "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}",
                       *rows(sets, load("default"))])
    if shown:
        print(table)
    else:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(MARKED.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
