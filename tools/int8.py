"""How much accuracy int8 costs: every test image through the network in float32 and in integers, run by run.

    python tools/int8.py RUN RUN ...            a table into docs/microcontroller.md, between its marks
    python tools/int8.py RUN RUN ... --print    print it instead

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
from mnist_ops.export.c import int8
from mnist_ops.export.c.quantize import SAMPLE, quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.export.proof import compare, expect
from mnist_ops.run.trained import load_trained

PAGE = Path(__file__).resolve().parents[1] / "docs" / "microcontroller.md"


@dataclass(frozen=True)
class Row:
    """One run; accuracies in percent."""

    model: str
    float32: float
    int8: float
    different: int  # images in another class


def measure(run: Path, source: ImageDataset) -> Row:
    """PyTorch and int8 on the whole test set."""
    trained = load_trained(run)
    network = quantize(stages(fold_trained(trained)), source.train.images)
    logits = int8.logits(network, source.test.images)
    proof = compare(expect(trained, source.test), logits.argmax(1), int8.probabilities(network, logits) / 32768)
    assert proof.accuracy is not None
    assert proof.pytorch_accuracy is not None
    return Row(trained.model, proof.pytorch_accuracy, proof.accuracy, int(np.sum(proof.different + proof.ties)))


def as_text(rows: list[Row]) -> str:
    """A line per network, over its runs."""
    lines = ["| network | n | float32, mean | int8, mean | difference, mean | least | most | in another class, mean |",
             "|---|---|---|---|---|---|---|---|"]
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        lost = [row.int8 - row.float32 for row in own]
        means = [statistics.fmean(getattr(row, name) for row in own) for name in ("float32", "int8")]
        different = statistics.fmean(row.different for row in own)
        lines.append(f"| `{model}` | {len(own)} | {means[0]:.3f} % | {means[1]:.3f} % | {statistics.fmean(lost):+.3f} "
                     f"| {min(lost):+.2f} | {max(lost):+.2f} | {different:.1f} images |")
    return "\n".join([*lines, "", f"All 10,000 test images of MNIST; scales from {SAMPLE} training images. Differences "
                      "are in points, int8 less float32; least and most are over the runs."])


def main() -> int:
    """Measure every run, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--print", action="store_true", dest="only_print")
    given = parser.parse_args()
    source = read("mnist", fetch=False)
    rows = []
    for run in given.runs:
        rows.append(measure(run, source))
        print(f"{run}: {rows[-1]}", file=sys.stderr, flush=True)
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
