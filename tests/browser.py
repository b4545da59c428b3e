"""Debian's chromium, driven by playwright. For tests of pages."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# No sandbox, because a container seldom allows one; nothing that would make it talk to anybody.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window. Skips where chromium is missing."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium: none is on the path; Debian's package chromium has it")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()
