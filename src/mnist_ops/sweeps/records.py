"""Records: what a sweep of a recipe's thirty seeds leaves for others, and whether new runs agree with it."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_ops.config import RECIPES
from mnist_ops.device import available_cores
from mnist_ops.disk import make_folder
from mnist_ops.errors import RunError, brief
from mnist_ops.run.folder import is_number, write_json
from mnist_ops.score.statistics import Spread, mean_of_new
from mnist_ops.sweeps.seeds import table

SHARED = ("recipe", "model", "parameters", "macs", "epochs", "dataset", "device", "threads", "precision", "engine",
          "torch", "commit")
RECORD_SEEDS = range(30)


def agreement(recorded: dict[str, Any], found: Sequence[float]) -> dict[str, Any]:
    """Whether new runs, in percent from seed 0, agree with a record as the package has it.

    -> their mean; expected: where the mean of so many new runs lies in 95 % of cases, if nothing but chance differs
    (`mean_of_new`); holds: whether it lies there or above; equal: whether every run is the record's to the image."""
    low, high = mean_of_new(Spread(recorded["n"], recorded["mean"], recorded["sd"], None), len(found))
    mean = sum(found) / len(found)
    return {"mean": mean, "n": len(found), "expected": [low, min(100.0, high)], "holds": mean >= low,
            "equal": list(found) == recorded["runs"][:len(found)]}


def record(summaries: Sequence[dict[str, Any]], command: str, folder: Path) -> Path:
    """Write `folder`/<recipe>.json, the public record of a recipe: results, machine and command.

    Raises RunError if the runs are not RECORD_SEEDS on the recipe's own data, differ in anything except the seed, or
    were not made from a commit."""
    first = summaries[0]
    seeds = sorted(summary["seed"] for summary in summaries)
    data = record_data(first["recipe"])
    if seeds != list(RECORD_SEEDS) or first["dataset"] != data:
        raise RunError(f"record: found seeds {seeds} on {first['dataset']}, expected seeds 0 to {RECORD_SEEDS[-1]} on "
                       f"{data}")
    for key in SHARED:
        found = {json.dumps(summary.get(key)) for summary in summaries}
        if len(found) > 1:
            raise RunError(f"record: the runs differ in {key} ({', '.join(sorted(found))}), expected one. Sweep into "
                           "a new folder with --out.")
    check_commit(first["commit"])
    results = table(summaries)
    test = results["test"]
    path = folder / f"{first['recipe']}.json"
    make_folder(folder)
    shared = {key: first.get(key) for key in SHARED}
    write_json(path, shared | {
        "command": command, "machine": machine(), "n": test["n"], "mean": test["mean"], "sd": test["sd"],
        "interval": test["interval"], "runs": results["runs"],
    })
    return path


def check_record(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content of the record `path`. Raises RunError, naming it, if its accuracy is damaged."""
    mean, sd = content.get("mean"), content.get("sd")
    if not (is_number(content.get("n"), 1) and is_number(mean, 0, 100) and (sd is None or is_number(sd, 0, 100))
            and all(isinstance(content.get(name), str) for name in ("recipe", "dataset"))):
        found = {name: content.get(name) for name in ("n", "mean", "sd", "recipe", "dataset")}
        raise RunError(f"{path}: damaged: found {brief(found)}, expected the number n, mean and sd in percent, and the "
                       "names of recipe and dataset. Restore it, or move it away")
    return content


def record_data(recipe: str) -> str:
    """The dataset of a recipe's record: its own, in place of "auto" MNIST."""
    data = RECIPES[recipe].data
    return "mnist" if data == "auto" else data


def check_commit(found: str | None) -> None:
    """Raise RunError if the program is not at a commit that others can check out."""
    if found is None:
        raise RunError("record: this program does not run from a git checkout, or git cannot read it; expected a "
                       "commit. Clone the project, and sweep there.")
    if found.endswith("+changes"):
        raise RunError(f"record: the checkout differs from its commit {found[:12]}, expected a clean checkout. "
                       "Commit, and sweep into a new folder with --out.")


def machine() -> str:
    """The processor's architecture and the cores that this process may use."""
    return f"{platform.machine()}, {available_cores()} cores"
