"""mnist-ops sweep: one recipe over many seeds, and its public record."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import AutoNumber, Flag, Json, Selection, Whole, configure
from mnist_ops.cli.wording import seed_text, spread_text
from mnist_ops.errors import RunError, UsageError

RECORDS = Path("records")


def sweep(
    recipe: str,
    /,
    *,
    seeds: Whole,
    first_seed: Whole = 0,
    jobs: Whole | None = None,
    config: Path | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    validation: Whole | None = None,
    epochs: Whole | None = None,
    batch_size: Whole | None = None,
    lr: Annotated[AutoNumber | None, Parameter(metavar="auto|RATE", show_choices=False)] = None,
    record: Flag = False,
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Train a recipe on several seeds: mean, SD and 95 % interval of its accuracy. The same command goes on where it
    was stopped and repeats nothing. The test part is looked at once for each seed, at its end.

    Parameters
    ----------
    recipe
        default (ours) or seed (the reference's network).
    seeds
        How many seeds [runs].
    first_seed
        The first of them; choices are made on seeds from 100 up, records on 0 to 9.
    jobs
        Runs at a time, each on its share of the cores [processes; default: one per core].
    config
        Settings over those of the recipe, a TOML or JSON file.
    data
        auto, mnist, fashion-mnist, kmnist, digits, or a folder with one subfolder of pictures per class.
    data_dir
        Folder that holds or receives the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    validation
        Last images of the training part to keep out of training [images; default: the recipe's, 0].
    epochs
        Passes over the training part [epochs; default: the recipe's].
    batch_size
        Images per step [images; default: the recipe's].
    lr
        Peak learning rate; auto finds one by a range test for each seed [default: the recipe's, auto].
    record
        Write records/RECIPE.json, the public record of the recipe as it is: no settings may be changed.
    out
        Folder for the runs, one subfolder per seed [default: runs/sweep-RECIPE, and the settings that are changed].
    as_json
        Print one JSON object: every run, and mean, SD, interval and n over them.
    """
    changed = {"config": config, "data": data, "validation": validation, "epochs": epochs, "batch-size": batch_size,
               "lr": lr}
    flags = [text for name, value in changed.items() if value is not None for text in (f"--{name}", str(value))]
    if record and flags:
        raise UsageError(f"--record is of the recipe as it is; leave out {' '.join(flags)}")
    if seeds < 1 or (jobs is not None and jobs < 1):
        raise UsageError(f"--seeds {seeds}, --jobs {jobs}: expected whole numbers from 1 up")
    configure(recipe, Selection(config=config, data=data, validation=validation, batch_size=batch_size),
              epochs=epochs, lr=lr)  # for its errors, before anything is made
    folder = out or Path("runs", "-".join(["sweep", recipe, *(text.strip("-").replace("/", "_") for text in flags)]))
    place = [] if data_dir is None else ["--data-dir", str(data_dir)]
    summaries = _train([recipe, *flags], place, range(first_seed, first_seed + seeds), (folder, jobs, not as_json))
    _conclude(summaries, ["sweep", recipe, *flags], record=record, as_json=as_json)


def _train(arguments: list[str], place: list[str], seeds: range,
           how: tuple[Path, int | None, bool]) -> list[dict[str, Any]]:
    """Run every seed; -> their summaries. RunError, naming the seeds, where some failed."""
    from mnist_ops.device import available_cores
    from mnist_ops.sweep import SeedDone, SeedFailed, begin, run_seeds

    folder, jobs, shown = how
    begin(folder, arguments)
    jobs = min(jobs or available_cores(), len(seeds))
    if shown:
        show(f"{len(seeds)} run{'s' * (len(seeds) != 1)}, {jobs} at a time, into {folder}")
    results: list[SeedDone | SeedFailed] = []
    warned: set[str] = set()
    for result in run_seeds([*arguments, *place], seeds, jobs, folder):
        results.append(result)
        if shown:
            show(seed_text(result))
        if isinstance(result, SeedDone) and result.warnings and result.warnings not in warned:
            warned.add(result.warnings)
            warn(result.warnings)
    failed = [f"seed {result.seed} failed: {result.message}" for result in results if isinstance(result, SeedFailed)]
    if failed:
        raise RunError("\n".join([*failed, f"The same command does only these again; the others lie in {folder}."]))
    return [result.summary for result in results if isinstance(result, SeedDone)]


def _conclude(summaries: list[dict[str, Any]], arguments: list[str], *, record: bool, as_json: bool) -> None:
    """Show mean and spread, and write the record where one is asked for."""
    from mnist_ops.sweep import record as write_record
    from mnist_ops.sweep import table

    command = shlex.join(["mnist-ops", *arguments, "--seeds", str(len(summaries)), "--record"])
    path = write_record(summaries, command, RECORDS) if record else None
    results = table(summaries)
    if as_json:
        show_json({"command": arguments, **results, "record": path and str(path)})
        return
    show(spread_text(results))
    if path:
        show(f"Record {path}")
