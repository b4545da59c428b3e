"""Where texts go: results to stdout, warnings and errors to stderr."""

import io
import json
import os
import shutil
import sys
import textwrap
from typing import Any, TextIO

from mnist_ops.errors import legible

STOPPED = (130, 143)  # exit codes after Ctrl-C and SIGTERM: 128 + the signal, as shells count


def prepare() -> None:
    """To be called first: what a stream's encoding lacks is written as an escape, such as \\xe4."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """One result for the user, at once."""
    print(legible(text, lines=True), flush=True)


def show_json(content: dict[str, Any]) -> None:
    """The one JSON object of --json."""
    show(json.dumps(content, indent=1, allow_nan=False))


def warn(text: str) -> None:
    """A warning, loud: in a frame on a terminal."""
    if not draws(sys.stderr):
        print(legible(f"mnist-ops: warning: {text}", lines=True), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    shown = Text(legible(text, lines=True))
    Console(stderr=True).print(Panel(shown, title="Warning", border_style="bold yellow"))


def follows() -> bool:
    """Whether another process of torchrun's speaks for this one: of what all meet alike, the first alone tells."""
    return int(os.environ.get("RANK", "0")) > 0 and int(os.environ.get("WORLD_SIZE", "1")) > 1


def complain(text: str, code: int) -> int:
    """Say on stderr why the command ends; give the exit code back. An empty text is said by another process."""
    if not text:
        return code
    text = f"mnist-ops: {text}" if code in STOPPED else f"mnist-ops: error: {text}"
    text = legible(text, lines=True)
    print("\n".join(map(_fitted, text.splitlines())) if draws(sys.stderr) else text, file=sys.stderr, flush=True)
    return code


def _fitted(line: str) -> str:
    """The line broken between words, as a terminal would not; an indented one, such as a command to copy, stays."""
    width = shutil.get_terminal_size().columns
    return line if line.startswith(" ") else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def draws(stream: TextIO) -> bool:
    """Whether bars can be drawn there: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
