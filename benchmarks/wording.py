"""How numbers, ratios and tables are written on docs/performance.md. Knows nothing of what they mean."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.ratios import Measured

NAMES = {"reference": "the reference's way", "example": "PyTorch's example"}
MEGABYTE, GIGA = 1e6, 1e9


def signature(part: dict[str, Any]) -> str:
    """One sentence: command, machine, versions."""
    found = part["machine"]
    memory = f", {found['memory_bytes'] / 2**30:.0f} GiB" if found["memory_bytes"] else ""
    device = found.get("gpu", "")
    return (f"`{part['command']}` on {found['date']}: {device}{', ' if device else ''}{found['processor']} "
            f"({found['architecture']}), {plural(found['cores'], 'core')}{memory}, "
            f"{plural(found['threads'], 'thread')}, torch {found['torch']}, "
            f"commit {(found['commit'] or 'unknown')[:10]}, data {part['data']}.")


def by_pytorch(name: str, precision: str = "auto") -> str:
    """The name of a recipe as a program whose steps are PyTorch's."""
    return f"{name}, PyTorch" + (f" in {precision}" if precision != "auto" else "")


def title(name: str, recipes: Sequence[str]) -> str:
    """A program's name in a table."""
    recipe, comma, engine = name.partition(", ")
    return f"`{recipe}`{comma}{engine}" if recipe in recipes else NAMES[name]


def span(found: Measured, form: str) -> str:
    """The median, and the extremes where there is more than one value."""
    middle = f"{found.median:{form}}"
    return middle if found.n == 1 else f"{middle} ({found.low:{form}} to {found.high:{form}})"


def times(found: Measured) -> str:
    """A ratio with its spread, to three digits."""
    low, middle, high = (f"{value:.{digits(found.median)}f}" for value in (found.low, found.median, found.high))
    return f"**{middle} times**" + (f" ({low} to {high})" if found.n > 1 else "")


def digits(value: float) -> int:
    """After the point, for three in all."""
    return max(0, 2 - math.floor(math.log10(value))) if value > 0 else 2


def percent(ratio: float) -> str:
    """How far a ratio is from 1."""
    return f"{100 * (ratio - 1):+.0f} %"


def plural(count: int, noun: str) -> str:
    """1 thread, 2 threads."""
    return f"{count} {noun}{'s' * (count != 1)}"


def wrapped(text: str) -> str:
    """In lines of 125 characters."""
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, numbers to the right."""
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))
