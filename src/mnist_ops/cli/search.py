"""mnist-ops sweep RECIPE --search: search settings and networks, and the worker processes for it."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import log, show, show_json, warn
from mnist_ops.cli.settings import Whole
from mnist_ops.cli.stopping import leaving
from mnist_ops.cli.wording import chosen_text, search_text, trial_text
from mnist_ops.config import Config
from mnist_ops.errors import MnistOpsError, UsageError, brief
from mnist_ops.run.folder import RUNS
from mnist_ops.settings_file import read_file

if TYPE_CHECKING:
    from optuna import Study

    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.search.space import Space
    from mnist_ops.search.study import Plan

TRIALS, HEARTBEAT, SEED = 100, 30, 100  # defaults
MOST_TRIALS = 1_000_000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Searching:
    """The flags of `sweep` for a search.

    Parameters
    ----------
    search
        Search the ranges, choices and networks in this TOML file with Optuna; docs/scaling.md lists the fields.
    trials
        Minimum number of trials, over all machines that join the search [runs; default: 100].
    storage
        Database that several machines share, e.g. postgresql://USER@HOST/DATABASE. If it contains a password, set
        $MNIST_OPS_STORAGE instead, which other users cannot see [default: $MNIST_OPS_STORAGE, then a journal file in
        the study's folder].
    study
        Name of the study; machines with the same name work together [default: RECIPE-SPACE].
    heartbeat
        Interval of each trial's heartbeat in a database; after three missed ones the trial is taken over [seconds;
        default: 30].
    """

    search: Path | None = None
    trials: Whole | None = None
    storage: str | None = None
    study: str | None = None
    heartbeat: Whole | None = None


@dataclass(frozen=True)
class SweepOptions:
    """The options of `sweep` that a search uses too; None: not given."""

    jobs: int | None
    seed: int | None
    data_dir: Path | None
    out: Path | None


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is stored, and its heartbeat interval."""

    folder: Path
    url: str | None  # of a database; None: a journal in the folder
    heartbeat: int  # seconds

    @contextlib.contextmanager
    def opened(self, plan: "Plan", patience: float = 0) -> "Iterator[Study]":
        """The study, created if needed. `patience` as in `open_storage`. Raises as that and `join`."""
        from mnist_ops.search.storage import open_storage
        from mnist_ops.search.study import join

        with contextlib.closing(open_storage(self.folder, self.url, self.heartbeat,
                                             patience=patience)) as storage:
            yield join(plan, storage, self.url)


def carry_out(config: Config, ask: Searching, options: SweepOptions, *, as_json: bool) -> None:
    """Join the study of the file's space over `config`, work on it until it is done, and show what was chosen."""
    from mnist_ops.search.space import read_space
    from mnist_ops.search.storage import VARIABLE, import_optuna
    from mnist_ops.search.study import save

    total = TRIALS if ask.trials is None else ask.trials
    heartbeat = HEARTBEAT if ask.heartbeat is None else ask.heartbeat
    few = min(total, heartbeat, 1 if options.jobs is None else options.jobs) < 1
    if few or total > MOST_TRIALS or not 0 <= (options.seed or 0) < 2**62:
        given = {"trials": ask.trials, "jobs": options.jobs, "heartbeat": ask.heartbeat, "first-seed": options.seed}
        told = " ".join(f"--{name} {brief(value)}" for name, value in given.items())
        raise UsageError(f"{told}: expected integers of at least 1, at most {MOST_TRIALS:,} trials, and a seed of at "
                         "least 0")
    config = replace(config, seed=SEED if options.seed is None else options.seed)
    path = ask.search
    assert path is not None
    data = read_file(path, "--search", "search space")
    import_optuna()  # early, to fail before the slow work if it is missing
    name = ask.study or f"{config.recipe}-{path.stem}"
    place = StudyPlace(options.out or RUNS / f"search-{Path(name).name}",
                       ask.storage or os.environ.get(VARIABLE) or None, heartbeat)
    read_space(data, config, str(path))  # before the images, so errors come at once
    plan, source, jobs = _plan(name, config, options, lambda settled: read_space(data, settled, str(path)))
    with place.opened(plan):
        save(place.folder, plan, place.url)
    if not as_json:
        log(search_text(plan, place.folder, total, jobs))
    _work(place, jobs, total, options.data_dir, shown=not as_json)
    _conclude(plan, source, place, as_json=as_json)


