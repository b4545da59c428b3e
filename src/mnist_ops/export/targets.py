"""A trained network -> the files of an export, checked on test images before they are written."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.errors import legible
from mnist_ops.export import forward, javascript, onnx
from mnist_ops.export.fold_norms import Operation, fold_trained, score_of
from mnist_ops.export.javascript import ScriptOutput
from mnist_ops.export.model_card import Snippet
from mnist_ops.export.page import page_html
from mnist_ops.export.proof import Expected, Proof, compare, require_equal, require_odd
from mnist_ops.run.trained import TrainedNetwork


@dataclass(frozen=True, eq=False)
class Subject:
    """The network to export, and the images to check it on."""

    trained: TrainedNetwork
    images: NDArray[np.uint8]  # the test images, as of `ImageSet`
    expected: Expected         # PyTorch's result for them
    sample: NDArray[np.uint8]  # training images, for the scales of int8
    data: str                  # description of the images
    own: bool = True           # whether they are of the run's own data
    untuned: float | None = None  # accuracy of the run's own weights, percent, if those of `trained` are fine-tuned
    scales: str | None = None  # text of those of int8, where they are known without a sample

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The folded network."""
        return fold_trained(self.trained)


@dataclass(frozen=True, eq=False)
class Export:
    """Contents by file suffix, the comparison, and further facts."""

    files: dict[str, bytes]
    proof: Proof
    interface: tuple[str, ...]  # input and output, for the card
    sizes: tuple[tuple[str, str], ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)  # for --json
    beside: dict[str, bytes] = field(default_factory=dict)  # contents of further files, by name
    snippets: tuple[Snippet, ...] = ()
    steps: tuple[tuple[str, ...], ...] = ()  # what each step of C code takes; the first row the heads


def prepared(shape: Shape, *, interleaved: bool) -> str:
    """What an image is, in words; interleaved: a pixel's red, green and blue lie together, else each by itself."""
    channels, height, width = shape
    values = "raw grey values 0 (black) to 255 (white)" if channels == 1 else (
        "red, green and blue of each, raw values 0 to 255" if interleaved else
        "first red, then green, then blue, raw values 0 to 255")
    return f"Image: {height}x{width} pixels, row by row, {values}; the network includes the scaling."


CALLS = {  # how the ONNX file is called; image: what `prepare` makes
    "NumPy and ONNX Runtime": ("python", """\
import numpy as np
import onnxruntime

image = np.zeros(({shape}), np.uint8)  # your prepared image, 0 to 255; divide nothing
session = onnxruntime.InferenceSession({file})
[probabilities] = session.run(["probabilities"], {{"image": image[None]}})"""),
    "OpenCV": ("python", """\
import cv2
import numpy as np

image = np.zeros(({opencv}), np.uint8){order}
net = cv2.dnn.readNetFromONNX({file})
net.setInput(cv2.dnn.blobFromImage(image, {swapped}ddepth=cv2.CV_8U), "image")  # no scalefactor, never 1/255
probabilities = net.forward("probabilities")"""),
    "ONNX Runtime Web": ("js", """\
const session = await ort.InferenceSession.create({file});
const image = new ort.Tensor("uint8", pixels, [1, {shape}]);  // pixels: a Uint8Array, 0 to 255; divide nothing
const {{probabilities}} = await session.run({{image}});"""),
}


def _calls(shape: Shape, file: str) -> tuple[Snippet, ...]:
    channels, height, width = shape
    words = {"shape": f"{channels}, {height}, {width}", "file": json.dumps(file),
             "opencv": f"{height}, {width}{', 3' if channels > 1 else ''}",
             "order": "  # blue, green, red, as OpenCV reads pictures" if channels > 1 else "",
             "swapped": "swapRB=True, " if channels > 1 else ""}
    return tuple(Snippet(title, language, text.format(**words)) for title, (language, text) in CALLS.items())


def export_onnx(subject: Subject, file: str = "mnist_ops.onnx") -> Export:
    """One file for any ONNX runtime; file: its name, for the card. Raises RunError if it does not match PyTorch."""
    trained = subject.trained
    described = {"classes": "\n".join(map(legible, trained.classes)), "prepare": trained.prepare,
                 "dataset": legible(trained.dataset), "model": legible(trained.model), "mean": _numbers(trained.mean),
                 "sd": _numbers(trained.sd)}
    operations = subject.operations
    refusal = score_of(trained, operations)
    described |= {} if refusal is None else {"unsure": repr(refusal.limit.item())}
    content = onnx.model_bytes(operations, trained.input_shape, len(trained.classes), described, refusal=refusal)
    logits, probabilities, *odd = onnx.run_onnx(content, subject.images)
    proof = compare(subject.expected, logits.argmax(1), probabilities)
    require_equal(proof, "the ONNX file")
    require_odd(subject.expected, odd[0][:, 0] if odd else None, "the ONNX file")
    verdict = () if refusal is None else (
        "Output `oddness`: float32 of shape (N, 1), above 0 for an image that is of no class. An accepted image is "
        f"unsure if its probability is below {refusal.limit.item():.4g}, in the metadata as unsure.",)
    interface = (f"Input `image`: uint8 of shape (N, {', '.join(map(str, trained.input_shape))}), any N.",
                 prepared(trained.input_shape, interleaved=False),
                 f"Outputs `logits` and `probabilities`: float32 of shape (N, {len(trained.classes)}).", *verdict,
                 f"ONNX operator set {onnx.OPSET}; classes, prepare, mean and SD are in its metadata.")
    return Export({".onnx": content}, proof, interface, snippets=_calls(trained.input_shape, file))


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(map(repr, values))


def export_html(subject: Subject) -> Export:
    """One page. Its script is run on the images if a JavaScript engine is available, else its operations in Python; the
    page, its card and `numbers` say so. Raises RunError if the result does not match PyTorch, or the script fails."""
    trained, operations = subject.trained, subject.operations
    found = javascript.run_script(page_html(trained, operations), subject.images)
    if isinstance(found, ScriptOutput):
        proof = compare(subject.expected, found.predicted, found.probabilities)
        require_equal(proof, f"the page's script, run by {found.engine},")
        odd = None if score_of(trained, operations) is None else found.oddness
        require_odd(subject.expected, odd, f"the page's script, run by {found.engine},")
        how = f"The code of this page was run by {found.engine}."
        numbers = {"engine": found.engine, "not_run": None}
    else:
        logits = forward.logits(operations, subject.images, np.float32)
        proof = compare(subject.expected, logits.argmax(1), forward.softmax(logits))
        require_equal(proof, "the folded network of the page")
        how = "The code of this page was not run when it was written; its operations were compared only in Python."
        numbers = {"engine": None, "not_run": found.reason}
    note = f"Compared with PyTorch on {subject.data}: {proof.same:,} of {proof.images:,} in the same class. {how}"
    text = page_html(trained, operations, notes=(note,))  # with the script and data that were run
    interface = ("Open it in a browser; it works offline. Draw, or drop, paste or choose a picture.", how)
    return Export({".html": text.encode()}, proof, interface, numbers=numbers)

