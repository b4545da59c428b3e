"""mnist-ops sweep RECIPE --search: a study of settings and networks, and the processes that work on it."""

import contextlib
import os
import signal
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import log, show, show_json, warn
from mnist_ops.cli.settings import MOST_BYTES, Whole
from mnist_ops.cli.stopping import leaving
from mnist_ops.cli.wording import chosen_text, search_text, trial_text
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError, UsageError, brief

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.search.study import Plan

TRIALS, HEARTBEAT, SEED = 100, 30, 100  # where nothing else is asked for
MOST_TRIALS = 1_000_000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Searching:
    """The flags of `sweep` that belong to a search alone.

    Parameters
    ----------
    search
        Search over the ranges, choices and networks of this TOML file (docs/scaling.md has the fields), by Optuna.
    trials
        Trials of the search, over all machines that join it [runs; default: 100].
    storage
        Database that many machines share, such as postgresql://USER@HOST/DATABASE; where a password stands in it, set
        $MNIST_OPS_STORAGE instead, which other users cannot see [default: $MNIST_OPS_STORAGE, then a journal file in
        the study's folder].
    study
        Name of the study, by which machines find one another [default: RECIPE-SPACE].
    heartbeat
        Signs of life of each trial in a database; one whose worker has missed three is taken over [seconds;
        default: 30].
    """

    search: Path | None = None
    trials: Whole | None = None
    storage: str | None = None
    study: str | None = None
    heartbeat: Whole | None = None


@dataclass(frozen=True)
class SweepOptions:
    """Where and how a search is carried out here, as `sweep` was told; None: not given."""

    jobs: int | None
    seed: int | None
    data_dir: Path | None
    out: Path | None


def carry_out(config: Config, ask: Searching, place: SweepOptions, *, as_json: bool) -> None:
    """Join the study of the space in the file over `config`, work on it until it is done, show what was chosen."""
    from mnist_ops.search.storage import VARIABLE, import_optuna

    total = TRIALS if ask.trials is None else ask.trials
    heartbeat = HEARTBEAT if ask.heartbeat is None else ask.heartbeat
    few = min(total, heartbeat, 1 if place.jobs is None else place.jobs) < 1
    if few or total > MOST_TRIALS or not 0 <= (place.seed or 0) < 2**62:
        raise UsageError(f"--trials {brief(ask.trials)} --jobs {brief(place.jobs)} --heartbeat {brief(ask.heartbeat)} "
                         f"--first-seed {brief(place.seed)}: expected whole numbers from 1 up, at most {MOST_TRIALS:,} "
                         "trials, and a seed from 0 up")
    config = replace(config, seed=SEED if place.seed is None else place.seed)
    path = ask.search
    assert path is not None
    data = _read_toml(path)
    url = ask.storage or os.environ.get(VARIABLE) or None
    import_optuna()  # here, so that it is not found missing only when all the rest is done
    name = ask.study or f"{config.recipe}-{path.stem}"
    folder = place.out or Path("runs", f"search-{Path(name).name}")
    plan, source, jobs = _plan(config, data, (path, name), place)
    _begin(plan, folder, url, heartbeat)
    if not as_json:
        log(search_text(plan, folder, total, jobs))
    options = ["--trials", str(total), "--heartbeat", str(heartbeat)]
    _work(folder, url, jobs, [*options, *([] if place.data_dir is None else ["--data-dir", str(place.data_dir)])],
          shown=not as_json)
    _conclude(plan, source, folder, (url, heartbeat), as_json=as_json)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ConfigError(f"{path}: has more than {MOST_BYTES:,} bytes; it is no search space")
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path of --search") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _plan(config: Config, data: dict[str, Any], named: tuple[Path, str],
          place: SweepOptions) -> "tuple[Plan, ImageDataset, int]":
    """The study with this machine's threads, its data, and how many processes work on it here."""
    from mnist_ops.search.space import read_space

    path, name = named
    read_space(data, config, str(path))  # before the data, so that what is wrong is said at once
    from mnist_ops.device import share_out
    from mnist_ops.experiment import cautions, settle
    from mnist_ops.search.study import plan

    source = read_source(config, place.data_dir)
    for text in cautions(config, source):
        warn(text)
    config, jobs = share_out(config, place.jobs, MOST_TRIALS)
    config = settle(config, source)
    return plan(name, config, source, read_space(data, config, str(path))), source, jobs


