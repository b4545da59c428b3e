"""Ctrl-C and SIGTERM: a command ends within a second, says what it leaves behind, and sets the exit code."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from mnist_ops.cli.output import complain, draws, follows
from mnist_ops.errors import legible

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 0.3  # seconds in which a command may end by itself
SHOW_CURSOR = b"\x1b[?25h"

_leaving: list[Callable[[], str]] = []  # messages, the innermost block last


class Stopped(KeyboardInterrupt):
    """Raised in the main thread by the first signal; later signals are ignored."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def leaving(text: Callable[[], str]) -> Iterator[None]:
    """Within the block, a stop prints `text()`: what is left, and how to continue."""
    _leaving.append(text)
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (text(),)
        raise
    finally:
        _leaving.pop()


def conclude(stop: KeyboardInterrupt) -> int:
    """Print what is left; -> the exit code, 128 + the signal's number, as shells count.

    After a signal the process ends here: everything is saved, and unloading torch's modules would take too long."""
    code = complain("" if follows() else str(stop) or "stopped", 128 + getattr(stop, "number", signal.SIGINT))
    if isinstance(stop, Stopped):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    return code


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within the block, the first SIGINT or SIGTERM raises Stopped, and the process ends soon whatever it is doing.

    Python runs signal handlers only between bytecodes, and an exception raised in one may be lost inside a callback.
    So a thread hears of the signal too, and ends the process if the block is still running after GRACE, with a message
    and the exit code. Ignored signals stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard, bell = socket.socketpair()
    bell.setblocking(False)
    bell_before = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(heard,), daemon=True)
    try:
        watcher.start()
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _stop)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)
        signal.set_wakeup_fd(bell_before)
        bell.close()
        watcher.join()
        heard.close()


def _stop(number: int, _: FrameType | None) -> None:
    for one in SIGNALS:
        if signal.getsignal(one) is _stop:
            signal.signal(one, lambda *_: None)
    raise Stopped(number)


def _watch(heard: socket.socket) -> None:
    """Wait for a signal, whose number arrives as a byte, and then for the end of the block or of GRACE."""
    while (number := _next(heard)) not in SIGNALS:
        if number is None:
            return
    end = time.monotonic() + GRACE
    with contextlib.suppress(TimeoutError):
        while (left := end - time.monotonic()) > 0:
            heard.settimeout(left)
            if _next(heard) is None:
                return
    _end(number)


def _next(heard: socket.socket) -> int | None:
    """The number of the next signal; None at the end of the block."""
    received = heard.recv(1)
    return received[0] if received else None


def _end(number: int) -> None:
    """End the process at once, from any thread."""
    last = threading.Timer(0.1, os._exit, (128 + number,))  # in case the code below blocks
    last.daemon = True
    last.start()
    with contextlib.suppress(Exception):  # nothing may prevent the exit
        if follows():
            os._exit(128 + number)
        text = _leaving[-1]() if _leaving else "stopped"
        cursor = SHOW_CURSOR if draws(sys.stderr) else b""
        if select.select([], [2], [], 0)[1]:  # a reader of stderr that does not read would block it
            os.write(2, cursor + f"mnist-ops: {legible(text, lines=True)}\n".encode())
    os._exit(128 + number)
