"""A web server on localhost whose files misbehave as asked. For tests of downloads."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers a path as `server.routes` says, 404 where it says nothing."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        with contextlib.suppress(ConnectionError):
            self.server.routes.get(self.path, status(404))(self)

    def log_message(self, *_: object) -> None:
        pass

    def begin(self, length: int | None, **headers: str) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http" if certificate is None else "https"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is the business of the connection's own thread, or one bad client would stop them all.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.routes: dict[str, Behaviour] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, *_: object) -> None:
        pass  # clients that hang up are part of the test


@contextlib.contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server over http, or over https with the certificate and key in that file."""
    with Server(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def content(body: bytes, announce: int | None = None, **headers: str) -> Behaviour:
    """Send `body`, announced as `announce` bytes (default: its length)."""

    def behave(handler: Handler) -> None:
        handler.begin(len(body) if announce is None else announce, **headers)
        handler.wfile.write(body)

    return behave


def unannounced(body: bytes) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.begin(None)
        handler.wfile.write(body)

    return behave


def status(code: int) -> Behaviour:
    return lambda handler: handler.send_error(code)


def redirect(target: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def silent(handler: Handler) -> None:
    """Take the request and say nothing."""
    handler.server.closing.wait()


def dripping(handler: Handler) -> None:
    """Promise a file and send a byte every 20 ms: no single read ever takes long."""
    handler.begin(90_000)
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"x")


def crawling(bytes_a_second: int) -> Behaviour:
    """Keep a steady pace that is never zero: each read brings something, and the file would come."""

    def behave(handler: Handler) -> None:
        handler.begin(90_000)
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(bytes(bytes_a_second // 50))

    return behave


def dripping_chunks(handler: Handler) -> None:
    """The same as chunks, each of which counts as progress to whoever only looks at single reads."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"1\r\nx\r\n")


def dripping_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"x")


def endless(handler: Handler) -> None:
    handler.begin(None)
    while not handler.server.closing.is_set():
        handler.wfile.write(b"x" * 65536)
