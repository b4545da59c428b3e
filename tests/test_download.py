"""One download: its time limit, its redirects."""

import time

import pytest
import requests

from mnist_ops.data.download import CHUNK, download, refuse_downgrade
from mnist_ops.errors import DataError
from tests.server import content, dripping, redirect, serving


@pytest.fixture
def server():
    with serving() as running:
        yield running


def test_a_slow_server_is_left_after_the_time_limit_and_not_much_later(server):
    server.routes["/slow"] = dripping
    start = time.monotonic()
    with pytest.raises(DataError, match="too slow"):
        download(server.url("/slow"), 10**7, timeout=0.3)
    assert time.monotonic() - start < 5  # once for the answer, once for the first piece, and some air


def test_a_long_download_may_take_longer_than_the_time_limit_while_it_keeps_moving(server):
    def steady(handler):
        handler.begin(6 * CHUNK)
        for _ in range(6):
            handler.wfile.write(b"x" * CHUNK)
            handler.server.closing.wait(0.25)

    server.routes["/steady"] = steady
    assert download(server.url("/steady"), 10 * CHUNK, timeout=1.0) == b"x" * (6 * CHUNK)  # 1.5 s in all


def test_a_redirect_within_a_scheme_is_followed(server):
    server.routes |= {"/old": redirect("/new"), "/new": content(b"here")}
    assert download(server.url("/old"), 100) == b"here"


@pytest.mark.parametrize("target", ["http://mirror.example/file", "ftp://mirror.example/file"])
def test_a_redirect_from_https_to_less_is_refused(target):
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://mirror.example/file", target
    with pytest.raises(DataError, match=f"redirects from https to {target}, which is refused"):
        refuse_downgrade(answer)


@pytest.mark.parametrize("target", ["/elsewhere", "//other.example/file", "https://other.example/file"])
def test_a_redirect_that_stays_on_https_is_allowed(target):
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://mirror.example/file", target
    refuse_downgrade(answer)
