"""What a run looks like: on a terminal, in a pipe, beside --json."""

import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from mnist_ops.arch.zoo import architecture, named_network
from mnist_ops.cli.main import main
from mnist_ops.cli.screen import Live, Plain, open_screen
from mnist_ops.cli.tensorboard import Board
from mnist_ops.cli.wording import epoch_line, interrupted_text, next_text, range_text, result_text, start_text
from mnist_ops.config import RECIPES
from mnist_ops.events import EpochDone, Event, Finished, Started, StepDone, Warned
from mnist_ops.optim.tune import RangeTest, Suggestion, SweepStep
from mnist_ops.score.verdict import Verdict
from tests.miniature import few_tensors

SUGGESTIONS = {"steepest": Suggestion(0.1, 2.0), "valley": Suggestion(0.2, 1.0)}
FOUND = RangeTest((0.1, 0.2), (2.0, 1.0), (2.0, 1.0), SUGGESTIONS, "steepest", 0.1, 1.25)
ROW = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 87.5, "validation_loss": 0.4, "validation_accuracy": 90.0,
       "test_loss": 0.25, "test_accuracy": 92.5, "last_lr": 0.0123, "seconds": 3.5}
SUMMARY = {"reported_epoch": 1, "test_accuracy": 92.5, "interval": [80.14, 97.42], "test_images": 40,
           "dataset": "digits", "parameters": 7568, "epochs": 1, "train_seconds": 3.5}


STARTED = Started(replace(RECIPES["default"], epochs=12, target=99.4), Path("runs/one"), few_tensors(validation=20),
                  named_network("early-pool-wide"), 0)


def events(loss: float | None = 0.5) -> Iterator[Event]:
    """A run of one epoch; without a loss, the steps of a GPU."""
    yield STARTED
    yield Warned("look out")
    yield from (SweepStep(step, 50, 0.01 * step, 2.0) for step in range(1, 51))
    yield FOUND
    for part, batches in (("train", 469), ("validation", 5), ("test", 10)):
        for batch in range(1, batches + 1):
            known = part == "train" and (loss is not None or batch == batches)
            yield StepDone(part, 1, batch, batches, 0.5 if known else None, 87.5 if known else None)
    yield EpochDone(ROW, Verdict("first", "saved: nothing to compare with yet"))
    yield Finished(SUMMARY, [ROW])


def live(width: int = 80, brief: bool = False) -> tuple[Live, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, highlight=False, legacy_windows=False)
    return Live(console, brief), stream