def _begin(plan: "Plan", folder: Path, url: str | None, heartbeat: int) -> None:
    """Agree with the storage and the folder on what the study is."""
    from mnist_ops.search.storage import open_storage
    from mnist_ops.search.study import join, save

    with contextlib.closing(open_storage(folder, url, heartbeat)) as storage:
        join(plan, storage, url)
    save(folder, plan, url)


def _work(folder: Path, url: str | None, jobs: int, options: list[str], *, shown: bool) -> None:
    """Run the workers, showing every trial that they end."""
    from mnist_ops.search.workers import WorkerLost, run_workers

    kinds: Counter[str] = Counter()
    with leaving(lambda: f"stopped; {folder} is whole. The same command goes on with the study."), \
            contextlib.closing(run_workers(folder, url, jobs, options)) as running:
        for event in running:
            if isinstance(event, WorkerLost):
                warn(f"a worker was lost and is replaced, its trial queued again: {event.reason}")
                continue
            kinds[event.trial["state"]] += 1
            if shown and event.trial["state"] != "infeasible":
                log(trial_text(event.trial))
    if shown and kinds["infeasible"]:
        log(f"{kinds['infeasible']:,} networks past the budget were drawn too, and not trained")


def _conclude(plan: "Plan", source: "ImageDataset", folder: Path, how: tuple[str | None, int], *,
              as_json: bool) -> None:
    """Look at the test part for what was chosen; show it, with its picture."""
    from mnist_ops.report.sweep_charts import FRONT_PICTURE, write_front
    from mnist_ops.search.choice import RESULTS, conclude, trained
    from mnist_ops.search.storage import open_storage
    from mnist_ops.search.study import join

    with contextlib.closing(open_storage(folder, *how)) as storage:
        study = join(plan, storage, how[0])
        results, trials = conclude(plan, source, folder, study), trained(study)
    chosen = [row["trial"] for row in results["chosen"]]
    picture = write_front(folder / FRONT_PICTURE, trials, chosen, plan.space.objectives) if chosen else None
    if as_json:
        show_json({**results, "folder": str(folder)})
        return
    log(chosen_text(results))
    log(", ".join([f"Written {folder / RESULTS}", *([str(picture)] if picture else [])]))


def search_worker(folder: Path, /, *, trials: Whole, heartbeat: Whole, data_dir: Path | None = None) -> None:
    """Work on the study of a folder, as `sweep --search` has its processes do; a line of JSON for each trial.

    Parameters
    ----------
    folder
        The study's folder; where its storage is a database, $MNIST_OPS_STORAGE is its URL.
    trials
        Trials of the study, over all workers [runs].
    heartbeat
        Signs of life of a trial in a database [seconds].
    data_dir
        Folder that holds the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    """
    import json

    for number in (signal.SIGTERM, signal.SIGINT):  # there is one way to stop: at once, the trial being queued again
        signal.signal(number, signal.SIG_DFL)
    from mnist_ops.search.storage import VARIABLE, open_storage, unreachable
    from mnist_ops.search.study import join, load
    from mnist_ops.search.worker import work

    url = os.environ.pop(VARIABLE, None)  # which nothing that this process starts needs
    plan = load(folder)
    source = read_source(plan.config, data_dir)
    study = join(plan, open_storage(folder, url, heartbeat), url)
    try:
        for trial in work(plan, source, folder, study=study, total=trials):
            show(json.dumps(trial, allow_nan=False))
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("sqlalchemy", "optuna"):
            raise unreachable(url, error) from None
        raise
