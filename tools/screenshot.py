"""Takes the picture at the top of README.md, docs/pictures/demo.png: a digit drawn on the demo page, and its reading.

    python -m tools.screenshot

Needs a Chromium and the extra `test`, whose playwright drives it. The picture is as deterministic as the browser.
"""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from mnist_ops.cli.main import main as carry_out
from mnist_ops.export.javascript import CHROMIUM
from tests.browser import ARGUMENTS, Stroke, Tab
from tools.readme import PICTURES, small_png

PICTURE = PICTURES / "demo.png"
WIDTH, HEIGHT = 1000, 632  # of the page's top, down to the second layer; twice as many pixels are taken
MOST_BYTES = 120_000


def five() -> Stroke:
    """The points of a 5, in one stroke."""
    angles = (math.radians(-130 + 280 * step / 24) for step in range(25))
    return [(0.62, 0.24), (0.42, 0.24), (0.39, 0.47), *((0.48 + 0.15 * math.cos(one), 0.58 + 0.15 * math.sin(one))
                                                        for one in angles)]


def take(page: Path, show: Callable[[Tab], object], size: tuple[int, int], scale: float) -> bytes:
    """The top of that page as PNG, so many pixels times `scale`, once what `show` gave it has been read."""
    found = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not found:
        raise SystemExit(f"found none of {', '.join(CHROMIUM)}; install a Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=list(ARGUMENTS))
        view = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale)
        show(Tab(view).open(page))
        view.get_by_text("Read as ").wait_for()
        view.wait_for_timeout(1000)  # until the layers are drawn too
        content = view.screenshot()
        browser.close()
    return content


def main() -> None:
    """Write the demo page of the weights that ship in the package, and its picture."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "demo.html"
        if carry_out(["demo", "default", "--no-open", "--out", str(page)]):
            raise SystemExit(1)
        content = small_png(take(page, lambda tab: tab.draw([five()]), (WIDTH, HEIGHT), 2), MOST_BYTES)
    PICTURE.write_bytes(content)
    print(f"{PICTURE}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