def lines_left(written: str) -> list[str]:
    """What stays on a terminal: a line that is drawn again replaces the one before."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [line.split("\r")[-1].rstrip() for line in text.splitlines()]


def test_a_pipe_gets_one_plain_line_per_epoch(capsys):
    plain = Plain()
    for event in events():
        plain.draw(event)
    out, err = capsys.readouterr()
    assert out.splitlines()[:5] == [
        "Recipe default, model early-pool-wide, seed 0, run folder runs/one",
        "digits: 76 training, 20 validation, 40 test images",
        "12 epochs, batch size 128, auto, 0 threads, PyTorch, auto",
        "9,688 parameters; show the layers: mnist-ops table early-pool-wide", ""]
    assert [line for line in out.splitlines() if line.startswith("epoch")] == [
        "epoch  1/12  train loss 0.5000 accuracy 87.50 %  validation loss 0.4000 accuracy 90.00 %  "
        "test loss 0.2500 accuracy 92.50 %  lr 0.0123  3.5 s  saved: nothing to compare with yet"]
    assert err == "mnist-ops: warning: look out\n"
    assert not {"\r", "\x1b"} & set(out)
    for text in ("Highest train accuracy 87.50 % (epoch 1)", "Highest test accuracy 92.50 % (epoch 1)",
                 "Result (epoch 1): 92.50 % test accuracy, 95 % interval 80.14 to 97.42 %",
                 "Target 99.4 % not reached", "Run folder runs/one"):
        assert text in out.splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_terminal_keeps_a_finished_bar_for_each_part(width):
    shown, stream = live(width)
    for event in events():
        shown.draw(event)
    shown.close()
    lines = lines_left(stream.getvalue())
    for part, batches, numbers in (
        ("Rate search", 50, "rate 0.5      loss 2.0000"), ("Train", 469, "loss 0.5000   87.50 %"),
        ("Validation", 5, "loss 0.4000   90.00 %"), ("Test", 10, "loss 0.2500   92.50 %"),
    ):
        bar = next(line for line in reversed(lines) if line.strip().startswith(part))
        assert f"{batches}/{batches}" in bar
        assert numbers in bar
    assert max(map(len, lines)) <= width
    assert "  Saved: nothing to compare with yet" in lines
    assert "  Learning rate 0.0123, 3.5 s of training" in lines


def test_a_gpu_shows_numbers_with_the_last_batch():
    shown, stream = live()
    for event in events(loss=None):
        shown.draw(event)
        if isinstance(event, StepDone) and event.batch == 400:
            assert "loss" not in lines_left(stream.getvalue())[-1]
    assert any("469/469  loss 0.5000   87.50 %" in line for line in lines_left(stream.getvalue()))


def test_bars_are_drawn_at_most_ten_times_a_second(monkeypatch):
    clock = iter(range(10**6))
    drawn = []
    monkeypatch.setattr("mnist_ops.cli.screen.time.monotonic", lambda: next(clock) / 1000)  # a look takes 1 ms
    monkeypatch.setattr(Progress, "refresh", lambda self: drawn.append(self))
    shown, _ = live()
    shown.draw(STARTED)
    for batch in range(1, 2001):
        shown.draw(StepDone("train", 1, batch, 2001, 1.0, 50.0))
    assert 20 <= len(drawn) <= next(clock) / 100 + 2


def test_a_warning_does_not_break_into_a_bar(capsys):
    shown, stream = live()
    shown.draw(SweepStep(1, 50, 0.1, 2.0))
    shown.draw(Warned("look out"))
    assert stream.getvalue().endswith("\x1b[?25h")  # the bar is closed and the cursor is back
    assert "look out" in capsys.readouterr().err


def test_closing_gives_the_cursor_back():
    shown, stream = live()
    shown.draw(STARTED)
    shown.draw(StepDone("train", 1, 1, 10, 1.0, 50.0))
    assert "\x1b[?25l" in stream.getvalue()
    shown.close()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_beside_json_nothing_but_warnings_is_shown_in_a_pipe(capsys):
    with open_screen(as_json=True) as shown:
        for event in events():
            shown.draw(event)
    assert capsys.readouterr() == ("", "mnist-ops: warning: look out\n")


def test_the_suggestions_say_which_is_used_and_where_the_loss_diverged():
    assert range_text(FOUND).splitlines() == [
        "Suggestion        Rate      Loss",
        "steepest           0.1    2.0000  used",
        "valley             0.2    1.0000",
        "Stopped early: the loss diverged at rate 1.25.", "Peak learning rate 0.1"]


def test_an_interrupted_run_says_what_is_there(tmp_path):
    assert interrupted_text(tmp_path, None) == "stopped before anything was saved"
    (tmp_path / "config.json").write_text("{}")
    assert interrupted_text(tmp_path, Path("my data")).splitlines() == [
        f"stopped; {tmp_path} is intact, with 0 finished epochs. Continue with",
        f"  mnist-ops train --out {tmp_path} --resume --data-dir 'my data'"]


VERDICTS = [Verdict("first", "saved: first"), Verdict("saved", "saved: a"), Verdict("saved", "saved: b"),
            Verdict("target", "target achieved: 99.5 %"), Verdict("target", "target achieved: 99.6 %"),
            Verdict("saved", "saved: c")]
SAID = ["saved: first", "saved: a", None, "target achieved: 99.5 %", None, "saved: c"]


def test_a_verdict_is_said_where_it_is_another_than_before(capsys):
    shown, stream = live()
    for screen in (Plain(), shown):
        screen.draw(STARTED)
        for number, verdict in enumerate(VERDICTS, start=1):
            screen.draw(EpochDone({**ROW, "epoch": number}, verdict))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.partition("3.5 s")[2].strip() or None for line in lines] == SAID
    assert [line for line in lines if line != line.rstrip()] == []
    left = "\n".join(lines_left(stream.getvalue()))
    told = re.findall(r"^  (Saved: .*|Target .*)$", left, re.MULTILINE)
    assert told == [text[0].upper() + text[1:] for text in SAID if text]


def test_of_hundreds_of_epochs_in_a_second_the_first_and_the_last_are_shown(capsys):
    shown, stream = live()
    for screen in (Plain(), shown):
        screen.draw(replace(STARTED, config=replace(STARTED.config, epochs=300)))
        for number in range(1, 301):
            screen.draw(StepDone("train", number, 1, 1, 0.5, 87.5))
            screen.draw(EpochDone({"epoch": number, "train_loss": 0.5, "train_accuracy": 87.5, "last_lr": 0.1,
                                   "seconds": 0.0}, Verdict("saved", "saved: the latest epoch counts")))
    left = "\n".join([capsys.readouterr().out, *lines_left(stream.getvalue())])
    for line in (r"^epoch +(\d+)/300", r"^Epoch (\d+) of 300"):
        told = re.findall(line, left, re.MULTILINE)
        assert told[0] == "1"
        assert told[-1] == "300"
        assert len(told) < 30  # one a second, on whatever machine


@pytest.mark.parametrize(("model", "classes", "ends"), [
    ("early-pool", 10, "; show the layers: mnist-ops table early-pool"),
    ("separable-tiny", 3, "; show the layers: mnist-ops table separable-tiny --classes 3"),
    ("blocks:8p2-16", 10, "; show the layers: mnist-ops table blocks:8p2-16"),
    ("of-another-run", 10, " parameters"),
])
def test_the_line_on_the_size_names_a_command_that_shows_these_layers(capsys, model, classes, ends):
    layers = architecture("early-pool" if model == "of-another-run" else model, classes)
    data = replace(STARTED.data, classes=tuple(map(str, range(classes))))
    line = start_text(replace(STARTED, config=replace(STARTED.config, model=model), layers=layers, data=data)
                      ).splitlines()[-1]
    assert line.endswith(ends)
    if "table" in ends:
        assert main(shlex.split(line.rpartition(": ")[2])[1:]) == 0
        total = re.search(r"^Total +([\d,]+) ", capsys.readouterr().out, re.MULTILINE)
        assert total is not None
        assert line.startswith(f"{total[1]} parameters; ")


def test_what_is_next_is_said_as_commands_of_this_program_for_this_run(monkeypatch):
    monkeypatch.delenv("MNIST_OPS_DATA", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: name in ("mnist-ops", "xdg-open", "open"))
    monkeypatch.setattr(sys, "platform", "linux")
    path, page = Path("a run"), Path("a run/report.html")
    assert next_text(path, page, True, None).splitlines() == [
        "Next", "  open the report   xdg-open 'a run/report.html'", "  draw in the demo  mnist-ops demo 'a run'",
        "  read a picture    mnist-ops predict 'a run' my-digit.png"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [".venv/bin/mnist-ops"])
    assert next_text(path, page, False, None).splitlines() == [
        "Next", "  open the report   a run/report.html", "  open the demo     .venv/bin/mnist-ops demo 'a run'",
        "  read a picture    .venv/bin/mnist-ops predict 'a run' my-picture.png"]
    assert "  make the report   .venv/bin/mnist-ops report 'a run' --data-dir data\n" in next_text(
        path, None, False, Path("data"))


def test_nothing_on_the_screens_needs_a_word_that_only_the_field_knows(capsys):
    for command in ("train", "tune", "score", "check", "sweep", "suspects", "predict", "report", "compare"):
        assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out + "".join(map(str, (
        start_text(STARTED), range_text(FOUND), epoch_line(ROW, 12, ""), result_text(SUMMARY, [ROW], STARTED))))
    assert re.findall(r"\b(nats|Wilson|[Rr]ectified|[Ff]igures?)\b", shown) == []


class Writer:
    """Stands in for PyTorch's writer, which needs a package that tests do without."""

    def __init__(self, folder: str, purge_step: int | None) -> None:
        self.made, self.scalars, self.closed = (folder, purge_step), dict[tuple[str, int], float](), False

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag, step] = value

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("done", "purged"), [(0, None), (3, 4)])
def test_a_board_has_what_the_history_has_and_nothing_twice(done, purged):
    board = Board(Writer)
    for event in (replace(STARTED, epochs_done=done), *events()):
        if not (isinstance(event, Started) and event is STARTED):
            board.draw(event)
    assert board.writer.made == ("runs/one/tensorboard", purged)
    assert board.writer.scalars == {
        ("loss/train", 1): 0.5, ("accuracy/train", 1): 87.5, ("loss/validation", 1): 0.4,
        ("accuracy/validation", 1): 90.0, ("loss/test", 1): 0.25, ("accuracy/test", 1): 92.5,
        ("last_lr", 1): 0.0123, ("seconds", 1): 3.5}
    assert board.writer.closed


def test_the_command_writes_a_board_or_says_what_to_install(tmp_path, monkeypatch, capfd):
    run = ["train", "--data", "digits", "--epochs", "1", "--lr", "0.1", "--no-report", "--tensorboard", "--out"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*run, str(tmp_path / "none")]) == 2
    assert "--tensorboard: needs the package tensorboard" in (said := " ".join(capfd.readouterr().err.split()))
    assert "pip install 'mnist-ops[tensorboard]'" in said
    assert not (tmp_path / "none").exists()
    made: list[Writer] = []

    def make(folder: str, purge_step: int | None) -> Writer:
        made.append(Writer(folder, purge_step))
        return made[0]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=make))
    assert main([*run, str(tmp_path / "run")]) == 0
    row = json.loads((tmp_path / "run" / "history.jsonl").read_text())
    assert made[0].scalars["loss/test", 1] == row["test_loss"]
    assert made[0].closed
