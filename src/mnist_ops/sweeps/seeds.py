"""Runs of one recipe on many seeds, each in a process -> one table."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mnist_ops.config import Config
from mnist_ops.disk import PART, make_folder
from mnist_ops.errors import MnistOpsError, RunError, UsageError
from mnist_ops.mapping import differences
from mnist_ops.parallel.children import WRONG_USE, Children, Said, with_threads
from mnist_ops.run.folder import CONFIG, SUMMARY, read_config, settle_config, write_json
from mnist_ops.run.summary import checked_summary
from mnist_ops.score.statistics import spread_of_accuracies

PER_RUN = ("seed", "test_accuracy", "validation_accuracy", "peak_lr", "train_seconds")
RESULTS = "results.json"
ABREAST = "abreast"  # marker in a sweep's folder whose runs were interleaved in one process
ATTEMPTS = 2  # per run


@dataclass(frozen=True)
class SeedDone:
    """A finished run and its summary; `reused` if it existed already, `retried`: why it was restarted."""

    seed: int
    summary: dict[str, Any]
    reused: bool
    retried: str | None = None


@dataclass(frozen=True)
class SeedFailed:
    """A run that was killed or failed in each of `attempts`, with its last message."""

    seed: int
    message: str
    attempts: int = 1


def begin(folder: Path, config: Config, *, keep_threads: bool = True) -> Config:
    """Create the sweep's folder, or continue in it; -> the config of its runs except the seed, its config.json.

    `config` is resolved; with keep_threads, a continued sweep keeps its own threads. Each run is evaluated on the test
    set once. Raises UsageError, naming the fields, if the folder has another sweep."""
    if keep_threads and (folder / CONFIG).exists():
        config = replace(config, threads=read_config(folder).threads)
    config = replace(config, test_every=0, seed=0)
    make_folder(folder)
    if not (folder / CONFIG).exists() and any(not PART.fullmatch(path.name) for path in folder.iterdir()):
        raise UsageError(f"{folder}: has content but no {CONFIG} of a sweep; choose another folder with --out")
    settle_config(folder, config, resume=True)
    return config


def run_seeds(folder: Path, seeds: Sequence[int], jobs: int,
              data_dir: Path | None = None) -> Generator[SeedDone | SeedFailed, None, None]:
    """Train the config of `folder` once per seed, into `folder`/s<seed>, `jobs` at a time; yield each as it ends.

    A finished run is kept, a stopped one is continued, and one that was killed or failed is restarted once, while the
    others continue. Closing this generator, or a signal within it, ends all processes."""
    place = [] if data_dir is None else ["--data-dir", str(data_dir)]
    failures: dict[int, list[str]] = {}

    def begin_run(seed: int) -> None:
        children.start(seed, ["train", "--config", str(folder / CONFIG), "--seed", str(seed), "--out",
                              str(folder / f"s{seed}"), "--resume", "--no-report", "--json", *place])

    with Children(jobs, with_threads(read_config(folder).threads)) as children:
        for seed in seeds:
            if (folder / f"s{seed}" / SUMMARY).exists():
                yield finished(folder, seed, reused=True)
            else:
                failures[seed] = []
                begin_run(seed)
        for event in children.events():
            if isinstance(event, Said):
                continue
            seed, reasons = event.task, failures[event.task]
            # A process of an earlier command, which was killed, may have gone on and finished the run meanwhile.
            if event.code == 0 or (folder / f"s{seed}" / SUMMARY).exists():
                yield finished(folder, seed, retried=reasons[0] if reasons else None)
                continue
            reasons.append(event.reason)
            if len(reasons) == ATTEMPTS or event.code == WRONG_USE:  # a retry would not help
                yield SeedFailed(seed, event.reason, len(reasons))
            else:
                begin_run(seed)


def finished(folder: Path, seed: int, *, reused: bool = False, retried: str | None = None) -> SeedDone | SeedFailed:
    """The finished run of a seed. It counts if its config is the sweep's and its folder is consistent."""
    path = folder / f"s{seed}"
    try:
        others = [f"{name} is {found!r}, in the sweep {expected!r}" for name, expected, found
                  in differences(replace(read_config(folder), seed=seed), read_config(path))]
        if others:
            raise RunError(f"{path}: not a run of this sweep ({'; '.join(others)})")
        return SeedDone(seed, checked_summary(path), reused, retried)
    except MnistOpsError as error:
        return SeedFailed(seed, f"{error}. Remove {path}, and run the same command to train that seed again")


def table(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All runs with their accuracies in percent, mean, SD and 95 % interval of the test accuracy, and n.

    If all runs have a validation set, the same for its accuracy."""
    ordered = sorted(summaries, key=lambda summary: summary["seed"])
    result: dict[str, Any] = {"runs": [{key: summary[key] for key in PER_RUN if key in summary} for summary in ordered]}
    for part in ("test", "validation"):
        values = [summary[f"{part}_accuracy"] for summary in ordered if f"{part}_accuracy" in summary]
        if len(values) == len(ordered) and values:
            result[part] = asdict(spread_of_accuracies(values))
    return result


def write_results(folder: Path, summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Write results.json: recipe, dataset and the `table`. -> its content."""
    results = {"recipe": summaries[0]["recipe"], "dataset": summaries[0]["dataset"], **table(summaries)}
    write_json(folder / RESULTS, results)
    return results
