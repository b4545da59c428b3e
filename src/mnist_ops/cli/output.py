"""Where texts go: results to stdout, warnings and errors to stderr."""

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

NARROWEST, WIDEST, WIDTH = 40, 10_000, 80  # columns that text is laid out in; a width past these counts as WIDTH
STOPPED = (130, 143)  # exit codes after Ctrl-C and SIGTERM: 128 + the signal, as shells count


class OutputError(MnistOpsError):
    """Stdout cannot be written: it is full, or closed."""


class _Checked:
    """A standard stream that cannot fail unnoticed, or twice: nothing comes of what is written after it has failed."""

    def __init__(self, stream: TextIO, *, is_result: bool) -> None:
        self._stream = stream
        self._is_result = is_result  # else it is stderr, and nobody is left to be told

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
                raise OutputError(f"the output cannot be written ({why}); make room there, or send it elsewhere"
                                  ) from error


def discard(stream: TextIO) -> None:
    """Let nothing come of what is written there, or the interpreter would complain of what is left as it ends."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Within the block stdout and stderr are checked, their encoding fits any text, and text fits their width.

    Python makes None of one that is closed: it takes all without a word, or puts what is for stderr on stdout."""
    if not NARROWEST <= _width() <= WIDEST:
        os.environ["COLUMNS"] = str(WIDTH)
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        # Of the first writing fails, as on a full disk; the second takes all.
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
    """Columns as those who lay out text will find them: $COLUMNS, or those of the first terminal that says any."""
    if given := os.environ.get("COLUMNS"):
        return int(given) if given.isdecimal() and len(given) < 9 else 0
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            if columns := os.get_terminal_size(descriptor).columns:
                return columns
    return WIDTH


def show(text: str) -> None:
    """One result for the user, at once. Raises OutputError."""
    print(legible(text, lines=True), flush=True)


def show_json(content: dict[str, Any]) -> None:
    """The one JSON object of --json. Raises OutputError."""
    show(json.dumps(content, indent=1, allow_nan=False))


def log(text: str) -> None:
    """What a run says on its way."""
    with expendable():
        show(text)


@contextlib.contextmanager
def expendable() -> Iterator[None]:
    """Within the block, output of a run that goes on without it, with a warning, where it cannot be written."""
    try:
        yield
    except OutputError as error:
        warn(f"{error}. The run goes on without it.")


def tell(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A warning, loud: in a frame on a terminal."""
    text = legible(text, lines=True)
    if not draws(sys.stderr):
        tell(f"mnist-ops: warning: {text}")
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    Console(stderr=True).print(Panel(Text(text), title="Warning", border_style="bold yellow"))


def follows() -> bool:
    """Whether another process of torchrun's speaks for this one: of what all meet alike, the first alone tells."""
    return int(os.environ.get("RANK", "0")) > 0 and int(os.environ.get("WORLD_SIZE", "1")) > 1


def complain(text: str, code: int) -> int:
    """Say on stderr why the command ends; give the exit code back. An empty text is said by another process."""
    if not text:
        return code
    text = f"mnist-ops: {text}" if code in STOPPED else f"mnist-ops: error: {text}"
    text = legible(text, lines=True)
    tell("\n".join(map(_fitted, text.splitlines())) if draws(sys.stderr) else text)
    return code


def _fitted(line: str) -> str:
    """The line broken between words, as a terminal would not; an indented one, such as a command to copy, stays."""
    width = shutil.get_terminal_size().columns
    return line if line.startswith(" ") else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def draws(stream: TextIO) -> bool:
    """Whether bars can be drawn there: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
