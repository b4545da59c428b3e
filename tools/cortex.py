"""What the exported C takes on a Cortex-M: every recipe's int8 accuracy, bytes and instructions, under qemu.

    python -m tools.cortex SWEEP SWEEP ...            the table into docs/microcontroller.md, between its marks
    python -m tools.cortex SWEEP SWEEP ... --print    print it instead

SWEEP is a folder of mnist-ops sweep RECIPE, with its runs s0, s1, ...; MNIST must be here. Accuracy is the mean over
all runs and all test images, by the integer reference; bytes and instructions are those of run s0, whose every logit on
some images must equal the reference. Needs Debian's gcc-arm-none-eabi and qemu-system-arm.
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_ops.arch.arithmetic import sizes
from mnist_ops.arch.zoo import architecture
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.source import read
from mnist_ops.export.c import board, code, int8
from mnist_ops.export.c.board import BOARDS, BoardRun
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.run.folder import read_config
from mnist_ops.run.trained import load_trained
from tools.int8 import measure, put

WAYS = {"speed": "-O2", "size": "-Os"}  # --optimize, and the level it is compiled at


@dataclass(frozen=True)
class Row:
    """A recipe."""

    recipe: str
    parameters: int
    macs: int
    accuracies: list[float]
    runs: dict[tuple[str, str], BoardRun]  # by board and way


def of_sweep(folder: Path, source: ImageDataset, images: int) -> Row:
    """Every run's accuracy, the first one's figures. Ends the program where an integer differs."""
    runs = sorted(folder.glob("s[0-9]*"), key=lambda run: int(run.name[1:]))
    trained = load_trained(runs[0])
    network = quantize(stages(fold_trained(trained)), source.train.images)
    shown = source.test.images[:images]
    wanted = int8.logits(network, shown)
    found = {}
    for way, level in WAYS.items():
        naming = code.Naming(board.NAME, board.NAME, "Measured", (), "", trained.classes, trained.input_shape,
                             fast=way == "speed")
        pair = code.render(network, naming)
        for one in BOARDS.values():
            found[one.title, way] = board.run_on_board(pair, shown, one, level)
            if not np.array_equal(found[one.title, way].logits, wanted):
                sys.exit(f"{folder}: {one.title}, {way}: integers differ from the reference")
    layers = architecture(trained.model, len(trained.classes), trained.input_shape)
    counts = sizes(layers, trained.input_shape)
    return Row(read_config(runs[0]).recipe, counts["parameters"], counts["macs"],
               [measure(run, source, 8).integers for run in runs], found)


def as_text(rows: list[Row], images: int) -> str:
    """The table, and what it was measured with."""
    heads = ["recipe", "parameters", "multiply-adds", "int8 accuracy", "flash", "RAM", "instructions, M0",
             "each multiply-add", "instructions, M4", "flash, `size`", "RAM, `size`", "instructions, M0, `size`"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in sorted(rows, key=lambda row: row.macs):
        fast, small = (row.runs["Cortex-M0", way] for way in WAYS)
        spread = f", SD {statistics.stdev(row.accuracies):.3f}" if len(row.accuracies) > 1 else ""
        lines.append("| " + " | ".join([
            f"`{row.recipe}`", f"{row.parameters:,}", f"{row.macs:,}",
            f"{statistics.fmean(row.accuracies):.3f} % (n = {len(row.accuracies)}{spread})",
            f"{fast.flash:,}", f"{fast.static_ram + fast.stack:,}", f"{fast.instructions:,}",
            f"{fast.instructions / row.macs:.2f}", f"{row.runs['Cortex-M4', 'speed'].instructions:,}",
            f"{small.flash:,}", f"{small.static_ram + small.stack:,}", f"{small.instructions:,}"]) + " |")
    tools = [subprocess.run([name, "--version"], capture_output=True, check=True, text=True).stdout.splitlines()[0]
             for name in (board.COMPILER, board.EMULATOR)]
    return "\n".join([*lines, "", "Flash is code and tables, RAM static data and the most of the stack, in bytes, on "
                      f"the Cortex-M0; `--optimize speed` is compiled at -O2, `size` at -Os. The first {images} test "
                      f"images, every logit equal to the reference in Python.\nMeasured with {tools[0]} and "
                      f"{tools[1]}."])


def main() -> int:
    """Measure, compare every integer, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("sweeps", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--print", action="store_true", dest="only_print")
    given = parser.parse_args()
    source = read("mnist", fetch=False)
    rows = []
    for sweep in given.sweeps:
        rows.append(of_sweep(sweep, source, given.images))
        print(f"{sweep}: {statistics.fmean(rows[-1].accuracies):.3f} %", file=sys.stderr, flush=True)
    put("figures", as_text(rows, given.images), only_print=given.only_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
