"""The scales of an int8 network as text, so that it is made again without the training images they were measured on."""

import json

from mnist_ops.export.c.int8 import Grid, Scale


def to_text(scales: tuple[Scale, ...]) -> str:
    """JSON, a line for each scale: unit, zero and high of its grid, then the shifts."""
    rows = [json.dumps([float(one.grid.unit), one.grid.zero, one.grid.high, list(one.shift)]) for one in scales]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def from_text(text: str) -> tuple[Scale, ...]:
    """The same scales, to the bit."""
    return tuple(Scale(Grid(unit, zero, high), tuple(shift)) for unit, zero, high, shift in json.loads(text))
