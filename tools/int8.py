"""How much accuracy integers cost, with weights of 8, 4 and 2 bits: every test image in both arithmetics, run by run.

    python -m tools.int8 RUN RUN ...            a table into docs/microcontroller.md, between its marks
    python -m tools.int8 RUN RUN ... --print    print it instead
    python -m tools.int8 RUN RUN ... --bits 2   only this width; other lines stay

RUN is a run folder or a model.safetensors, trained on MNIST, which must be here. The scales come from training images;
for 2 bits a run is fine-tuned on these, and the folder stays as it is. Lines of other networks stay as they are.
"""

import argparse
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.source import read
from mnist_ops.data.tensors import to_device
from mnist_ops.export.c import code, int8
from mnist_ops.export.c.fine_tune import EPOCHS, fine_tune
from mnist_ops.export.c.quantize import SAMPLE, quantize
from mnist_ops.export.c.rounding import WIDTHS
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.proof import compare, expect
from mnist_ops.run.folder import read_config
from mnist_ops.run.trained import load_trained

PAGE = Path(__file__).resolve().parents[1] / "docs" / "microcontroller.md"


@dataclass(frozen=True)
class Row:
    """One run at one width of a weight; accuracies in percent."""

    model: str
    parameters: int
    bits: int
    table_bytes: int
    float32: float
    integers: float
    different: int  # images in another class


def measure(run: Path, source: ImageDataset, bits: int) -> Row:
    """PyTorch and integers on the whole test set."""
    trained = own = load_trained(run)
    if bits == 2:
        config = read_config(run)
        trained = fine_tune(own, to_device(source, config.validation, torch.device("cpu")), config, bits)
    network = quantize(stages(fold_trained(trained)), source.train.images, bits=bits)
    logits = int8.logits(network, source.test.images)
    proof = compare(expect(own, source.test), logits.argmax(1), int8.probabilities(network, logits) / 32768)
    assert proof.accuracy is not None
    assert proof.pytorch_accuracy is not None
    naming = code.Naming("network", "network", "", (), "", trained.classes, trained.input_shape)
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    return Row(trained.model, parameters, bits, code.render(network, naming).table_bytes, proof.pytorch_accuracy,
               proof.accuracy, int(np.sum(proof.different + proof.ties)))


def as_text(rows: list[Row], before: str = "") -> str:
    """A line per network and width, over its runs, the smallest tables first, among the lines of others `before`."""
    heads = ["network", "parameters", "bits", "tables, bytes", "n", "float32, mean", "integers, mean", "SD",
             "difference, mean", "least", "most", "in another class, mean"]
    lines = {key: line for line in before.splitlines() if (key := _key(line)) is not None}
    for size, model, bits in sorted({(row.table_bytes, row.model, row.bits) for row in rows}):
        own = [row for row in rows if (row.model, row.bits) == (model, bits)]
        lost = [row.integers - row.float32 for row in own]
        found = [row.integers for row in own]
        spread = f"{statistics.stdev(found):.3f}" if len(found) > 1 else ""
        different = statistics.fmean(row.different for row in own)
        line = (f"| `{model}` | {own[0].parameters:,} | {bits} | {size:,} | {len(own)} | "
                f"{statistics.fmean(row.float32 for row in own):.3f} % | {statistics.fmean(found):.3f} % | {spread} | "
                f"{statistics.fmean(lost):+.3f} | {min(lost):+.2f} | {max(lost):+.2f} | {different:.1f} images |")
        lines[(f"`{model}`", str(bits))] = line
    ordered = sorted(lines.values(), key=lambda line: int(_cells(line)[3].replace(",", "")))
    told = (f"All 10,000 test images of MNIST; scales from {SAMPLE} training images. Differences are in points, "
            "integers less float32; least and most are over the runs. Of 2 bits the weights are fine-tuned for "
            f"{EPOCHS} epochs; float32 are the run's own.")
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *ordered, "", told])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _key(line: str) -> tuple[str, str] | None:
    """Network and bits of a line of the table; None for another line."""
    cells = _cells(line)
    return (cells[0], cells[2]) if len(cells) > 3 and cells[2].isdigit() else None


def main() -> int:
    """Measure every run, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--print", action="store_true", dest="only_print")
    parser.add_argument("--bits", type=int, choices=WIDTHS, nargs="+", default=WIDTHS)
    given = parser.parse_args()
    source = read("mnist", fetch=False)
    rows = []
    for run in given.runs:
        rows += [measure(run, source, bits) for bits in given.bits]
        print(f"{run}: {rows[-len(given.bits):]}", file=sys.stderr, flush=True)
    before = PAGE.read_text(encoding="utf-8").partition("<!-- generated: int8 -->")[2].partition("<!-- end -->")[0]
    put("int8", as_text(rows, before), only_print=given.only_print)
    return 0


def put(mark: str, text: str, *, only_print: bool) -> None:
    """The text into the page, between its marks, or on the screen."""
    if only_print:
        print(text)
        return
    marked = re.compile(rf"(<!-- generated: {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    page, count = marked.subn(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(f"{PAGE}: expected one pair of marks, found {count}")
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
