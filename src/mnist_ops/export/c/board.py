"""Builds C code for a Cortex-M board, runs it under qemu, and counts bytes and instructions, step by step.

Instructions are counted by the processor's own timer: qemu's -icount shift=0 lets each take one nanosecond. A loop of a
known length tells how many go to a tick.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.disk import temporary_folder
from mnist_ops.engine.compiler import run_tool
from mnist_ops.errors import RunError
from mnist_ops.export.c.code import CCode
from mnist_ops.export.c.compiler import interleaved
from mnist_ops.templating import fill

COMPILER, SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
EMULATOR = "qemu-system-arm"
LOOP = 300_000  # instructions
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-mthumb", "-ffunction-sections", "-fdata-sections")
NAME = "network"  # prefix of the public names, and stem of the files


@dataclass(frozen=True)
class Board:
    """A machine of qemu's."""

    title: str
    machine: str
    processor: str
    flash: str
    ram: str


BOARDS = {board.title: board for board in (
    Board("Cortex-M0", "microbit", "cortex-m0", "256K", "16K"),  # BBC micro:bit
    Board("Cortex-M4", "mps2-an386", "cortex-m4", "4M", "64K"))}


@dataclass(frozen=True, eq=False)
class BoardRun:
    """A build at work; bytes, and the median of the instructions over the images."""

    logits: NDArray[np.int32]  # (N, classes)
    flash: int       # of the network: code and tables
    static_ram: int  # of the network
    stack: int       # the most in use
    instructions: int
    steps: tuple[int, ...]  # instructions of each


def run_on_board(source: CCode, images: NDArray[np.uint8], board: Board, level: str = "-O2") -> BoardRun:
    """int8 code with the names of NAME on `images`, as of `ImageSet`.

    Raises RunError where a program is missing or fails, or its answers are not those of so many images."""
    if missing := [program for program in (COMPILER, SIZE, EMULATOR) if shutil.which(program) is None]:
        raise RunError(f"{' and '.join(missing)} not found, which count instructions; install Debian's "
                       "gcc-arm-none-eabi and qemu-system-arm")
    with temporary_folder("running the C code on a board") as folder:
        whole = _build(folder, source, board, level)
        (folder / "images.bin").write_bytes(np.ascontiguousarray(interleaved(images)).tobytes())
        answers = _run(folder, source, board)
        _build(folder, _counted(source), board, level)
        steps = _run(folder, source, board)["steps"]
    if len(answers) != len(images):
        raise RunError(f"{board.title}: {len(answers):,} answers for {len(images):,} images")
    tick = LOOP / float(np.median(answers["loop"]))
    return BoardRun(answers["logits"], *whole, int(answers["stack"].max()),
                    round(float(np.median(answers["ticks"])) * tick),
                    tuple(round(float(one) * tick) for one in np.median(steps, axis=0)))


def _counted(source: CCode) -> CCode:
    """The same code, which tells the firmware after each step that it is done."""
    code = source.code.replace(f"\nint {NAME}_predict(", f"\nvoid step_done(int step);\n\nint {NAME}_predict(")
    for number, step in enumerate(source.steps):
        code = code.replace(f"    {step.call};\n", f"    {step.call};\n    step_done({number});\n")
    return replace(source, code=code)


def _build(folder: Path, source: CCode, board: Board, level: str) -> tuple[int, int]:
    """-> bytes of the network's flash and static RAM."""
    firmware = fill("export/c/templates/firmware.c.jinja", escape=False, steps=len(source.steps), rounds=LOOP // 3,
                    folder=folder)
    linker = fill("export/c/templates/firmware.ld.jinja", escape=False, flash=board.flash, ram=board.ram)
    for name, text in {f"{NAME}.h": source.header, f"{NAME}.c": source.code, "firmware.c": firmware,
                       "board.ld": linker}.items():
        (folder / name).write_text(text, encoding="ascii")
    flags = [*FLAGS, f"-mcpu={board.processor}"]
    run_tool([COMPILER, *flags, level, "-c", f"{folder}/{NAME}.c", "-o", f"{folder}/{NAME}.o"], folder)
    run_tool([COMPILER, *flags, level, "-fno-tree-loop-distribute-patterns", "-c", f"{folder}/firmware.c",
              "-o", f"{folder}/firmware.o"], folder)
    run_tool([COMPILER, *flags, "-nostdlib", "-Wl,--gc-sections", "-T", f"{folder}/board.ld",
              "-o", f"{folder}/firmware.elf", f"{folder}/firmware.o", f"{folder}/{NAME}.o", "-lgcc"], folder)
    table = run_tool([SIZE, f"{folder}/{NAME}.o"], folder).decode().splitlines()[1].split()
    constants, data, zeroed = map(int, table[:3])
    return constants + data, data + zeroed


def _run(folder: Path, source: CCode, board: Board) -> NDArray[np.void]:
    classes = int(re.findall(rf"{NAME.upper()}_CLASSES (\d+)", source.header)[0])
    run_tool([EMULATOR, "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0",
              "-semihosting-config", "enable=on,target=native", "-kernel", f"{folder}/firmware.elf"], folder)
    fields = [("best", "<i4"), ("logits", "<i4", classes), *((name, "<i4") for name in ("ticks", "loop", "stack")),
              ("steps", "<i4", len(source.steps))]
    return np.frombuffer((folder / "answers.bin").read_bytes(), np.dtype(fields))


def step_table(source: CCode, runs: Sequence[tuple[str, BoardRun]]) -> list[tuple[str, ...]]:
    """Rows of texts, the first the heads: each step with its bytes and its instructions in each run."""
    heads = ("step", "makes", "bytes of tables", "bytes of its map", *(f"instructions, {title}" for title, _ in runs))
    rows = [(step.what, step.made, f"{step.table_bytes:,}", f"{step.map_bytes:,}",
             *(f"{run.steps[number]:,}" for _, run in runs)) for number, step in enumerate(source.steps)]
    whole = ("all", "", f"{source.table_bytes:,}", f"{source.buffer_bytes:,}",
             *(f"{run.instructions:,}" for _, run in runs))
    return [heads, *rows, whole]
