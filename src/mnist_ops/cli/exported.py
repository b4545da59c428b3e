"""What `mnist-ops export` prints: the comparison with PyTorch, sizes and files. Prints nothing itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_ops.export.targets import Export, Subject

FEW = 1000  # images of a comparison that says little


def proof_lines(subject: "Subject", made: "Export") -> list[str]:
    """The comparison with PyTorch, sizes and steps."""
    proof = made.proof
    different = f", {proof.different:,} different" if proof.different else ""
    if proof.images < FEW:
        different += f"; of so few follows: of all such images at most {proof.most_different:.2g} % differ (95 %)"
    lines = [f"Compared with PyTorch on {subject.data}:",
             f"  same class          {proof.same:,} of {proof.images:,}{different}",
             f"  ties                {proof.ties:,} with PyTorch's two best logits within 1e-4",
             f"  probabilities       differ by at most {proof.largest_difference:.1e}"]
    if proof.accuracy is not None:
        lines.append(f"  accuracy            {proof.accuracy:.2f} %, PyTorch's {proof.pytorch_accuracy:.2f} %")
    if made.numbers.get("integers_compared"):
        lines.append(f"  compiled C code     {made.numbers['integers_compared']:,} integers compared with the "
                     f"reference in Python, {made.numbers['mismatches']} mismatches")
    elif made.numbers.get("compiled") is False:
        lines.append("  compiled C code     NOT COMPILED: the arithmetic was compared only in Python")
    if "engine" in made.numbers:
        lines.append(f"  the page's code     {page_code(made.numbers)}")
    lines += [f"  {name:<18}  {value}" for name, value in made.sizes]
    widths = [max(map(len, column)) for column in zip(*made.steps, strict=True)]
    return lines + ["  " + "  ".join(text.ljust(width) if place < 2 else text.rjust(width)
                                     for place, (text, width) in enumerate(zip(row, widths, strict=True)))
                    for row in made.steps]


def page_code(numbers: Mapping[str, Any]) -> str:
    """Whether the page's code was run, in words."""
    if numbers["engine"]:
        return f"run by {numbers['engine']}"
    return f"NOT RUN ({numbers['not_run']}): its operations were compared only in Python"


def file_lines(files: Mapping[Path, bytes]) -> list[str]:
    """A line for each file, with its bytes."""
    width = max(len(str(path)) for path in files)
    return [f"{path!s:<{width}}  {len(content):>9,} bytes" for path, content in files.items()]
