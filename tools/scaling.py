"""Measures what docs/scaling.md says of many runs, and writes its figures into the page.

    python -m tools.scaling                measure again (some ten minutes), then write the page
    python -m tools.scaling --page         write the page from docs/figures/scaling.json
    python -m tools.scaling --check        exit code 1, naming them, where sections of the page are stale
    python -m tools.scaling --storage URL  measure that database too (its studies are deleted afterwards)
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnist_ops.device import available_cores
from mnist_ops.search.storage import import_optuna, masked, open_storage
from tools import parallel
from tools.readme import renew

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE, FIGURES = REPOSITORY / "docs" / "scaling.md", REPOSITORY / "docs" / "figures" / "scaling.json"
SIZES = (100, 1000, 3000)  # trials in a storage, of which the last 20 are timed
TIMED, FEW, EPOCHS, LARGE = 20, 50, 12, 10_000
RUN = ["--data", "digits", "--epochs", "10", "--lr", "0.2"]


def measure(url: str | None) -> dict[str, Any]:
    """All figures, with what they were measured on."""
    cores = available_cores()
    storages: dict[str, Any] = {"journal": [storage_cost(None, size) for size in SIZES]}
    if url:
        storages["PostgreSQL"] = [storage_cost(url, size) for size in SIZES]
    asked = f" --storage {masked(url).partition('://')[0]}://..." if url else ""
    return {"machine": f"{platform.machine()}, {cores} cores", "load": os.getloadavg()[0], "epochs": EPOCHS,
            "command": f"python -m tools.scaling{asked}",
            "run": " ".join(RUN), "start": start_seconds(),
            "throughput": [throughput(jobs) for jobs in sorted({1, cores, 2 * cores})], "storages": storages}


def start_seconds() -> dict[str, float]:
    """Processor seconds that it takes to load Python and PyTorch alone, and of a worker whose study is done already."""
    with tempfile.TemporaryDirectory() as name:
        space = Path(name) / "space.toml"
        space.write_text('[fields]\nlr = [0.1, 0.2]\n')
        study = [sys.executable, "-m", "mnist_ops", "sweep", "default", "--search", str(space), "--data", "digits",
                 "--epochs", "1", "--trials", "1", "--jobs", "1", "--out", f"{name}/study", "--json"]
        subprocess.run(study, check=True, stdout=subprocess.DEVNULL)
        worker = [sys.executable, "-m", "mnist_ops", "search-worker", f"{name}/study", "--trials", "1",
                  "--heartbeat", "30"]
        return {"torch": processor_seconds([sys.executable, "-c", "import torch"]), "worker": processor_seconds(worker)}


def processor_seconds(command: Sequence[str], repeats: int = 3) -> float:
    """Of the command alone, the median of some repeats."""
    taken = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)


def throughput(jobs: int) -> dict[str, float]:
    """Wall-clock seconds of a sweep of 2 x cores runs by that many processes at a time, start and figures included."""
    runs = 2 * available_cores()
    with tempfile.TemporaryDirectory() as name:
        begun = time.monotonic()
        command = [sys.executable, "-m", "mnist_ops", "sweep", "default", "--seeds", str(runs), "--jobs", str(jobs)]
        subprocess.run([*command, *RUN, "--out", f"{name}/sweep", "--json"], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        made = [json.loads(path.read_text()) for path in Path(name).glob("sweep/s*/summary.json")]
    return {"jobs": jobs, "threads": made[0]["threads"], "runs": runs, "seconds": seconds,
            "train_seconds": statistics.fmean(one["train_seconds"] for one in made)}


def storage_cost(url: str | None, size: int) -> dict[str, float]:
    """What a trial costs the storage in a study of `size`: made-up trials, with the notes and reports of true ones.

    Milliseconds of processor time, which other programs disturb less, for each of the last ones, its draw by TPE apart;
    of the draw; seconds of opening a study of that size."""
    optuna = import_optuna()
    with tempfile.TemporaryDirectory() as name:
        place = open_storage(Path(name), url, 30)
        study = optuna.create_study(storage=place.storage, direction="maximize", study_name=f"{os.getpid()}-{size}")
        first = _bytes(Path(name), place.storage)
        _fill(optuna, study, place.storage, size - TIMED)
        drawing: list[float] = []
        storing = [_one_trial(study, drawing) for _ in range(TIMED)]
        grown = _bytes(Path(name), place.storage) - first
        begun = time.process_time()
        with contextlib.closing(open_storage(Path(name), url, 30)) as again:
            optuna.load_study(study_name=study.study_name, storage=again.storage).get_trials(deepcopy=False)
            opening = time.process_time() - begun
        if url:
            optuna.delete_study(study_name=study.study_name, storage=place.storage)
        place.close()
    return {"trials": size, "bytes": grown / size, "store_ms": 1000 * statistics.median(storing),
            "draw_ms": 1000 * statistics.median(drawing), "open_seconds": opening}


def _fill(optuna: Any, study: Any, storage: Any, count: int) -> None:
    """Put so many made-up trials into the study; into a database a few, whose rows it then copies, which is quicker."""
    database = hasattr(storage, "engine")
    few = min(count, FEW) if database else count
    study.add_trials([_made_up(optuna, number) for number in range(few)])
    if not database:
        return
    import sqlalchemy

    parts = {"params": "param_name, param_value, distribution_json", "values": "objective, value, value_type",
             "user_attributes": "key, value_json",
             "intermediate_values": "step, intermediate_value, intermediate_value_type"}
    with storage.engine.begin() as connection:
        while few < count:
            more = {"have": few, "more": min(few, count - few), "study": study._study_id}
            connection.execute(sqlalchemy.text(
                "insert into trials (number, study_id, state, datetime_start, datetime_complete) "
                "select number + :have, study_id, state, datetime_start, datetime_complete from trials "
                "where study_id = :study and number < :more order by number"), more)
            for part, columns in parts.items():
                connection.execute(sqlalchemy.text(
                    f"insert into trial_{part} (trial_id, {columns}) select copy.trial_id, {columns} "
                    f"from trial_{part} as part join trials on trials.trial_id = part.trial_id "
                    "join trials as copy on copy.study_id = :study and copy.number = trials.number + :have "
                    "where trials.study_id = :study and trials.number < :more"), more)
            few += more["more"]


def _made_up(optuna: Any, number: int) -> Any:
    """A trial that has ended, as a worker leaves it."""
    low_to_high = optuna.distributions.FloatDistribution(0.01, 1)
    values = {f"field{one}": 0.01 + 0.99 * ((number * 7919 + one * 104_729) % 1000) / 1000 for one in range(6)}
    return optuna.trial.create_trial(
        params=values, distributions=dict.fromkeys(values, low_to_high), value=90 + number % 97 / 10,
        user_attrs={"worker": "machine-12345-0123abcd", "parameters": 7000, "macs": 500_000, "accuracy": 99.0},
        intermediate_values={epoch: 90.0 + epoch / 10 for epoch in range(EPOCHS)})


def _one_trial(study: Any, drawing: list[float]) -> float:
    """Processor seconds that the storage takes of a worker for a trial as it makes one."""
    begun = time.process_time()
    trial = study.ask()
    trial.set_user_attr("worker", "machine-12345-0123abcd")
    drawn = time.process_time()
    for one in range(6):
        trial.suggest_float(f"field{one}", 0.01, 1)
    drawing.append(time.process_time() - drawn)
    for name, value in {"parameters": 7000, "macs": 500_000, "accuracy": 99.0}.items():
        trial.set_user_attr(name, value)
    for epoch in range(EPOCHS):
        trial.report(90.0 + epoch / 10, epoch)
        trial.should_prune()
    study.tell(trial, 95.0)
    return time.process_time() - begun - drawing[-1]


def _bytes(folder: Path, storage: Any) -> float:
    """Size of the journal, or of all tables of the database."""
    if hasattr(storage, "engine"):
        import sqlalchemy

        asked = ("select sum(pg_total_relation_size(oid)) from pg_class "
                 "where relkind = 'r' and relnamespace = 'public'::regnamespace")
        with storage.engine.connect() as connection:
            return float(connection.execute(sqlalchemy.text(asked)).scalar_one())
    return float((folder / "journal.log").stat().st_size)


def machine() -> str:
    """What was measured on, by what."""
    found = figures()
    return wrapped(f"`{found['command']}` on {found['machine']}, with a load average of {found['load']:.1f} at its "
                   "beginning.")


def processes() -> str:
    """Throughput against processes, and what a process costs to start."""
    found = figures()
    one = found["throughput"][0]["seconds"]
    rows = [(f"{row['jobs']}", f"{row['threads']}", f"{row['runs']}", f"{row['seconds']:.0f} s",
             f"{3600 * row['runs'] / row['seconds']:,.0f}", f"{one / row['seconds']:.2f}")
            for row in found["throughput"]]
    start = found["start"]
    text = (f"Runs of the recipe `default` with `{found['run']}`. Of each process, Python and PyTorch take "
            f"{start['torch']:.1f} s of processor time to load, and a worker {start['worker']:.1f} s in all before its "
            "first trial.")
    heads = ("processes", "threads of each", "runs", "time", "runs in an hour", "times as fast")
    return f"{wrapped(text)}\n\n{table(heads, rows)}"


def storage() -> str:
    """What a trial costs in each storage."""
    rows = [(name, f"{row['trials']:,}", f"{row['bytes']:,.0f}", f"{row['store_ms']:.0f} ms",
             f"{row['draw_ms']:.0f} ms", f"{row['open_seconds']:.2f} s")
            for name, found in figures()["storages"].items() for row in found]
    heads = ("storage", "trials in it", "bytes a trial", "storing a trial", "drawing its settings", "opening the study")
    return table(heads, rows)


def large() -> str:
    """What a study of 10,000 trials would cost, from the last two sizes on a straight line."""
    lines = []
    for name, found in figures()["storages"].items():
        last = found[-1]
        values = {key: _at(found, key) for key in ("store_ms", "draw_ms", "open_seconds")}
        each = (values["store_ms"] + values["draw_ms"]) / 1000
        lines.append(f"- {name}: {LARGE * last['bytes'] / 1e6:,.0f} MB; a worker opens it in "
                     f"{values['open_seconds']:.1f} s; the last trials cost {each:.2f} s each beside their training.")
    return "\n".join(textwrap.fill(line, 125, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _at(found: Sequence[dict[str, float]], key: str) -> float:
    """The value at 10,000 trials, on the line through the last two sizes, at least that of the last."""
    before, last = found[-2:]
    slope = (last[key] - before[key]) / (last["trials"] - before["trials"])
    return last[key] + max(0.0, slope) * (LARGE - last["trials"])


def figures() -> dict[str, Any]:
    """What the last measurement has left."""
    content: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return content


def wrapped(text: str) -> str:
    """In lines that a page's source can have."""
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, with numbers to the right."""
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))


SECTIONS = {"machine": machine, "processes": processes, "storage": storage, "large": large,
            "parallel": parallel.section}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure what docs/scaling.md says, and write its figures.")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a section is stale")
    parser.add_argument("--storage", metavar="URL", help="a database to measure too")
    chosen = parser.parse_args(arguments)
    if not (chosen.page or chosen.check):
        warnings.simplefilter("ignore")  # Optuna's, of heartbeats that the made-up trials lack
        FIGURES.write_text(json.dumps(measure(chosen.storage), indent=1) + "\n", encoding="utf-8")
    return renew(PAGE, SECTIONS, "python -m tools.scaling --page", check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
