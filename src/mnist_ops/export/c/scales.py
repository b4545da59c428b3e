"""The scales of an int8 network as text, so that it is made again without the training images they were measured on."""

import json
from collections.abc import Mapping

from mnist_ops.export.c.int8 import Grid, Scale

ZERO = ord("m")  # the letter of a weight of 0; -7 is f, 7 is t


def to_text(scales: Mapping[int, tuple[Scale, ...]]) -> str:
    """JSON by the bits of a weight, a line for each scale: unit, zero and high of its grid, the shifts, and the weights
    as letters, m for 0."""
    parts = [f'"{bits}": [\n' + ",\n".join(map(_row, own)) + "]" for bits, own in scales.items()]
    return "{" + ",\n".join(parts) + "}\n"


def _row(one: Scale) -> str:
    letters = "".join(chr(ZERO + step) for step in one.weights)
    return json.dumps([float(one.grid.unit), one.grid.zero, one.grid.high, list(one.shift), letters])


def from_text(text: str, bits: int) -> tuple[Scale, ...]:
    """The same scales of so many bits, to the bit."""
    return tuple(Scale(Grid(unit, zero, high), tuple(shift), tuple(ord(letter) - ZERO for letter in weights))
                 for unit, zero, high, shift, weights in json.loads(text)[str(bits)])
