"""mnist-ops records: list the records, or verify one by training some of its seeds again."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mnist_ops.arch.table import aligned
from mnist_ops.cli.output import log, show, show_json
from mnist_ops.cli.recipes import packaged_records
from mnist_ops.cli.settings import Json, Whole
from mnist_ops.cli.wording import command
from mnist_ops.config import recipe
from mnist_ops.errors import RunError, UsageError, hint
from mnist_ops.run.folder import RUNS

SEEDS = 3  # that a record is verified by


def records(
    *,
    verify: Annotated[str | None, Parameter(metavar="RECIPE")] = None,
    seeds: Whole | None = None,
    jobs: Whole | None = None,
    data_dir: Path | None = None,
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """List the records: test accuracy of each recipe over its seeds, and what made it. Or verify one of them.

    To verify a record, its first seeds are trained again, and each is evaluated on the test set once. The record holds
    if their mean is not below the 95 % prediction interval, where the mean of so many new runs would lie if nothing but
    chance differed. If it is below, the exit code is 1. Run the same command again to continue after a stop.

    Parameters
    ----------
    verify
        Recipe whose record is verified.
    seeds
        Number of seeds, 0 and up, at most as many as the record has [runs; default: 3].
    jobs
        Runs in parallel, each on its share of the cores [processes; default: one per core, 1 on a GPU].
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    out
        Folder for the runs [default: runs/verify-RECIPE].
    as_json
        Print one JSON object: the records; or the record, the runs, their mean, the interval, and whether it holds.
    """
    found = packaged_records()
    if verify is not None:
        return _verify(verify, found, seeds=SEEDS if seeds is None else seeds, jobs=jobs, data_dir=data_dir, out=out,
                       as_json=as_json)
    if given := [name for name, value in (("--seeds", seeds), ("--jobs", jobs), ("--data-dir", data_dir),
                                          ("--out", out)) if value is not None]:
        raise UsageError(f"{' '.join(given)}: needs --verify RECIPE")
    if as_json:
        return show_json({"records": found})
    cells = [("Recipe", "Data", "Accuracy", "SD", "n", "95 % interval", "Commit")]
    cells += [(name, one["dataset"], f"{one['mean']:.3f} %", f"{one['sd']:.3f}", str(one["n"]),
               "{:.3f} to {:.3f}".format(*one["interval"]), one["commit"][:10]) for name, one in found.items()]
    show("\n".join(f"{line}  {engine}" for line, engine in zip(
        aligned(cells), ("Made with", *map(_made_with, found.values())), strict=True)))
    show("\nMean, SD and interval are over n seeds, on the test set. Verify one on this machine: "
         "mnist-ops records --verify RECIPE")


def _made_with(one: dict[str, Any]) -> str:
    steps = "PyTorch's steps" if one["engine"] == "pytorch" else f"compiled steps, {one['engine']}"
    return f"{steps}, {one['device']}, {one['machine']}, torch {one['torch']}"


def _verify(name: str, found: dict[str, Any], *, seeds: int, jobs: int | None, data_dir: Path | None,
            out: Path | None, as_json: bool) -> None:
    from mnist_ops.cli.sweep import train_seeds
    from mnist_ops.sweeps.records import agreement

    config = recipe(name)
    if config.recipe not in found:
        raise UsageError(f"--verify {name}: has no record; {hint(name, found)}")
    record = found[config.recipe]
    if not 1 <= seeds <= record["n"]:
        raise UsageError(f"--seeds {seeds}: expected 1 to {record['n']}, the record's number of seeds")
    folder = out or RUNS / f"verify-{config.recipe}"
    if not as_json:
        log(f"Record: mean {record['mean']:.3f} % of n = {record['n']}, SD {record['sd']:.3f}, on {record['dataset']}; "
            f"{_made_with(record)}")
    runs = train_seeds(config, range(seeds), folder, jobs=jobs, data_dir=data_dir, abreast=False, shown=not as_json)
    if runs[0]["dataset"] != record["dataset"]:
        raise RunError(f"{folder}: the runs are on {runs[0]['dataset']}, the record on {record['dataset']}; get the "
                       f"data by {command('data', record['dataset'], '--fetch')}, and use another --out")
    told = agreement(record, [run["test_accuracy"] for run in sorted(runs, key=lambda run: int(run["seed"]))])
    if as_json:
        show_json({"recipe": config.recipe, "record": record, "folder": str(folder), **told,
                   "runs": [{key: run[key] for key in ("seed", "test_accuracy", "train_seconds", "engine")}
                            for run in runs]})
    else:
        log("Here: mean {:.3f} % of n = {}; by chance alone it would lie in {:.3f} to {:.3f} %{}".format(
            told["mean"], told["n"], *told["expected"], "; every run is the record's" * told["equal"]))
    if not told["holds"]:
        raise RunError(f"the record of {config.recipe} does not hold here: the mean is below {told['expected'][0]:.3f} "
                       f"%; docs/records.md says what a record depends on")
    if not as_json:
        log(f"The record of {config.recipe} holds on this machine.")
