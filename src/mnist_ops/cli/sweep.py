"""mnist-ops sweep: train a recipe on many seeds and record the result; or search, see `cli.search`."""

import contextlib
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import log, show_json, warn
from mnist_ops.cli.search import Searching, SweepOptions, carry_out
from mnist_ops.cli.settings import (
    AutoNumber,
    DataName,
    Flag,
    Json,
    ModelName,
    RecipeName,
    Selection,
    SkipDamaged,
    Whole,
    configure,
)
from mnist_ops.cli.stopping import leaving
from mnist_ops.cli.wording import seed_text, spread_text
from mnist_ops.config import Config
from mnist_ops.errors import RunError, UsageError, brief, counted
from mnist_ops.run.folder import RUNS

RECORDS = Path("records")
MOST_SEEDS = 10_000  # of one sweep
LANES = 16  # interleaved runs on a GPU


def sweep(
    recipe: RecipeName = None,
    /,
    *,
    seeds: Whole | None = None,
    searching: Searching = Searching(),  # noqa: B008 - frozen
    first_seed: Whole | None = None,
    jobs: Whole | None = None,
    abreast: Flag = False,
    config: Path | None = None,
    model: ModelName = None,
    data: DataName = None,
    data_dir: Path | None = None,
    skip_damaged: SkipDamaged = None,
    validation: Whole | None = None,
    epochs: Whole | None = None,
    batch_size: Whole | None = None,
    threads: Whole | None = None,
    lr: Annotated[AutoNumber | None, Parameter(metavar="auto|RATE", show_choices=False)] = None,
    record: Flag = False,
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Train a recipe on several seeds: mean, SD and 95 % interval of its accuracy; or search for better settings.

    Run the same command again to continue after a stop; finished runs are kept, and a run whose process is killed is
    restarted. Each run is evaluated on the test set once, at its end. With --search, settings and networks are searched
    instead of seeds; trials are chosen on the validation set, and only the chosen ones are evaluated on the test set.

    Parameters
    ----------
    seeds
        Number of seeds [runs].
    first_seed
        First seed, or the seed of all trials; use 100 and up to choose settings, records use 0 to 29 [default: 0, for
        a search 100].
    jobs
        Runs in parallel, each on its share of the cores [processes; default: one per core, 1 on a GPU].
    abreast
        Train all seeds in this process, --jobs of them interleaved step by step [default: 1, on a CUDA GPU 16]. This
        saves starting processes and lets a GPU work on several runs at once. Not for records, whose times are of
        single runs.
    config
        Settings that override the recipe's, a TOML or JSON file.
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    validation
        Images at the end of the training set to use as the validation set [images; default: the recipe's, 0; for a
        search 5000, or a fifth of a small dataset].
    epochs
        Number of epochs [epochs; default: the recipe's].
    batch_size
        Images per step [images; default: the recipe's].
    threads
        CPU threads of each run [threads; default: $OMP_NUM_THREADS, or its share of the cores].
    lr
        Peak learning rate; auto finds one with a range test for each seed [default: the recipe's, auto].
    record
        Write records/RECIPE.json, the public record of the unchanged recipe on its data; needs --seeds 30.
    out
        Folder for the runs, one subfolder per seed [default: runs/sweep-RECIPE and the changed settings], or for the
        search [default: runs/search-STUDY].
    as_json
        Print one JSON object: every run, and mean, SD, interval and n over them; for a search the chosen trials.
    """
    flags = _flags(config=config, model=model, data=data, validation=validation, epochs=epochs, batch_size=batch_size,
                   lr=lr)
    chosen = configure(recipe, Selection(config=config, model=model, data=data, skip_damaged=skip_damaged), lr=lr,
                       validation=validation, epochs=epochs, batch_size=batch_size, threads=threads)
    if searching.search is not None:
        if seeds is not None or record or abreast:
            raise UsageError("--search cannot be combined with --seeds, --record or --abreast; use them on its winner")
        return carry_out(chosen, searching, SweepOptions(jobs, first_seed, data_dir, out), as_json=as_json)
    numbers = _seeds(seeds, first_seed or 0, jobs, searching)
    folder = out or RUNS / "-".join(["sweep", chosen.recipe, *(text.strip("-").replace("/", "_") for text in flags)])
    if record:
        _check_record([*flags, *["--abreast"] * abreast], numbers, folder)
    summaries = train_seeds(chosen, numbers, folder, jobs=jobs, data_dir=data_dir, abreast=abreast, shown=not as_json)
    counts = _flags(seeds=seeds, jobs=jobs, threads=threads)
    _conclude(summaries, ["mnist-ops", "sweep", chosen.recipe, *counts, "--record"] * record, folder, as_json=as_json)


def _flags(**values: object) -> list[str]:
    """The given flags, as words of a command line."""
    return [text for name, value in values.items() if value is not None
            for text in (f"--{name.replace('_', '-')}", str(value))]


def _seeds(seeds: int | None, first_seed: int, jobs: int | None, searching: Searching) -> range:
    """The requested seeds. Raises UsageError if there are none or too many, or options of a search."""
    if seeds is None or searching != Searching():
        given = " ".join(f"--{name}" for name, value in vars(searching).items() if value is not None)
        raise UsageError(f"{given or 'sweep'}: expected --seeds N, or --search SPACE.toml and its options")
    if not 1 <= seeds <= MOST_SEEDS or not 0 <= first_seed < 2**62 or (jobs is not None and jobs < 1):
        given = "" if jobs is None else f" --jobs {jobs}"
        raise UsageError(f"--seeds {brief(seeds)}{given} --first-seed {brief(first_seed)}: expected integers of at "
                         f"least 1, at most {MOST_SEEDS:,} seeds, and a first seed of at least 0")
    return range(first_seed, first_seed + seeds)


def _check_record(flags: list[str], seeds: range, folder: Path) -> None:
    """Refuse before training what cannot become a record, such as interleaved runs, whose times do not count."""
    from mnist_ops.run.provenance import commit
    from mnist_ops.sweeps.records import RECORD_SEEDS, check_commit
    from mnist_ops.sweeps.seeds import ABREAST

    if flags or seeds != RECORD_SEEDS:
        raise UsageError(f"--record needs the unchanged recipe on seeds 0 to {RECORD_SEEDS[-1]}; found "
                         f"{' '.join(flags) or 'no changed setting'} and seeds {seeds.start} to {seeds.stop - 1}")
    check_commit(commit())
    if (folder / ABREAST).exists():
        raise UsageError(f"--record: runs in {folder} were interleaved in one process (--abreast), so their times are "
                         "not those of single runs; choose another folder with --out")


def train_seeds(config: Config, seeds: range, folder: Path, *, jobs: int | None, data_dir: Path | None, abreast: bool,
           shown: bool) -> list[dict[str, Any]]:
    """Run every seed; -> their summaries. Raises RunError, naming the seeds, if some failed."""
    from mnist_ops.device import share_out
    from mnist_ops.settle import cautions, settle
    from mnist_ops.sweeps.in_one_process import run_abreast
    from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin, run_seeds

    source = read_source(config, data_dir)  # here, to download and warn once
    for text in cautions(config, source):
        warn(text)
    shared, lanes = share_out(config, 1 if abreast else jobs, len(seeds))
    if abreast:
        lanes = min(jobs or (LANES if shared.device == "cuda" else 1), len(seeds))
    config = begin(folder, settle(shared, source), keep_threads=not config.threads)
    if shown:
        log(f"{config.recipe} on {source.name}: {counted(len(seeds), 'run')}, {lanes} at a time"
            f"{' in this process' * abreast} on {counted(config.threads, 'thread')} each, into {folder}")
    results: list[SeedDone | SeedFailed] = []
    runs = run_abreast(folder, seeds, lanes, source, read=lambda seed: read_source(
        replace(config, seed=seed), data_dir)) if abreast else run_seeds(folder, seeds, lanes, data_dir)
    with leaving(lambda: f"stopped; {folder} is intact. Run the same command to continue; finished runs are kept."), \
            contextlib.closing(runs) as running:
        for result in running:
            results.append(result)
            if isinstance(result, SeedDone) and result.retried:
                warn(f"seed {result.seed} finished on the second attempt; the first: {result.retried}")
            if shown:
                log(seed_text(result))
    failed = [f"seed {result.seed} failed{' twice' * (result.attempts > 1)}: {result.message}" for result in results
              if isinstance(result, SeedFailed)]
    if failed:
        raise RunError("\n".join([*failed, f"Run the same command to repeat only these; the others are in {folder}."]))
    return [result.summary for result in results if isinstance(result, SeedDone)]


def _conclude(summaries: list[dict[str, Any]], record_command: list[str], folder: Path, *, as_json: bool) -> None:
    """Show and write mean and spread, with their picture, and the record, made by that command, if one is wanted."""
    from mnist_ops.report.style import write_picture
    from mnist_ops.report.sweep_charts import SEEDS_PICTURE, draw_seeds
    from mnist_ops.sweeps.records import record
    from mnist_ops.sweeps.seeds import RESULTS, write_results

    path = record(summaries, shlex.join(record_command), RECORDS) if record_command else None
    results = write_results(folder, summaries)
    picture = write_picture(folder / SEEDS_PICTURE, lambda: draw_seeds(results))
    if as_json:
        show_json({**results, "folder": str(folder), "record": path and str(path)})
        return
    log(spread_text(results))
    log(f"Written {folder / RESULTS}, {picture}")
    if path:
        log(f"Record {path}")