def _plan(name: str, config: Config, options: SweepOptions,
          space: "Callable[[Config], Space]") -> "tuple[Plan, ImageDataset, int]":
    """The study with this machine's threads, its data, and the number of worker processes."""
    from mnist_ops.device import share_out
    from mnist_ops.search.study import plan
    from mnist_ops.settle import cautions, settle

    source = read_source(config, options.data_dir)
    for text in cautions(config, source):
        warn(text)
    config, jobs = share_out(config, options.jobs, MOST_TRIALS)
    config = settle(config, source)
    return plan(name, config, source, space(config)), source, jobs


def _work(place: StudyPlace, jobs: int, total: int, data_dir: Path | None, *, shown: bool) -> None:
    """Run the workers, showing each finished trial."""
    from mnist_ops.search.workers import WorkerLost, run_workers

    words = ["--trials", str(total), "--heartbeat", str(place.heartbeat)]
    words += [] if data_dir is None else ["--data-dir", str(data_dir)]
    kinds: Counter[str] = Counter()
    with leaving(lambda: f"stopped; {place.folder} is intact. Run the same command to continue the study."), \
            contextlib.closing(run_workers(place.folder, place.url, jobs, words)) as running:
        for event in running:
            if isinstance(event, WorkerLost):
                warn(f"a worker died and was replaced; its trial is queued again: {event.reason}")
                continue
            kinds[event.trial["state"]] += 1
            if shown and event.trial["state"] != "infeasible":
                log(trial_text(event.trial))
    if shown and kinds["infeasible"]:
        log(f"{kinds['infeasible']:,} sampled networks exceeded the budget and were not trained")


def _conclude(plan: "Plan", source: "ImageDataset", place: StudyPlace, *, as_json: bool) -> None:
    """Evaluate the chosen trials on the test set; show them, with a picture."""
    from mnist_ops.report.style import write_picture
    from mnist_ops.report.sweep_charts import FRONT_PICTURE, draw_front
    from mnist_ops.search.choice import RESULTS, conclude, trained
    from mnist_ops.search.storage import RESTART

    folder = place.folder
    with place.opened(plan, RESTART) as study:
        results, trials = conclude(plan, source, folder, study), trained(study)
    chosen = [row["trial"] for row in results["chosen"]]
    picture = None if not chosen else write_picture(
        folder / FRONT_PICTURE, lambda: draw_front(trials, chosen, plan.space.objectives))
    if as_json:
        show_json({**results, "folder": str(folder)})
        return
    log(chosen_text(results))
    log(", ".join([f"Written {folder / RESULTS}", *([str(picture)] if picture else [])]))


def search_worker(folder: Path, /, *, trials: Whole, heartbeat: Whole, data_dir: Path | None = None) -> None:
    """Work on a study, as a process started by `sweep --search`; prints a line of JSON per trial.

    Parameters
    ----------
    folder
        The study's folder; if its storage is a database, $MNIST_OPS_STORAGE is its URL.
    trials
        Trials of the study, over all workers [runs].
    heartbeat
        Interval of a trial's heartbeat in a database [seconds].
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    """
    import json

    for number in (signal.SIGTERM, signal.SIGINT):  # stop at once; the trial is queued again
        signal.signal(number, signal.SIG_DFL)
    from mnist_ops.search.storage import RESTART, VARIABLE, failure_of, unreachable
    from mnist_ops.search.study import load
    from mnist_ops.search.worker import work

    url = os.environ.pop(VARIABLE, None)  # child processes do not need it
    plan = load(folder)
    source = read_source(plan.config, data_dir)
    try:
        with StudyPlace(folder, url, heartbeat).opened(plan, RESTART) as study:
            for trial in work(plan, source, folder, study=study, total=trials):
                show(json.dumps(trial, allow_nan=False))
    except MnistOpsError:
        raise
    except Exception as error:
        if failure := failure_of(error):
            raise unreachable(url, failure) from None
        raise
