"""Events and results as text. Prints nothing."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.arch.arithmetic import Shape, sizes
from mnist_ops.arch.zoo import INPUT, architecture
from mnist_ops.config import Config
from mnist_ops.errors import UsageError, counted, legible
from mnist_ops.run.folder import CHECKPOINT, CONFIG, SUMMARY, read_history

if TYPE_CHECKING:
    from mnist_ops.events import Fitted, Started
    from mnist_ops.optim.tune import RangeTest
    from mnist_ops.search.study import Plan
    from mnist_ops.sweeps.seeds import SeedDone, SeedFailed

Row = dict[str, Any]

SHOWN = 10  # classes in a line
COMPILING = "Compiling the training step for this network and processor (once, a few seconds)"


def start_text(started: "Started") -> str:
    """Recipe, data and settings of a run."""
    config, data = started.config, started.data
    kept = f", {len(data.validation):,} validation" if data.validation else ""
    threads = counted(config.threads, "thread")
    engine = "compiled steps" if config.engine == "compiled" else "PyTorch"
    parameters = sizes(started.layers, config.input_shape)["parameters"]
    lines = [f"Recipe {config.recipe}, model {config.model}, seed {config.seed}, run folder {started.path}",
             f"{data.name}: {len(data.train):,} training{kept}, {len(data.test):,} test images"
             f"{_kind(config.input_shape)}",
             f"{counted(config.epochs, 'epoch')}{_hard_text(config, len(data.train))}, batch size {config.batch_size}, "
             f"{config.device}, {threads}, {engine}, {config.precision}",
             f"{parameters:,} parameters{_layers_text(started)}"]
    if started.epochs_done:
        lines.append(f"Resuming after epoch {started.epochs_done} of {config.epochs}")
    return "\n".join(lines)


def _hard_text(config: Config, images: int) -> str:
    if config.hard.share == 1:
        return ""
    return f" (one in {config.hard.every} on all images, the others on the {config.hard.count(images):,} hardest)"


def _kind(shape: Shape) -> str:
    return "" if shape == INPUT else f" of {shape[1]}x{shape[2]} in {'colour' if shape[0] == 3 else 'grey'}"


def fitted_text(event: "Fitted") -> str:
    """The length of a run on few pictures."""
    return (f"{event.images:,} pictures: batches of {event.batch_size}, {counted(event.epochs, 'epoch')}, "
            f"{counted(event.steps, 'step')}")


def _layers_text(started: "Started") -> str:
    """The command that shows the layers; empty if they have no name, as those of another run may."""
    model, classes, (channels, side, _) = started.config.model, len(started.data.classes), started.config.input_shape
    try:
        named = architecture(model, classes, started.config.input_shape)
    except UsageError:
        return ""
    words = [*([] if classes == 10 else ["--classes", classes]), *([] if side == INPUT[1] else ["--size", side]),
             *(["--colour"] if channels == 3 else [])]
    return f"; show the layers: {command('table', model, *words)}" if named == started.layers else ""


def command(*words: object) -> str:
    """A command line of this program; if `mnist-ops` is not on the path, as it was called: .venv/bin/mnist-ops."""
    program = sys.argv[0]
    if Path(program).name != "mnist-ops" or shutil.which("mnist-ops"):
        program = "mnist-ops"
    return shlex.join([program, *map(str, words)])


def range_text(found: "RangeTest") -> str:
    """The suggestions, the one used, and the resulting peak rate."""
    lines = [f"{'Suggestion':<12}{'Rate':>10}{'Loss':>10}"]
    for name, suggestion in found.suggestions.items():
        mark = "  used" if name == found.used else ""
        lines.append(f"{name:<12}{suggestion.rate:>10.4g}{suggestion.loss:>10.4f}{mark}")
    if found.stopped_at is not None:
        lines.append(f"Stopped early: the loss diverged at rate {found.stopped_at:.4g}.")
    lines.append(f"Peak learning rate {found.lr:.4g}")
    return "\n".join(lines)


def epoch_line(row: Row, epochs: int, verdict: str) -> str:
    """An epoch in one line: losses, accuracies, last learning rate, seconds of training, and a verdict."""
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    parts += [f"{part} loss {row[f'{part}_loss']:.4f} accuracy {row[f'{part}_accuracy']:.2f} %"
              for part in ("train", "validation", "test") if f"{part}_loss" in row]
    return "  ".join([*parts, f"lr {row['last_lr']:.4g}", f"{row['seconds']:.1f} s", *filter(None, [verdict])])


def result_text(summary: Row, history: Sequence[Row], started: "Started") -> str:
    """The highest accuracies, the reported accuracy with its interval and the target, and the run folder."""
    highest = [f"Highest {part} accuracy {best[f'{part}_accuracy']:.2f} % (epoch {best['epoch']})"
               for part in ("train", "test")
               if (rows := [row for row in history if f"{part}_accuracy" in row])
               and (best := max(rows, key=lambda row: row[f"{part}_accuracy"]))]
    accuracy, target = summary["test_accuracy"], started.config.target
    against = [f"Target {target:g} % {'' if accuracy >= target else 'not '}reached"] if target else []
    return "\n".join([
        *highest,
        f"Result (epoch {summary['reported_epoch']}): {accuracy:.2f} % test accuracy, "
        f"{interval_text(summary['interval'])}",
        *balance_text(summary),
        *against,
        f"{summary['test_images']:,} test images of {summary['dataset']}, {summary['parameters']:,} parameters, "
        f"{counted(summary['epochs'], 'epoch')}, {summary['train_seconds']:.1f} s of training",
        f"Run folder {started.path}",
    ])


def next_text(path: Path, page: Path | None, digits: bool, data_dir: Path | None) -> str:
    """What to do next with a finished run, one command per line; page: its report, if it has one."""
    opener = {"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open")
    report = command("report", path, *_data_words(data_dir))
    if page is not None:
        report = shlex.join([opener, str(page)]) if shutil.which(opener) else str(page)
    demo, picture = ("draw in the demo", "my-digit.png") if digits else ("open the demo", "my-picture.png")
    return "\n".join(["Next", f"  {'open' if page else 'make'} the report   {report}",
                      f"  {demo:<16}  {command('demo', path)}",
                      f"  read a picture    {command('predict', path, picture)}"])


def _data_words(data_dir: Path | None) -> list[object]:
    """The folder of the named datasets, for a command that needs it: a variable set by make is gone afterwards."""
    from mnist_ops.data.files import VARIABLE

    place = data_dir or os.environ.get(VARIABLE)
    return ["--data-dir", place] if place else []


def balance_text(found: Row) -> list[str]:
    """The accuracy of each class, the lowest first, where the tested classes are of very different size, from what
    `score.metrics.by_class` gives; nothing in an older summary."""
    from mnist_ops.score.metrics import unequal

    classes = sorted((one for one in found.get("classes", []) if one["images"]), key=lambda one: float(one["accuracy"]))
    if not unequal([one["images"] for one in classes]):
        return []
    each = [f"{legible(one['class'])} {one['accuracy']:.1f} % of {one['images']:,}" for one in classes[:SHOWN]]
    more = f", and {len(classes) - SHOWN} classes more" if len(classes) > SHOWN else ""
    return [f"Balanced accuracy {found['balanced_accuracy']:.2f} %, the mean over the classes: {', '.join(each)}{more}"]


def interval_text(interval: Sequence[float]) -> str:
    """95 % interval of an accuracy in percent."""
    return f"95 % interval {interval[0]:.2f} to {interval[1]:.2f} %"


def interrupted_text(path: Path, data_dir: Path | None) -> str:
    """What Ctrl-C or SIGTERM has left of the run in `path`, and how to continue."""
    if not (path / CONFIG).exists():
        return "stopped before anything was saved"
    if (path / SUMMARY).exists():
        missing = command("report", path, *_data_words(data_dir))
        return f"stopped; the run in {path} is complete except for its report: {missing}"
    done = len(read_history(path)) if (path / CHECKPOINT).exists() else 0
    go_on = command("train", "--out", path, "--resume", *_data_words(data_dir))
    return f"stopped; {path} is intact, with {counted(done, 'finished epoch')}. Continue with\n  {go_on}"


def seed_text(result: "SeedDone | SeedFailed") -> str:
    """One run of a sweep in one line."""
    from mnist_ops.sweeps.seeds import SeedFailed

    if isinstance(result, SeedFailed):
        return f"seed {result.seed:>3}  failed: {result.message.splitlines()[-1]}"
    return f"seed {result.seed:>3}  {run_text(result.summary)}{'  (kept)' if result.reused else ''}"


def run_text(run: Row) -> str:
    """A run's accuracies, peak learning rate and seconds of training."""
    parts = [f"{part} {run[f'{part}_accuracy']:.2f} %" for part in ("validation", "test") if f"{part}_accuracy" in run]
    return "  ".join([*parts, f"lr {run['peak_lr']:.4g}", f"{run['train_seconds']:.0f} s"])


