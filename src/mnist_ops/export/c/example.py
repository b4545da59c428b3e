"""A program that calls the C code on one test image, for a computer or an Arduino; and the commands that build it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ops.disk import temporary_folder
from mnist_ops.engine.compiler import c_compiler, run_tool
from mnist_ops.errors import RunError
from mnist_ops.export.c import code
from mnist_ops.export.c.code import CCode, Naming
from mnist_ops.export.c.compiler import CORTEX_M0, STRICT, interleaved, write_pair
from mnist_ops.export.model_card import Snippet
from mnist_ops.export.targets import Subject
from mnist_ops.score.refusal import refused_word
from mnist_ops.templating import fill

MAIN, SKETCH = "example_main.c", "read_image"  # the file; the name of the sketch
NUMBERS = 24  # of a line, unless a line is a row of the image
AVR = "-mmcu=atmega2560 -Os -std=gnu99 -ffunction-sections -fdata-sections"  # by gnu99 the tables stay in flash


@dataclass(frozen=True, eq=False)
class Shown:
    """The image of an example."""

    pixels: NDArray[np.uint8]  # (H, W), or (3, H, W) in colour
    index: int  # among the test images
    text: str  # where it comes from


def shown_image(subject: Subject) -> Shown:
    """The first test image that PyTorch reads rightly; the first of all where no classes are known, or none is."""
    predicted, labels = subject.expected.logits.argmax(1), subject.expected.labels
    index = 0 if labels is None else int(np.argmax(predicted == labels))
    read = subject.trained.classes[predicted[index]]
    return Shown(subject.images[index], index, f"Image {index:,} of {subject.data}; PyTorch reads {read}.")


def example(template: str, naming: Naming, shown: Shown, *, header: str) -> str:
    """The template filled for the pair with that header."""
    integer = "uint16_t probabilities" in header
    pixels = interleaved(shown.pixels[None])[0].ravel().tolist()
    count = naming.input_shape[2] if naming.input_shape[0] == 1 else NUMBERS
    return fill(f"export/c/templates/{template}.jinja", escape=False, name=naming.name, upper=naming.name.upper(),
                stem=naming.stem, version=naming.version, integer=integer, logit="int32_t" if integer else "float",
                probability="uint16_t" if integer else "float", score=f"{naming.name}_oddness(" in header,
                refused=refused_word(naming.prepare), shown=code.comment(shown.text),
                rows=[", ".join(f"{one:3}" for one in pixels[start:start + count])
                      for start in range(0, len(pixels), count)])


def check_example(source: CCode, main: str, naming: Naming, *, best: int) -> None:
    """Build the program with the pair and run it. Raises RunError unless it prints the class of that index."""
    program = c_compiler()
    assert program is not None
    with temporary_folder("compiling the example") as folder:
        write_pair(folder, source, naming.stem)
        (folder / MAIN).write_text(main, encoding="ascii")
        run_tool([*program, *STRICT, "-o", str(folder / "example"), str(folder / MAIN),
                  str(folder / f"{naming.stem}.c")], folder)
        said = run_tool([str(folder / "example")], folder).decode("utf-8")
    if not said.startswith(f"class {naming.classes[best]}, probability "):
        raise RunError(f"{MAIN} prints {said!r:.200}, expected the class {naming.classes[best]}; nothing was written")


def commands(naming: Naming) -> tuple[Snippet, ...]:
    """The command lines that build the pair, for the card."""
    stem = naming.stem
    return (Snippet("Build it", "sh", "\n".join((
        f"cc -O2 {MAIN} {stem}.c -o example && ./example",
        f"arm-none-eabi-gcc {' '.join(CORTEX_M0)} -std=c99 -c {stem}.c  # link with -Wl,--gc-sections",
        f"avr-gcc {AVR} -c {stem}.c  # an Arduino Mega; gnu99 keeps the tables in flash"))),)
