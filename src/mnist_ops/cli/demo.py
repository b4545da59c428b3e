"""mnist-ops demo: open a network's HTML page in the browser."""

import contextlib
import os
import re
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.cli.exported import page_code
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Flag, Json, completed
from mnist_ops.errors import RunError
from mnist_ops.run.named import SHIPPED, find_run

if TYPE_CHECKING:
    from mnist_ops.export.targets import Subject
    from mnist_ops.run.trained import TrainedNetwork


def demo(
    run: str = "default",
    /,
    *,
    out: Path | None = None,
    no_open: Flag = False,
    as_json: Json = False,
) -> None:
    """Open a page in the browser that reads the digits you draw and shows what the network sees.

    The page is a single file that works offline. Its output is first compared with PyTorch's on the embedded digits;
    `mnist-ops export RUN --to html` compares them on all test images of the run.

    Parameters
    ----------
    run
        A run folder, a model.safetensors, or default: the weights that ship with the package.
    out
        The file to write [default: demo.html in the run folder, else in demo/ in the user's cache].
    no_open
        Write the page and print its path without opening it.
    as_json
        Print one JSON object: run, page (path), size (bytes), images_compared, opened, engine (what ran the page's
        code, or null) and not_run (why not).
    """
    from mnist_ops.export.targets import export_html
    from mnist_ops.run.trained import load_trained

    trained = load_trained(find_run(run))
    made = export_html(_subject(trained))
    content, proof = made.files[".html"], made.proof
    path = _write(content, completed(out, ".html")) if out else _write_somewhere(content, _place(run, trained))
    opened = not no_open and _open(path)
    if as_json:
        show_json({"run": run, "page": str(path), "size": len(content), "images_compared": proof.images,
                   "opened": opened, **made.numbers})
        return
    show(f"Page {path} ({len(content):,} bytes); it predicts the same class as PyTorch on {proof.same:,} of "
         f"{proof.images:,} images\nThe page's code: {page_code(made.numbers)}")
    if not opened:
        show(f"Open it in a browser: {path.as_uri()}")


def _subject(trained: "TrainedNetwork") -> "Subject":
    """The network and the embedded digits to compare on: always available and fast."""
    import numpy as np

    from mnist_ops.data.dataset import ImageSet
    from mnist_ops.data.source import digits
    from mnist_ops.export.proof import expect
    from mnist_ops.export.targets import Subject

    images = digits("resize", trained.input_shape).test.images
    unlabelled = ImageSet(images, np.zeros(len(images), np.int64))
    described = f"{len(images):,} embedded digits"
    return Subject(trained, images, expect(trained, unlabelled, labelled=False), images, described)


def _place(run: str, trained: "TrainedNetwork") -> Path:
    """demo.html in the run folder, else a file per network in the user's cache, so several can be open at once."""
    from platformdirs import user_cache_path

    if run != SHIPPED and os.path.isdir(run):
        return Path(run, "demo.html")
    parts = (trained.model, trained.dataset)
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", Path(part).name.lower()).strip("-")[:40] for part in parts)
    return user_cache_path("mnist-ops", appauthor=False) / "demo" / f"{name}.html"


def _write(content: bytes, path: Path) -> Path:
    """Write the page, creating its folder if needed. -> its path. Raises RunError."""
    from mnist_ops.disk import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot create its folder ({error.strerror}); choose another file with --out."
                       ) from error
    write_whole(path, content)
    return path.absolute()


def _write_somewhere(content: bytes, path: Path) -> Path:
    """Write the page there, or else into a temporary folder, which is kept."""
    try:
        return _write(content, path)
    except RunError as error:
        with contextlib.suppress(OSError, RunError):
            aside = _write(content, Path(tempfile.mkdtemp(prefix="mnist-ops-"), path.name))
            warn(f"{error} The page is in a temporary folder instead.")
            return aside
        raise  # the first error: that is the place to fix


def _open(path: Path) -> bool:
    """Whether a browser opened the page. Not tried if it would open in the terminal or on another screen."""
    graphical = sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    remote = "SSH_CONNECTION" in os.environ
    if "BROWSER" not in os.environ and (remote or not graphical):
        return False
    try:
        return webbrowser.open(path.as_uri())
    except (webbrowser.Error, OSError):
        return False
