"""The scales of an int8 network as text, so that it is made again without the training images they were measured on."""

import json

from mnist_ops.export.c.int8 import Grid, Scale

ZERO = ord("m")  # the letter of a weight of 0; -7 is f, 7 is t


def to_text(scales: tuple[Scale, ...]) -> str:
    """JSON, a line for each scale: unit, zero and high of its grid, the shifts, and the weights as letters, m for 0."""
    rows = [json.dumps([float(one.grid.unit), one.grid.zero, one.grid.high, list(one.shift),
                        "".join(chr(ZERO + step) for step in one.weights)]) for one in scales]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def from_text(text: str) -> tuple[Scale, ...]:
    """The same scales, to the bit."""
    return tuple(Scale(Grid(unit, zero, high), tuple(shift), tuple(ord(letter) - ZERO for letter in weights))
                 for unit, zero, high, shift, weights in json.loads(text))
