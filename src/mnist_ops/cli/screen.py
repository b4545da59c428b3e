"""Draws the events of a run: live bars on a terminal, one line per epoch in a pipe, only warnings with --json."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mnist_ops.cli.output import draws, expendable, log, warn
from mnist_ops.cli.wording import COMPILING, epoch_line, fitted_text, range_text, result_text, start_text
from mnist_ops.errors import legible
from mnist_ops.events import Compiling, EpochDone, Event, Finished, Fitted, Started, StepDone, Warned
from mnist_ops.optim.tune import RangeTest, SweepStep
from mnist_ops.score.verdict import Verdict

PAUSE = 0.1  # seconds between updates of a bar: more would cost training time
MANY, READABLE = 20, 1.0  # of more epochs than this, one that begins so many seconds after one that is shown is not


class Screen(Protocol):
    """Shows events."""

    def draw(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Restore the terminal."""


@contextmanager
def open_screen(as_json: bool, *, say: Callable[[str], None] = log) -> Iterator[Screen]:
    """The screen for this output. With --json, stdout is for the result: bars go to stderr if it is a terminal, else
    only warnings are shown.

    say: prints the lines if there is no terminal; `show` if they are the result."""
    stream = sys.stderr if as_json else sys.stdout
    screen: Screen = Plain((lambda _: None) if as_json else say)
    if draws(stream):
        screen = Live(Console(file=stream, highlight=False), brief=as_json)
    try:
        yield screen
    finally:
        with expendable():
            screen.close()


@dataclass
class Verdicts:
    """Keeps the last verdict: a verdict is news if its kind has changed."""

    kind: str = ""

    def news(self, verdict: Verdict) -> str:
        """The verdict's text, or nothing if its kind has not changed."""
        before, self.kind = self.kind, verdict.kind
        return "" if verdict.kind == before else verdict.text


@dataclass
class Pace:
    """Which epochs of a long run are shown: on few pictures there are hundreds in some seconds."""

    epoch: int = 0
    left_out: bool = False
    since: float = -math.inf  # time of the last epoch shown

    def leaves_out(self, epoch: int, epochs: int) -> bool:
        """Whether this epoch, of so many, is not shown; the last one is."""
        if epoch != self.epoch:
            now, self.epoch = time.monotonic(), epoch
            self.left_out = MANY < epochs != epoch and now - self.since < READABLE
            self.since = self.since if self.left_out else now
        return self.left_out


class Plain:
    """Lines of text for a pipe or a file."""

    def __init__(self, say: Callable[[str], None] = log) -> None:
        self.say = say
        self.verdicts, self.pace = Verdicts(), Pace()

    def draw(self, event: Event) -> None:
        """Show what is finished, without single steps."""
        match event:
            case Compiling():
                self.say(COMPILING)
            case Started():
                self.started = event
                self.say(f"{start_text(event)}\n")
            case Fitted():
                self.say(f"{fitted_text(event)}\n")
            case Warned():
                warn(event.text)
            case RangeTest():
                self.say(range_text(event))
            case EpochDone():
                if not self.pace.leaves_out(event.row["epoch"], self.started.config.epochs):
                    self.say(epoch_line(event.row, self.started.config.epochs, self.verdicts.news(event.verdict)))
            case Finished():
                self.say(result_text(event.summary, event.history, self.started))
            case SweepStep() | StepDone():
                pass

    def close(self) -> None:
        """Nothing to close."""


class Live:
    """Bars on a terminal: one for the rate search, and one per epoch and split, which stay as lines."""

    def __init__(self, console: Console, brief: bool) -> None:
        self.console = console
        self.brief = brief  # bars and verdicts, without the result
        self.verdicts, self.pace = Verdicts(), Pace()
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.begun: dict[str, float] = {}  # split -> time of its first step
        self.drawn = 0.0  # time of the last update

    def draw(self, event: Event) -> None:
        """Show one event; bars move at most every PAUSE seconds."""
        with expendable():
            self._draw(event)

    def _draw(self, event: Event) -> None:
        match event:
            case Compiling():
                self._print(COMPILING)
            case Started():
                self.started = event
                self._print(start_text(event))
            case Fitted():
                self._print(fitted_text(event))
            case Warned():
                self.close()
                warn(event.text)
            case SweepStep():
                self._move("Rate search", event.step, event.steps, f"rate {event.rate:<8.3g} loss {event.loss:.4f}")
            case RangeTest():
                self.close()
                self._print(range_text(event))
            case StepDone():
                if not self.pace.leaves_out(event.epoch, self.started.config.epochs):
                    self._step(event)
            case EpochDone():
                if not self.pace.leaves_out(event.row["epoch"], self.started.config.epochs):
                    self._finish_epoch(event)
            case Finished():
                if not self.brief:
                    self._print(f"\n{result_text(event.summary, event.history, self.started)}")

    def close(self) -> None:
        """Stop the bars, which stay as lines."""
        if self.bars is not None:
            self.bars.stop()
        self.bars, self.tasks, self.begun = None, {}, {}

    def _step(self, event: StepDone) -> None:
        if self.bars is None:
            self._print(f"\nEpoch {event.epoch} of {self.started.config.epochs}", style="bold")
        split = event.part.capitalize()
        numbers = ""
        if event.loss is not None and event.accuracy is not None:
            numbers = f"loss {event.loss:.4f}  {event.accuracy:6.2f} %"
        elapsed = time.monotonic() - self.begun.get(split, time.monotonic())
        speed = f"{(event.batch - 1) / elapsed:,.0f} batches/s" if elapsed > 0 else ""
        self._move(split, event.batch, event.batches, f"{numbers:<22}{speed:>15}")

    def _finish_epoch(self, event: EpochDone) -> None:
        for split, task in self.tasks.items():
            loss, accuracy = (event.row[f"{split.lower()}_{what}"] for what in ("loss", "accuracy"))
            if self.bars is not None:
                speed = self.bars.tasks[task].fields["text"][-15:]
                self.bars.update(task, text=f"loss {loss:.4f}  {accuracy:6.2f} %".ljust(22) + speed)
        self.close()
        if text := self.verdicts.news(event.verdict):
            style = "bold green" if event.verdict.kind == "target" else ""
            self._print(f"  {text[0].upper()}{text[1:]}", style=style)
        self._print(f"  Learning rate {event.row['last_lr']:.4g}, {event.row['seconds']:.1f} s of training")

    def _move(self, name: str, done: int, total: int, text: str) -> None:
        """Move the named bar of `total` steps, creating it if it is new."""
        now = time.monotonic()
        if self.bars is None:
            width = max(5, min(30, self.console.width - 66))  # what the text leaves
            columns = (TextColumn("  {task.description:<11}", markup=False), BarColumn(width),
                       TextColumn("{task.completed:>4.0f}/{task.total:<4.0f} {task.fields[text]}", markup=False))
            self.bars = Progress(*columns, console=self.console, auto_refresh=False)
            self.bars.start()
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, text="")
            self.begun[name] = now
        if done == total or now - self.drawn >= PAUSE:
            self.bars.update(self.tasks[name], completed=done, text=text, refresh=True)
            self.drawn = now

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(legible(text, lines=True), style=style, markup=False, soft_wrap=True)
