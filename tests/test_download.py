"""One download: the pace that it asks for, its redirects, over real connections with and without encryption."""

import shutil
import subprocess
import time

import pytest
import requests

from mnist_ops.data.download import CHUNK, Patience, download, refuse_downgrade
from mnist_ops.errors import DataError
from tests.server import content, crawling, dripping, redirect, serving


@pytest.fixture
def server():
    with serving() as running:
        yield running


def test_a_slow_server_is_left_after_the_time_limit_and_not_much_later(server):
    server.routes["/slow"] = dripping
    start = time.monotonic()
    with pytest.raises(DataError, match="too slow"):
        download(server.url("/slow"), 10**7, Patience(0.3))
    assert time.monotonic() - start < 5  # once for the answer, once for the first piece, and some air


def test_a_long_download_may_take_longer_than_the_time_limit_while_it_keeps_moving(server):
    def steady(handler):
        handler.begin(6 * 65536)
        for _ in range(6):
            handler.wfile.write(b"x" * 65536)
            handler.server.closing.wait(0.25)

    server.routes["/steady"] = steady
    assert download(server.url("/steady"), 10**6, Patience(1.0)) == b"x" * (6 * 65536)  # 1.5 s in all


def test_a_redirect_within_a_scheme_is_followed(server):
    server.routes |= {"/old": redirect("/new"), "/new": content(b"here")}
    assert download(server.url("/old"), 100) == b"here"


def test_a_steady_crawl_is_left_after_the_first_window(server):
    """Which no limit for a single read would notice."""
    server.routes["/crawl"] = crawling(4_000)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"too slow: after [0-9,]+ bytes less than 16,384 bytes more in 1 s"):
        download(server.url("/crawl"), 10**8, Patience(1.0))
    assert time.monotonic() - start < 8


def test_a_slow_server_that_keeps_the_pace_is_waited_for(server):
    def slow(handler):
        handler.begin(20_000)
        for _ in range(20):
            handler.wfile.write(b"x" * 1000)
            handler.server.closing.wait(0.1)

    server.routes["/slow"] = slow
    assert len(download(server.url("/slow"), 10**6, Patience(1.0, pace=4000))) == 20_000


def test_the_pace_that_is_asked_for_brings_mnist_within_a_quarter_of_an_hour():
    assert Patience().pace > 4_000  # what was found to be never left
    assert 10_000_000 / Patience().pace < 900
    assert Patience().seconds * Patience().pace > 10 * CHUNK  # what has come is counted in these steps


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


# ---------------------------------------------------------------- real certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: it makes the certificate of a local https server")
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def secure(certificate, monkeypatch):
    """An https server whose certificate is trusted here."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
    with serving(certificate) as running:
        yield running


def test_a_file_comes_over_an_encrypted_connection(secure):
    secure.routes |= {"/old": redirect("/new"), "/new": content(b"here")}
    assert download(secure.url("/new"), 100) == b"here"
    assert download(secure.url("/old"), 100) == b"here"


def test_a_redirect_off_an_encrypted_connection_is_refused_before_anything_is_asked_there(secure, server):
    server.routes["/file"] = content(b"anything that somebody on the way wants")
    secure.routes["/file"] = redirect(server.url("/file"))
    with pytest.raises(DataError, match=r"redirects from https to http://127\.0\.0\.1:\d+/file, which is refused"):
        download(secure.url("/file"), 100)
    assert server.asked == []
    # Nor by a detour over the encrypted one itself.
    secure.routes["/first"] = redirect("/file")
    with pytest.raises(DataError, match="which is refused"):
        download(secure.url("/first"), 100)
    assert server.asked == []


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(certificate):
    with serving(certificate) as unknown:
        unknown.routes["/file"] = content(b"here")
        with pytest.raises(DataError, match="its certificate is not accepted"):
            download(unknown.url("/file"), 100)
        assert unknown.asked == []


def test_an_unencrypted_server_under_an_https_address_is_refused(server):
    with pytest.raises(DataError, match=r"its certificate is not accepted|no connection or no answer"):
        download(server.url("/file").replace("http:", "https:"), 100)
