"""Draws the progress of out-of-fold runs: one bar on a terminal, else a line per fold."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mnist_ops.cli.output import draws, expendable, log

if TYPE_CHECKING:
    from mnist_ops.suspects.find import Suspects
    from mnist_ops.suspects.folds import OutOfFold, Progress

    Event = Progress | OutOfFold | Suspects


@contextlib.contextmanager
def fold_progress(folds: int, as_json: bool, *, searched: bool) -> "Iterator[Callable[[Event], None]]":
    """A callback for events; searched: a rate search comes first. With --json, stdout is for the result: the bar goes
    to stderr and lines are dropped."""
    stream = sys.stderr if as_json else sys.stdout
    if draws(stream):
        yield from _bar(folds, as_json, searched)
        return

    def tell(event: "Event") -> None:
        if (text := _text(event, folds)) and not as_json:
            log(text)

    yield tell


def _text(event: "Event", folds: int) -> str | None:
    from mnist_ops.suspects.folds import FoldDone, RateFound

    if isinstance(event, RateFound):
        return f"peak rate {event.lr:.4g}"
    if isinstance(event, FoldDone):
        return (f"fold {event.fold + 1} of {folds}: {event.accuracy:.2f} % of {len(event.images):,} images are "
                "predicted as labelled")
    return None


def _bar(folds: int, as_json: bool, searched: bool) -> "Iterator[Callable[[Event], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from mnist_ops.optim.tune import SweepStep
    from mnist_ops.suspects.folds import FoldDone, FoldMoved

    shares: dict[int, float] = {}
    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.percentage:>3.0f} %"))
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("Rate search" if searched else "Training", total=folds)

        def move(event: "Event") -> None:
            with expendable():
                if isinstance(event, SweepStep):
                    bars.update(bar, completed=folds * event.step / event.steps)
                if isinstance(event, FoldMoved | FoldDone):
                    shares[event.fold] = event.share if isinstance(event, FoldMoved) else 1.0
                    bars.update(bar, description="Training", completed=sum(shares.values()))
                if (text := _text(event, folds)) and not as_json:
                    console.print(text, markup=False, soft_wrap=True)

        yield move
