"""Builds C code with the machine's compiler, runs it on images, and measures it. Takes only the two texts."""

import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.disk import temporary_folder
from mnist_ops.engine.compiler import c_compiler, run_tool
from mnist_ops.errors import RunError
from mnist_ops.export.c.code import CCode

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
CORTEX_M0 = ("-mcpu=cortex-m0", "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections")

ODD = """\
        {{
            const float odd = {name}_oddness(logits);
            fwrite(&odd, sizeof odd, 1, stdout);
        }}
"""
HARNESS = """\
#include <stdio.h>
#include "{stem}.h"

int main(void)
{{
    static uint8_t image[{upper}_PIXELS];
    static {logit} logits[{upper}_CLASSES];
    static {probability} probabilities[{upper}_CLASSES];
    int32_t best;

    while (fread(image, 1, sizeof image, stdin) == sizeof image) {{
        best = (int32_t){name}_predict(image, logits);
        {name}_probabilities(logits, probabilities);
        fwrite(&best, sizeof best, 1, stdout);
        fwrite(logits, sizeof logits, 1, stdout);
        fwrite(probabilities, sizeof probabilities, 1, stdout);
{odd}    }}
    return 0;
}}
"""


@dataclass(frozen=True, eq=False)
class CompiledOutput:
    """The C code's predictions on N images."""

    predicted: NDArray[np.int32]  # (N,)
    logits: NDArray[np.int32] | NDArray[np.float32]  # (N, classes)
    probabilities: NDArray[np.uint16] | NDArray[np.float32]  # (N, classes); integers are in 1/32768
    oddness: NDArray[np.float32] | None = None  # (N,); None without the score that refuses


@dataclass(frozen=True)
class Sizes:
    """The size of the object file, in bytes."""

    target: str  # "Cortex-M0", or the machine's own processor
    compiler: str
    flash: int   # code and constants
    ram: int     # static data
    stack: int   # the sum over all functions, an upper bound


def run_compiled(source: CCode, images: NDArray[np.uint8], *, stem: str, name: str,
                 flags: Sequence[str] = ("-O3",)) -> CompiledOutput:
    """Build the pair with the machine's compiler, warnings being errors, and run it on `images`, as of
    `ImageSet`.

    stem: of the files; name: prefix of every public name. Raises RunError if there is no compiler, if it fails, with
    its message, or if the program fails."""
    program = c_compiler()
    if program is None:
        raise RunError("no C compiler found to check the C code: looked for $CC, cc, gcc and clang. "
                       "Install gcc, or write it unchecked with --unproved")
    integer, odd = "uint16_t probabilities" in source.header, f"{name}_oddness(" in source.header
    kinds = ("int32_t", "uint16_t") if integer else ("float", "float")
    with temporary_folder("compiling the C code") as folder:
        write_pair(folder, source, stem)
        main = HARNESS.format(stem=stem, name=name, upper=name.upper(), logit=kinds[0], probability=kinds[1],
                              odd=ODD.format(name=name) if odd else "")
        (folder / "harness.c").write_text(main, encoding="ascii")
        built = str(folder / "harness")
        run_tool([*program, *STRICT, *flags, "-o", built, str(folder / "harness.c"), str(folder / f"{stem}.c")], folder)
        said = run_tool([built], folder, np.ascontiguousarray(interleaved(images)).tobytes())
    classes = int(re.findall(rf"{name.upper()}_CLASSES (\d+)", source.header)[0])
    fields = [("predicted", np.int32), ("logits", np.int32 if integer else np.float32, classes),
              ("probabilities", np.uint16 if integer else np.float32, classes), *[("oddness", np.float32)][:odd]]
    table = np.frombuffer(said, np.dtype(fields))
    if len(table) != len(images):
        raise RunError(f"the compiled C code answered for {len(table):,} of {len(images):,} images; nothing was "
                       "written")
    return CompiledOutput(table["predicted"], table["logits"], table["probabilities"],
                          table["oddness"] if odd else None)


def interleaved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The channels of a pixel one after another, as the C code takes them."""
    return np.moveaxis(images, 1, -1) if images.ndim == 4 else images


def sizes(source: CCode, stem: str, beside: Mapping[str, str] | None = None) -> Sizes | None:
    """Measured on the object file: for a Cortex-M0 if its compiler is installed, else for this machine.

    beside: texts of further files that it includes. None if there is no compiler, or its output cannot be parsed."""
    cross = shutil.which("arm-none-eabi-gcc")
    program = [cross] if cross else c_compiler()
    size = shutil.which("arm-none-eabi-size" if cross else "size")
    if program is None or size is None:
        return None
    try:
        return _sizes({f"{stem}.h": source.header, f"{stem}.c": source.code, **(beside or {})}, stem, program, size)
    except (RunError, ValueError, IndexError):  # a compiler that does not report the stack, another table format
        return None


def _sizes(files: Mapping[str, str], stem: str, program: list[str], size: str) -> Sizes:
    cross = Path(program[0]).name.startswith("arm-")
    with temporary_folder("measuring the C code") as folder:
        for file, content in files.items():
            (folder / file).write_text(content, encoding="ascii")
        flags = CORTEX_M0 if cross else ("-Os", "-ffunction-sections", "-fdata-sections")
        made = str(folder / "network.o")
        run_tool([*program, "-std=c99", *flags, "-fstack-usage", "-c", "-o", made, str(folder / f"{stem}.c")], folder)
        table = run_tool([size, made], folder).decode().splitlines()[1].split()
        stack = sum(int(line.split("\t")[1]) for file in folder.glob("*.su") for line in file.read_text().splitlines())
        version = run_tool([*program, "--version"], folder).decode(errors="replace").splitlines()[0]
    text, data, bss = map(int, table[:3])
    return Sizes("Cortex-M0" if cross else platform.machine(), version, text + data, data + bss, stack)


def write_pair(folder: Path, source: CCode, stem: str) -> None:
    """The header and the source as files of that name."""
    (folder / f"{stem}.h").write_text(source.header, encoding="ascii")
    (folder / f"{stem}.c").write_text(source.code, encoding="ascii")
