"""Download a URL into memory, with a maximum size and a minimum speed. Knows nothing about datasets or folders."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from mnist_ops.errors import DataError

if TYPE_CHECKING:
    import requests

CHUNK = 4096  # bytes read from the connection, and counted, at a time
PACE = 16_384  # minimum bytes per second; MNIST's 11 MB then take 11 minutes
MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Patience:
    """How slow a server may be before the next mirror is tried."""

    seconds: float = 20.0  # until the first byte, and the length of each window in which the pace is measured
    pace: float = PACE  # bytes a second, mean over each window


def download(url: str, limit: int, patience: Patience = Patience(),
             progress: Callable[[int, int], None] | None = None) -> bytes:
    """The content of `url` as the server stores it, at most `limit` bytes.

    Windows follow one another from the first byte on; each must bring seconds x pace bytes or the end of the file, so
    a server that drips, or keeps a steady crawl, is left after the first window and not when it is done.
    progress(received, total) is called after each piece, total 0 if unknown.
    Raises DataError with a short fact; the caller adds what was fetched and what to do."""
    import requests  # noqa: F401 - here already, so that importing it does not count against the server

    pieces: queue.Queue[Any] = queue.Queue()
    abandoned = threading.Event()
    # A thread, because no socket timeout covers name lookup, slow headers and slow bodies. A daemon, so that a hanging
    # server does not keep the process alive.
    threading.Thread(target=_stream, args=(url, patience.seconds, pieces, abandoned), daemon=True).start()
    received, total = bytearray(), 0
    window = max(1, round(patience.seconds * patience.pace))  # bytes
    deadline, needed = time.monotonic() + patience.seconds, 0  # the next deadline, and the bytes needed by then
    try:
        while (piece := pieces.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
            if isinstance(piece, Exception):
                raise DataError(_reason(piece)) from piece
            if isinstance(piece, int):
                total = piece
            else:
                received += piece
            if max(total, len(received)) > limit:
                raise DataError(f"sends at least {max(total, len(received)):,} bytes, expected at most {limit:,}")
            if len(received) >= needed:
                deadline, needed = time.monotonic() + patience.seconds, len(received) + window
            if progress is not None:
                progress(len(received), total)
    except queue.Empty:
        what = f"less than {window:,} bytes more" if needed else "no answer"
        raise DataError(f"too slow: after {len(received):,} bytes {what} in {patience.seconds:g} s") from None
    finally:
        abandoned.set()
    return bytes(received)


def _stream(url: str, timeout: float, pieces: "queue.Queue[Any]", abandoned: threading.Event) -> None:
    """Put the announced length (int), the content (bytes) and at the end None, or what went wrong, into `pieces`."""
    try:
        import requests

        with requests.Session() as session:
            session.max_redirects = MOST_REDIRECTS
            session.hooks["response"].append(refuse_downgrade)
            headers = {"Accept-Encoding": "identity"}  # do not unpack a .gz
            with session.get(url, stream=True, timeout=2 * timeout, headers=headers) as answer:
                answer.raise_for_status()
                length = answer.headers.get("Content-Length", "")
                pieces.put(int(length) if length.isdecimal() else 0)
                for piece in answer.raw.stream(CHUNK, decode_content=False):
                    if abandoned.is_set():
                        return
                    pieces.put(piece)
        pieces.put(None)
    except Exception as error:  # passed to the caller's thread
        pieces.put(error)


def refuse_downgrade(answer: "requests.Response", *_: object, **__: object) -> None:
    """Response hook: stop before a redirect that leaves https for anything else."""
    if not answer.is_redirect or urlsplit(answer.url).scheme != "https":
        return
    target = urljoin(answer.url, answer.headers["Location"])
    if urlsplit(target).scheme != "https":
        raise DataError(f"redirects from https to {target}, which is refused")


def _reason(error: Exception) -> str:
    """A short text for the user instead of a library's nested exceptions."""
    import requests
    import urllib3

    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, requests.TooManyRedirects):
        return f"redirects more than {MOST_REDIRECTS} times"
    if isinstance(error, requests.ConnectionError):
        cause = getattr(error.args[0], "reason", error.args[0]) if error.args else error
        return f"no connection or no answer ({type(cause).__name__})"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return f"broke off ({error})"
    return f"failed ({type(error).__name__}: {error})"
