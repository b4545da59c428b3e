"""summary.json, the result and cost of a run: made, read, and checked against its folder. No torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from mnist_ops.arch.arithmetic import sizes
from mnist_ops.arch.layers import Layer, from_records
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError, RunError, brief
from mnist_ops.run.folder import CONFIG, HISTORY, SUMMARY, WEIGHTS, is_number, read_config, read_history, read_json
from mnist_ops.run.weights import describe_weights, described_shape, read_weights
from mnist_ops.score.statistics import wilson
from mnist_ops.score.verdict import Row, reported_row

RENAMED = {"lr": "peak_lr", "train_accuracy": "running_train_accuracy", "figure_epoch": "reported_epoch"}  # of format 1
OF_CONFIG = ("model", "recipe", "epochs", "seed", "device", "threads", "precision")  # config.json has them too
SOMETIMES = ("validation_accuracy", "running_train_accuracy")  # accuracies that not every summary has
NUMBERS = {  # and their ranges
    "test_accuracy": (0, 100), "test_images": (1, 2**53), "parameters": (1, math.inf), "macs": (0, math.inf),
    "epochs": (1, math.inf), "seed": (0, math.inf), "train_seconds": (0, math.inf), "peak_lr": (0, math.inf),
}


def summarise(config: Config, layers: Sequence[Layer], history: Sequence[Row], *, correct: int, images: int,
              by_class: Mapping[str, Any], peak_lr: float, search_seconds: float,
              made: Mapping[str, Any]) -> dict[str, Any]:
    """The content of summary.json for a finished run of `config`, whose weights classify `correct` of `images` right.

    Accuracies are in percent; running_train_accuracy is the mean over the reported epoch during training, on augmented
    images. by_class: as `score.metrics` has it. made: the tools, such as torch, commit and processes, and the compiler
    of compiled steps as engine."""
    row = reported_row(history)
    return {
        "model": config.model, "recipe": config.recipe, "dataset": config.data, **sizes(layers, config.input_shape),
        "epochs": config.epochs, "reported_epoch": row["epoch"], "peak_lr": peak_lr, "seed": config.seed,
        **{key: row[key] for key in ("validation_accuracy",) if key in row},
        "test_accuracy": 100 * correct / images, "running_train_accuracy": row["train_accuracy"],
        "interval": list(wilson(correct, images)), "test_images": images, **by_class,
        "train_seconds": search_seconds + sum(row["seconds"] for row in history),
        "device": config.device, "threads": config.threads, "precision": config.precision,
        **made,
    }


def read_summary(path: Path) -> dict[str, Any]:
    """The summary in the file `path`, of this format or an older one.

    Raises RunError, naming the file, if it is missing or damaged, or a number is invalid or out of range."""
    content = {RENAMED.get(name, name): value for name, value in read_json(path).items()}
    wrong = [f"{name} is {brief(content.get(name))}, expected a number from {low} to {high}"
             for name, (low, high) in NUMBERS.items() if not is_number(content.get(name), low, high)]
    wrong += [f"{name} is {brief(content[name])}, expected a number from 0 to 100" for name in SOMETIMES
              if name in content and not is_number(content[name], 0, 100)]
    interval = content.get("interval")
    if not isinstance(interval, list) or len(interval) != 2 or not all(is_number(end, 0, 100) for end in interval):
        wrong.append(f"interval is {brief(interval)}, expected two numbers from 0 to 100")
    wrong += [f"{name} is {brief(content.get(name))}, expected a string" for name in ("dataset", "recipe")
              if not isinstance(content.get(name), str)]
    if wrong:
        raise RunError(f"{path}: damaged: {wrong[0]}; restore it, or train again")
    return content


def checked_summary(folder: Path) -> dict[str, Any]:
    """The summary of the run in `folder`. Raises RunError as `contradictions`, and if there are any."""
    if found := contradictions(folder):
        raise RunError(f"{folder}: {'; '.join(found)}: its accuracy is not reliable. Restore the folder, or train "
                       "again")
    return read_summary(folder / SUMMARY)


def contradictions(folder: Path) -> list[str]:
    """Contradictions within the summary of the run in `folder`, and between it and the files next to it.

    Does not evaluate the weights; `mnist-ops score` does. Raises RunError as `read_summary`, and for another damaged
    file."""
    summary = read_summary(folder / SUMMARY)
    said = [("its other numbers", _of_itself(summary))]
    if (folder / CONFIG).exists():
        config = read_config(folder)
        said.append((CONFIG, {name: getattr(config, name) for name in OF_CONFIG} | {"dataset": config.data}))
    if history := read_history(folder):
        said.append((HISTORY, _of_history(history, summary)))
    if (folder / WEIGHTS).exists():
        said.append((WEIGHTS, _of_weights(folder / WEIGHTS, summary)))
    return [f"{SUMMARY} has {name} {brief(summary[name])}, {place} {brief(value)}" for place, values in said
            for name, value in values.items() if name in summary and not _agree(summary[name], value)]


def otherwise(summary: Mapping[str, Any], correct: int, images: int) -> str | None:
    """A warning if the weights' accuracy differs from the summary's, else None."""
    stated, found = summary["test_accuracy"], 100 * correct / images
    if math.isclose(stated, found):
        return None
    return (f"{SUMMARY} states {stated:.2f} % test accuracy, but the weights now reach {found:.2f} % on the test set: "
            "the files, the data or the device have changed")


def _agree(found: Any, value: Any) -> bool:
    """Numbers may differ in their last bits on another machine."""
    if isinstance(value, list):
        return all(map(_agree, found, value))
    return math.isclose(found, value, rel_tol=1e-9) if isinstance(value, float) else bool(found == value)


def _of_itself(summary: Mapping[str, Any]) -> dict[str, Any]:
    images = int(summary["test_images"])
    correct = round(summary["test_accuracy"] * images / 100)
    return {"test_accuracy": 100 * correct / images, "interval": list(wilson(correct, images))}


def _of_history(history: Sequence[Row], summary: Mapping[str, Any]) -> dict[str, Any]:
    row = reported_row(history)
    said = {"epochs": len(history), "reported_epoch": row["epoch"], "running_train_accuracy": row["train_accuracy"],
            **{key: row[key] for key in ("validation_accuracy",) if key in row}}
    # A GPU, or another machine that finished the run, may decide ties between logits differently.
    apart = abs(summary["test_accuracy"] - row.get("test_accuracy", summary["test_accuracy"]))
    if apart > max(0.05, 100 / summary["test_images"] + 1e-9):
        said["test_accuracy"] = row["test_accuracy"]
    if (seconds := sum(row["seconds"] for row in history)) > 1.001 * summary["train_seconds"]:
        said["train_seconds"] = seconds
    return said


def _of_weights(path: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    described = describe_weights(path, read_weights(path))
    if described.get("code"):  # a network of one's own, whose layers are not known
        counts = {name: count if type(count := described.get(name)) is int else 0 for name in ("parameters", "macs")}
    else:
        try:
            counts = sizes(from_records(described.get("layers")), described_shape(described))
        except (ValueError, ConfigError) as error:
            raise RunError(f"{path}: damaged ({error}); restore it, or train again") from error
    said = {"model": described.get("model"), **counts}
    if described.get("dataset") != PurePath(summary["dataset"]).name:  # a folder's name, without its location
        said["dataset"] = described.get("dataset")
    return said
