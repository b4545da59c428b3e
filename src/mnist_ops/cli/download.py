"""Read a dataset, showing the progress of downloads and pictures on stderr."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.cli.output import draws, tell
from mnist_ops.config import Config

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.data.draw import Test
    from mnist_ops.data.files import DownloadProgress
    from mnist_ops.data.picture_set import PictureProgress


def read_source(config: Config, data_dir: Path | None, test: "Test" = "fifth") -> "ImageDataset":
    """The config's dataset, downloaded if needed; `test` as in `source.read`.

    Raises as `source.read`."""
    from mnist_ops.data.source import read

    with downloads() as progress, pictures_read() as reading:
        return read(config.data, data_dir, seed=config.seed, how=config.prepare, size=config.size,
                    colour=config.colour, test=test, skip_damaged=config.skip_damaged, progress=progress,
                    reading=reading)


@contextlib.contextmanager
def pictures_read() -> "Iterator[PictureProgress | None]":
    """A callback for (pictures read, of how many): a bar on a terminal, which disappears, else None."""
    if not draws(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("Reading pictures"), BarColumn(20), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=None, visible=False)
        yield lambda done, total: bars.update(bar, completed=done, total=total, visible=True)


@contextlib.contextmanager
def downloads() -> "Iterator[DownloadProgress]":
    """A callback for (file, received, total) in bytes: a bar per file on a terminal, else one line per file."""
    if not draws(sys.stderr):
        begun: set[str] = set()

        def begin(file: str, received: int, total: int) -> None:
            if file not in begun:
                begun.add(file)
                size = f", {total:,} bytes" if total else ""
                tell(f"mnist-ops: downloading {file}{size}")

        yield begin
        return
    yield from _bars()


def _bars() -> "Iterator[DownloadProgress]":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("Downloading {task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    tasks = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def advance(file: str, received: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=None)
            bars.update(tasks[file], completed=received, total=total or None)

        yield advance
