"""Prints results to stdout, warnings and errors to stderr."""

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO, cast

from mnist_ops.errors import MnistOpsError, legible

NARROWEST, WIDEST, WIDTH = 40, 10_000, 80  # columns of text; a width outside the first two counts as WIDTH
STOPPED = (130, 143)  # exit codes after Ctrl-C and SIGTERM: 128 + the signal, as shells count


class OutputError(MnistOpsError):
    """Stdout cannot be written: it is full, or closed."""


class _Checked:
    """A standard stream whose first failure is noticed; what is written after that is dropped."""

    def __init__(self, stream: TextIO, *, is_result: bool) -> None:
        self._stream = stream
        self._is_result = is_result  # else it is stderr, and failures cannot be reported

    def write(self, text: str) -> int:
        """Write it. Raises OutputError."""
        with self._checked():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Likewise."""
        with self._checked():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            discard(self._stream)
            if isinstance(error, BrokenPipeError) and self._is_result:
                raise
            if self._is_result:
                why = "it is closed" if error.errno == errno.EBADF else error.strerror
                raise OutputError(f"cannot write the output ({why}); free some space or redirect it"
                                  ) from error


def discard(stream: TextIO) -> None:
    """Drop what is written to it, or the interpreter would complain about unflushed text when it exits."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Within the block, stdout and stderr are checked, can encode any text, and have a sane width.

    Python sets a closed stream to None and then ignores writes to it, or mixes stderr into stdout."""
    if not NARROWEST <= _width() <= WIDEST:
        os.environ["COLUMNS"] = str(WIDTH)
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        # Writing to the first fails, as on a full disk; the second accepts everything.
        stdout = before[0] or opened.enter_context(os.fdopen(os.open(os.devnull, os.O_RDONLY), "w"))
        stderr = before[1] or opened.enter_context(os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        for stream in (stdout, stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        sys.stdout = cast(TextIO, _Checked(stdout, is_result=True))
        sys.stderr = cast(TextIO, _Checked(stderr, is_result=False))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _width() -> int:
    """Columns of the output: $COLUMNS, else of the first terminal that reports them."""
    if given := os.environ.get("COLUMNS"):
        return int(given) if given.isdecimal() and len(given) < 9 else 0
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            if columns := os.get_terminal_size(descriptor).columns:
                return columns
    return WIDTH


def show(text: str) -> None:
    """Print a result and flush. Raises OutputError."""
    print(legible(text, lines=True), flush=True)


def show_json(content: dict[str, Any]) -> None:
    """Print the JSON object of --json. Raises OutputError."""
    show(json.dumps(content, indent=1, allow_nan=False))


def log(text: str) -> None:
    """Print progress of a run."""
    with expendable():
        show(text)


@contextlib.contextmanager
def expendable() -> Iterator[None]:
    """Within the block, output that cannot be written only causes a warning, and the run continues."""
    try:
        yield
    except OutputError as error:
        warn(f"{error}. The run continues without it.")


def tell(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning, framed on a terminal."""
    text = legible(text, lines=True)
    if not draws(sys.stderr):
        tell(f"mnist-ops: warning: {text}")
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    Console(stderr=True).print(Panel(Text(text), title="Warning", border_style="bold yellow"))


def follows() -> bool:
    """Whether another torchrun process reports for this one: only the first reports what all of them meet."""
    return int(os.environ.get("RANK", "0")) > 0 and int(os.environ.get("WORLD_SIZE", "1")) > 1


def complain(text: str, code: int) -> int:
    """Print to stderr why the command ends, and return the exit code. Empty: another process reports it."""
    if not text:
        return code
    text = f"mnist-ops: {text}" if code in STOPPED else f"mnist-ops: error: {text}"
    text = legible(text, lines=True)
    tell("\n".join(map(_fitted, text.splitlines())) if draws(sys.stderr) else text)
    return code


def _fitted(line: str) -> str:
    """The line wrapped between words; an indented line, such as a command to copy, is kept."""
    width = shutil.get_terminal_size().columns
    return line if line.startswith(" ") else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def draws(stream: TextIO) -> bool:
    """Whether the stream can show bars: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
