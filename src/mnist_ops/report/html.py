"""The elements of every page: tables, embedded pictures, an accuracy on its scale; and rendering of the templates."""

import base64
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mnist_ops import __version__
from mnist_ops.errors import legible
from mnist_ops.templating import fill, policy

MARGIN = 14.0  # percent of a strip's length, free at either end for the labels


@dataclass(frozen=True)
class Table:
    """A table of strings: the first column names the row, the first `texts` columns are words, the others numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    total: bool = False  # whether the last row is a sum


@dataclass(frozen=True)
class Embedded:
    """A PNG file inside the page."""

    address: str  # a data: URL
    width: int  # CSS pixels: half the pixels of the file, for dense screens
    height: int
    title: str
    alt: str


@dataclass(frozen=True)
class StripMark:
    """A labelled place on a strip, in percent of its length."""

    place: float
    text: str


@dataclass(frozen=True)
class Strip:
    """An accuracy, its interval and the target (None if there is none) on one scale; `text` says the same."""

    value: StripMark
    low: StripMark
    high: StripMark
    target: StripMark | None
    text: str

    @property
    def rules(self) -> str:
        """The places as CSS: a page's policy allows no style but that of its head."""
        places = {"low": self.low.place, "high": self.high.place, "dot": self.value.place}
        places |= {name: self.target.place for name in ("target", "above") if self.target}
        return "".join([f".strip .range {{ left: {self.low.place}%; right: {100 - self.high.place}%; }}\n",
                        *(f".strip .{name} {{ left: {place}%; }}\n" for name, place in places.items())])


def render(template: str, title: str, *, rules: str = "", **content: Any) -> bytes:
    """The page of the template at that path in the package, UTF-8. Every text in `content` is escaped.

    rules: CSS of this page alone."""
    style = resources.files("mnist_ops").joinpath("report/templates/style.css").read_text("utf-8") + rules
    return fill(template, escape=True, page_title=title, version=__version__, style=Markup(style),
                policy=policy(style, "data:"), **content).encode()


def embed(path: Path, title: str, alt: str) -> Embedded:
    """The PNG file at `path` with its text alternative."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    address = "data:image/png;base64," + base64.b64encode(content).decode()
    return Embedded(address, width // 2, height // 2, legible(title), legible(alt))


def strip(value: float, interval: Sequence[float], target: float) -> Strip:
    """Accuracy, interval and target in percent; a target of 0 means none."""
    low, high = interval
    marks = [low, high, value, *([target] if target else [])]
    length = max(marks) - min(marks) or 1.0

    def place(mark: float, text: str) -> StripMark:
        return StripMark(round(MARGIN + (100 - 2 * MARGIN) * (mark - min(marks)) / length, 2), text)

    wanted = f", target {target:g} %" if target else ""
    return Strip(place(value, ""), place(low, f"{low:.2f}"), place(high, f"{high:.2f}"),
                 place(target, f"target {target:g} %") if target else None,
                 f"Test accuracy {value:.2f} %, 95 % interval {low:.2f} to {high:.2f} %{wanted}")


def percent(value: float | None, decimals: int = 2) -> str:
    """A percentage for a table; an en dash if undefined."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"
