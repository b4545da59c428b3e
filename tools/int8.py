"""How much accuracy integers cost, with weights of 8 and of 4 bits: every test image in both arithmetics, run by run.

    python -m tools.int8 RUN RUN ...            a table into docs/microcontroller.md, between its marks
    python -m tools.int8 RUN RUN ... --print    print it instead

RUN is a run folder or a model.safetensors, trained on MNIST, which must be here. The scales come from training images.
"""

import argparse
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.source import read
from mnist_ops.export.c import code, int8
from mnist_ops.export.c.quantize import SAMPLE, WEIGHT_LIMITS, quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.proof import compare, expect
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
    trained = load_trained(run)
    network = quantize(stages(fold_trained(trained)), source.train.images, bits=bits)
    logits = int8.logits(network, source.test.images)
    proof = compare(expect(trained, source.test), logits.argmax(1), int8.probabilities(network, logits) / 32768)
    assert proof.accuracy is not None
    assert proof.pytorch_accuracy is not None
    naming = code.Naming("network", "network", "", (), "", trained.classes, trained.input_shape)
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    return Row(trained.model, parameters, bits, code.render(network, naming).table_bytes, proof.pytorch_accuracy,
               proof.accuracy, int(np.sum(proof.different + proof.ties)))


def as_text(rows: list[Row]) -> str:
    """A line per network and width, over its runs, the smallest tables first."""
    heads = ["network", "parameters", "bits", "tables, bytes", "n", "float32, mean", "integers, mean", "SD",
             "difference, mean", "least", "most", "in another class, mean"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for size, model, bits in sorted({(row.table_bytes, row.model, row.bits) for row in rows}):
        own = [row for row in rows if (row.model, row.bits) == (model, bits)]
        lost = [row.integers - row.float32 for row in own]
        found = [row.integers for row in own]
        spread = f"{statistics.stdev(found):.3f}" if len(found) > 1 else ""
        different = statistics.fmean(row.different for row in own)
        before = statistics.fmean(row.float32 for row in own)
        lines.append(f"| `{model}` | {own[0].parameters:,} | {bits} | {size:,} | {len(own)} | "
                     f"{before:.3f} % | {statistics.fmean(found):.3f} % | {spread} | "
                     f"{statistics.fmean(lost):+.3f} | {min(lost):+.2f} | {max(lost):+.2f} | {different:.1f} images |")
    return "\n".join([*lines, "", f"All 10,000 test images of MNIST; scales from {SAMPLE} training images. Differences "
                      "are in points, integers less float32; least and most are over the runs."])


def main() -> int:
    """Measure every run, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--print", action="store_true", dest="only_print")
    given = parser.parse_args()
    source = read("mnist", fetch=False)
    rows = []
    for run in given.runs:
        rows += [measure(run, source, bits) for bits in WEIGHT_LIMITS]
        print(f"{run}: {rows[-2:]}", file=sys.stderr, flush=True)
    put("int8", as_text(rows), only_print=given.only_print)
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
