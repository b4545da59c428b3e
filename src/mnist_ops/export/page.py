"""A trained network -> one self-contained HTML page that reads what you draw, without a framework.

Its parts are templates/page.*. They compute in the same steps as pictures/ and export/forward.py."""

import base64
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU, to_records
from mnist_ops.data.catalog import are_digits
from mnist_ops.errors import RunError, legible
from mnist_ops.export.fold_norms import Affine, Convolution, Operation, Sum, score_of
from mnist_ops.pictures import candidates, contrast, costs, cuts, ink, panels, sampling, several, strokes
from mnist_ops.run.trained import TrainedNetwork
from mnist_ops.score.refusal import LEAST_DOUBT, PREFIX, Refusal, refused_word
from mnist_ops.templating import fill, policy

MOST_BYTES = 190_000  # of the page of a network as small as these
FINE = 560            # pixels of the drawing area's canvas, along a side
SCRIPTS = ("network", "sampling", "components", "panels", "character", "ink", "strokes", "prepare", "cuts",
           "candidates", "costs", "several", "sheet", "picture", "camera", "view", "row", "layers", "main")  # in order
SAME = (sampling, contrast, ink, panels, strokes, cuts, candidates, costs, several)  # whose constants scripts take
PREPARATIONS = {"mnist": "prepared like MNIST", "resize": "stretched"}
ICON = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3"/>'
        '<path d="M5 4h6L7.5 13" fill="none" stroke="#fff" stroke-width="2"/></svg>')


def page_html(trained: TrainedNetwork, operations: Sequence[Operation], *, notes: Sequence[str] = ()) -> str:
    """The whole page as text, with `operations`, those of `fold_trained(trained)`.

    notes: sentences for the foot of the page. The page of a large network may exceed MOST_BYTES. Raises RunError if the
    page does not support the network's preparation of pictures."""
    if trained.prepare not in PREPARATIONS:
        raise RunError(f"prepare is {trained.prepare!r}, but a page supports only {' or '.join(PREPARATIONS)}; "
                       "train the network with one of these")
    style, script = _style(), _script()
    count = sum(parameter.numel() for parameter in trained.network.parameters())
    digits = are_digits(trained.classes, trained.input_shape[0])
    board = trained.prepare == "resize" and max(trained.mean) < 0.5  # draw light on dark, like the training pictures
    invitations = ("Draw a digit.", "Draw a number.") if digits else ("Draw, or choose a picture.",) * 2
    data = {"classes": [legible(one) for one in trained.classes], "prepare": trained.prepare, "board": board,
            "invitations": invitations, **packed(operations, trained.input_shape),
            **_score(score_of(trained, operations), trained.prepare)}
    return fill(
        "export/templates/page.html.jinja", escape=True, title="Draw a digit" if digits else "Draw or drop a picture",
        lead=f"A network of {count:,} parameters reads it in this page; nothing is sent anywhere.",
        invitation=invitations[0], paper="board" if board else "paper", fine=FINE,
        preparation=PREPARATIONS[trained.prepare], model=trained.model,
        notes=(f"Network {trained.model}, {count:,} parameters, trained on {trained.dataset}, "
               f"{len(trained.classes)} classes.", *notes),
        icon="data:image/svg+xml;base64," + base64.b64encode(ICON.encode()).decode(),
        policy=policy(style, "data: blob:", script), style=Markup(style), script=Markup(script),
        network=Markup(_json(data)),
    )


def _score(refusal: Refusal | None, prepare: str) -> dict[str, Any]:
    """The score that refuses, and its word, if there is one."""
    if refusal is None:
        return {}
    shortest = np.vectorize(lambda value: float(str(value)), otypes=[np.float64])  # that gives the same float32
    numbers = {name.removeprefix(PREFIX): shortest(value.numpy()).tolist() for name, value in refusal.tensors().items()}
    return {"score": {**numbers, "leastDoubt": LEAST_DOUBT, "word": refused_word(prepare)}}


def packed(operations: Sequence[Operation], shape: Shape) -> dict[str, Any]:
    """The operations and the shape of their input as plain data, with all numbers as base64 of little-endian float32.

    An operation refers to its numbers by their range: [first, past the last]."""
    numbers: list[NDArray[np.float32]] = []
    described = _describe(operations, numbers)
    values = np.concatenate(numbers, dtype="<f4") if numbers else np.empty(0, "<f4")
    return {"input": shape, "operations": described, "values": base64.b64encode(values.tobytes()).decode()}


def _describe(operations: Sequence[Operation], numbers: list[NDArray[np.float32]]) -> list[dict[str, Any]]:
    def store(array: NDArray[np.float32]) -> list[int]:
        first = sum(map(len, numbers))
        numbers.append(array.ravel())
        return [first, first + array.size]

    described: list[dict[str, Any]] = []
    for operation in operations:
        match operation:
            case Convolution(weights, bias):
                plain = {name: getattr(operation, name) for name in ("stride", "padding", "dilation", "groups")}
                described.append({"type": "Convolution", "channels": len(weights), "kernel": weights.shape[-1], **plain,
                                  "weights": store(weights), "bias": store(bias)})
            case Affine(scale, shift):
                described.append({"type": "Affine", "scale": store(scale), "shift": store(shift)})
            case Sum(body):
                described.append({"type": "Sum", "body": _describe(body, numbers)})
            case ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
                described += to_records([operation])
    return described


def _json(data: dict[str, Any]) -> str:
    """JSON for a script element: no text in it can end the element or begin a comment."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


@cache
def _script() -> str:
    """All scripts in one function, so that the page's names are not global."""
    constants = {module.__name__.rpartition(".")[2]: {
        name: value for name, value in vars(module).items() if name.isupper()} for module in SAME}
    inside = "\n".join(template(f"{name}.js") for name in SCRIPTS)
    return f"\n(() => {{\n'use strict';\n\nconst CONSTANTS = {_json(constants)};\n\n{inside}}})();\n"


@cache
def _style() -> str:
    return "\n" + template("css")


def template(name: str) -> str:
    """The text of templates/page.<name>."""
    return (files("mnist_ops.export") / "templates" / f"page.{name}").read_text(encoding="utf-8")
