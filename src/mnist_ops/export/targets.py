"""A trained network -> the files of one export, proved on test images before they are written."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.zoo import INPUT
from mnist_ops.export import forward, javascript, onnx
from mnist_ops.export.fold_norms import Operation, fold_trained
from mnist_ops.export.javascript import ScriptOutput
from mnist_ops.export.page import page_html
from mnist_ops.export.proof import Expected, Proof, compare, require_equal
from mnist_ops.run.checkpoint import TrainedNetwork

PREPARED = f"Image: {INPUT[1]}x{INPUT[2]} pixels, row by row, grey values 0 (black) to 255 (white) as they are; " \
           "the scaling is inside."


@dataclass(frozen=True, eq=False)
class Subject:
    """What is exported, and the images on which it is proved."""

    trained: TrainedNetwork
    images: NDArray[np.uint8]  # (N, 28, 28), the test images
    expected: Expected         # what PyTorch says of them
    sample: NDArray[np.uint8]  # training images, for the scales of int8
    data: str                  # what the images are, for people

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The folded network."""
        return fold_trained(self.trained)


@dataclass(frozen=True, eq=False)
class Export:
    """Contents by the ending of their file, the proof, and what is known of them besides."""

    files: dict[str, bytes]
    proof: Proof
    interface: tuple[str, ...]  # what goes in and comes out, for the card
    sizes: tuple[tuple[str, str], ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)  # for --json


def export_onnx(subject: Subject) -> Export:
    """One file for every ONNX runtime. Raises RunError where it does not agree with PyTorch."""
    trained = subject.trained
    described = {"classes": "\n".join(trained.classes), "prepare": trained.prepare, "dataset": trained.dataset,
                 "model": trained.model, "mean": repr(trained.mean), "sd": repr(trained.sd)}
    content = onnx.model_bytes(subject.operations, len(trained.classes), described)
    logits, probabilities = onnx.run_onnx(content, subject.images)
    proof = compare(subject.expected, logits.argmax(1), probabilities)
    require_equal(proof, "the ONNX file")
    interface = (f"Input `image`: uint8 of shape (N, {', '.join(map(str, INPUT))}), any N.", PREPARED,
                 f"Outputs `logits` and `probabilities`: float32 of shape (N, {len(trained.classes)}).",
                 f"ONNX operator set {onnx.OPSET}; classes, prepare, mean and SD stand in its metadata.")
    return Export({".onnx": content}, proof, interface)


def export_html(subject: Subject) -> Export:
    """One page, whose own script is run on the images where a JavaScript engine is here, and its operations in Python
    where none is; then the page, its card and `numbers` say so. Raises RunError where either does not agree with
    PyTorch, or the script fails."""
    trained, operations = subject.trained, subject.operations
    found = javascript.run_script(page_html(trained, operations), subject.images)
    if isinstance(found, ScriptOutput):
        proof = compare(subject.expected, found.predicted, found.probabilities)
        require_equal(proof, f"the page's script, run by {found.engine},")
        how = f"The code of this page was run by {found.engine}."
        numbers = {"engine": found.engine, "not_run": None}
    else:
        logits = forward.logits(operations, subject.images, np.float32)
        proof = compare(subject.expected, logits.argmax(1), forward.softmax(logits))
        require_equal(proof, "the folded network of the page")
        how = "The code of this page was not run when it was written: only its operations were compared, in Python."
        numbers = {"engine": None, "not_run": found.reason}
    note = f"Compared with PyTorch on {subject.data}: {proof.same:,} of {proof.images:,} in the same class. {how}"
    text = page_html(trained, operations, notes=(note,))  # the script and the data are those that were run
    interface = ("Open it in a browser; it needs no network. Draw, or drop, paste or choose a picture.", how)
    return Export({".html": text.encode()}, proof, interface, numbers=numbers)

