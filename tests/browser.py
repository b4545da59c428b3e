"""Headless Chromium for the tests of pages: one browser a module, a new tab a test. Import the fixtures to use them."""

import base64
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from mnist_ops.export.javascript import CHROMIUM

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
             "--use-fake-ui-for-media-stream")  # a camera that shows a moving pattern, and is allowed
PATIENCE = 20_000  # milliseconds that anything in a page may take on a busy machine
Stroke = Sequence[tuple[float, float]]  # points (x, y) in [0, 1] of the drawing area


@dataclass
class Tab:
    """A page of a file, with all that it asked for and complained of since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, file: Path) -> "Tab":
        self.requests.clear()
        self.page.goto(file.as_uri())
        return self

    def run(self, code: str, argument: Any = None) -> Any:
        """The value of a JavaScript function, given the argument; bytes of an array come in as base64."""
        return self.page.evaluate(code, argument)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def draw(self, strokes: Sequence[Stroke], area: str = "#ink") -> None:
        """Draw with the mouse."""
        box = self.page.locator(area).bounding_box()
        assert box is not None
        for stroke in strokes:
            (x, y), *rest = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            for x, y in rest:
                self.page.mouse.move(x, y, steps=2)
            self.page.mouse.up()

    def _told(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


def as_base64(array: NDArray[np.generic]) -> str:
    """The bytes of an array, as a text that a page can turn back."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


@pytest.fixture(name="browser", scope="module")
def browser_fixture() -> Iterator[Browser]:
    """Skips where there is no Chromium."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(CHROMIUM)} is here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(name="tab")
def tab_fixture(browser: Browser) -> Iterator[Tab]:
    """A new tab; whatever a page in it logs as an error, or fails at, fails the test in the end."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    tab = Tab(page)
    page.on("request", lambda request: tab.requests.append(request.url))
    page.on("console", tab._told)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    page.close()
    assert tab.complaints == []
