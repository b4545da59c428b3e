"""What every test gets: one thread, no network but localhost, nothing of the user's own; and MNIST if it is here."""

import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
# Read before the environment is cleared for the tests below.
DATA = Path(os.environ.get("MNIST_OPS_DATA") or REPOSITORY.parent / "shared" / "data").absolute()
# A port where nothing listens. As the proxy of every child process it keeps those off the network too.
DEAD_PORT = 9

# Several workers share the cores, so that several threads each would only wait for one another. Set before torch is
# imported, which then follows it; commands that a test starts inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# How long one example takes says nothing on a busy machine. In CI the same examples are drawn in every run.
settings.register_profile("mnist_ops", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("mnist_ops")


@pytest.fixture(scope="session", autouse=True)
def _apart_from_the_world(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No address but localhost can be reached, and nothing of the user's is seen, by fixtures of any scope either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MNIST_OPS_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLBACKEND", "Agg")
        # Matplotlib's list of fonts takes seconds to make: kept from one run of the tests to the next.
        if (cache := getattr(pytestconfig, "cache", None)) is not None:
            patch.setenv("MPLCONFIGDIR", str(cache.mkdir("matplotlib")))
        for scheme in ("http_proxy", "https_proxy"):
            patch.setenv(scheme, f"http://127.0.0.1:{DEAD_PORT}")
        patch.setenv("no_proxy", "localhost,127.0.0.1,::1")
        _guard_sockets(patch)
        yield


@pytest.fixture(autouse=True)
def _fresh_for_each_test(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty cache of its own, and one thread again should an earlier test have asked torch for more."""
    monkeypatch.delenv("MNIST_OPS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder that holds MNIST/raw: $MNIST_OPS_DATA, or else shared/data beside the repository. Skips without it."""
    if not (DATA / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs MNIST: {DATA} has no MNIST/raw; name a folder that has with MNIST_OPS_DATA")
    return DATA


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder to write into as somebody whom permissions stop: root becomes another user for the test."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs permissions as POSIX has them")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # nobody
        try:
            yield Path(place)
        finally:
            if root:
                os.seteuid(0)


def _guard_sockets(patch: pytest.MonkeyPatch) -> None:
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _allow(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _allow(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        if not _is_local(host):
            _refuse(host)
        return getaddrinfo(host, *arguments, **named)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


def _allow(connection: socket.socket, address: Any) -> None:
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        if address[1] == DEAD_PORT:
            _refuse("the internet")
        if not _is_local(address[0]):
            _refuse(address[0])


def _is_local(host: Any) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _refuse(host: str) -> NoReturn:
    """Fail the test; not an OSError, which the code under test would rightly take for a mirror that is down."""
    pytest.fail(f"a test tried to reach {host}: tests talk to servers on localhost only")