def spread_text(results: Row) -> str:
    """Every run by its seed, then mean, SD, interval and n of the validation and test accuracy, in percent."""
    lines = [f"seed {run['seed']:>3}  {run_text(run)}" for run in results["runs"]]
    for part in ("validation", "test"):
        if found := results.get(part):
            text = f"{part} accuracy: mean {found['mean']:.3f} % of n = {found['n']}"
            if found["sd"] is not None:
                low, high = found["interval"]
                text += f", SD {found['sd']:.3f}, 95 % interval {low:.3f} to {high:.3f}"
            lines.append(text)
    return "\n".join(lines)


def search_text(plan: "Plan", folder: Path, total: int, jobs: int) -> str:
    """The plan of a search."""
    space, config = plan.space, plan.config
    varied = [*space.fields, *(["the network"] if space.architectures else [])]
    return (f"Study {plan.name}: {total:,} trials of {config.recipe} on {config.data}, {jobs} at a time here on "
            f"{counted(config.threads, 'thread')} each, into {folder}\n"
            f"Searching {', '.join(varied)}; objectives {', '.join(space.objectives)} on the last "
            f"{config.validation:,} training images")


def trial_text(trial: Row) -> str:
    """A trial of a search in one line."""
    parts = [f"trial {trial['trial']:>4}  {trial['state']}"]
    if "accuracy" in trial:
        parts.append(f"validation {trial['accuracy']:.2f} %")
    if "parameters" in trial:
        parts.append(f"{trial['parameters']:,} parameters")
    if trial["state"] == "pruned":
        parts.append(f"after {counted(trial['epochs'], 'epoch')}")
    if "error" in trial:
        parts.append(trial["error"])
    parts.append(f"{trial['seconds']:.0f} s")
    return "  ".join(parts)


def chosen_text(results: Row) -> str:
    """The number of trials, and the chosen ones with their reported accuracy."""
    done = results["trials"]
    lines = [f"{done['done']:,} trials: {done['trained']:,} complete, {done['pruned']:,} pruned, "
             f"{done['failed']:,} failed; {done['lost']:,} lost and repeated"]
    for row in results["chosen"]:
        tested = f"its weights are on {row['trained_by']}; run the same command there for its test accuracy"
        if row["test_accuracy"] is not None:
            tested = f"test {row['test_accuracy']:.2f} %, {interval_text(row['interval'])}"
        lines.append(f"Chosen: trial {row['trial']}  validation {row['validation_accuracy']:.2f} %  "
                     f"{row['parameters']:,} parameters  {row['macs']:,} multiply-adds  {tested}")
        lines.append("  " + ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                                      for name, value in row["params"].items()))
        if row["run"]:
            lines.append(f"  run {row['run']}")
    if not results["chosen"]:
        lines.append("No trial was completed, so none is chosen.")
    return "\n".join(lines)
