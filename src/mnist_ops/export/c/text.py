"""Parts of C code as text: tables, structures, numbers, and places in the buffer of the maps."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_ops.export.c.memory import SIZES, Map


@dataclass(frozen=True)
class Table:
    kind: str
    name: str
    values: list[str]
    in_flash: bool  # where other constants are not


@dataclass(frozen=True)
class Structure:
    kind: str
    name: str
    fields: list[str]


def geometry(given: Map, made: Map) -> list[str]:
    sizes = [f"{height}, {width}, {channels}" for channels, height, width in (given.shape, made.shape)]
    return [f"{{ {', '.join(sizes)} }}"]


def place(one: Map, outside: str = "image") -> str:
    return outside if one.offset < 0 else f"buffer.as_{one.kind} + {one.offset // SIZES[one.kind]}"


def whole(value: Any) -> str:
    """C has no literal for the lowest value of int32_t, which is in none of the tables."""
    return str(int(value))


def literal(value: Any) -> str:
    """A float32 that C reads back exactly."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    return f"{text}.0f" if re.fullmatch(r"-?\d+", text) else f"{text}f"


