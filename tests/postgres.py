"""A PostgreSQL server of the tests' own, from Debian's packages, in a temporary folder. For tests."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "Pa55/w@rd"  # with what a URL must write otherwise
QUOTED = "Pa55%2Fw%40rd"


def programs() -> Path:
    """The folder with initdb and pg_ctl, of the newest version there is. Skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs PostgreSQL's server: /usr/lib/postgresql/*/bin/initdb is not there (Debian: postgresql)")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("needs the user postgres: its server does not run as root")
    return found[-1].parent


def as_user(command: list[str], folder: Path, **options: object) -> None:
    """Run one of its programs; as the user postgres where this process is root's."""
    owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, timeout=60, **owner, **options)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Server:
    """A server that runs: the URL of its database, and what stops it, its connections too, and starts it again."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database of a server that runs within the block, on localhost, and asks for its password."""
    with restartable() as one:
        yield one.url


@contextmanager
def restartable() -> Iterator[Server]:
    """The same, with what stops and starts it."""
    tools = programs()
    folder = Path(tempfile.mkdtemp(prefix="mnist-ops-postgres-"))
    data = folder / "data"
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        as_user([str(tools / "initdb"), "--pgdata", str(data), "--username", "tester", "--auth", "scram-sha-256",
                 "--pwfile", str(folder / "password"), "--no-sync", "--no-locale", "--encoding", "UTF8"], folder)
        port = free_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"  # -F: no disk to wait for, as nothing here is kept
        control = [str(tools / "pg_ctl"), "--pgdata", str(data)]

        def start() -> None:
            as_user([*control, "--wait", "--log", str(folder / "log"), "--options", options, "start"], folder)

        def stop(mode: str = "immediate") -> None:
            as_user([*control, "--mode", mode, "stop"], folder)

        start()
        try:
            yield Server(f"postgresql://tester:{QUOTED}@127.0.0.1:{port}/postgres", lambda: stop("fast"), start)
        finally:
            with suppress(subprocess.CalledProcessError):  # it may have been stopped
                stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of localhost that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
