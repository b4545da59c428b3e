"""Do two processes of torchrun reach what one reaches, paired over seeds, on the digits; and what does a step cost?

    python -m tools.parallel             measure; the figures become docs/figures/parallel.json
    python -m tools.parallel --steps     measure the steps alone again

The section of docs/scaling.md is written from them by `python -m tools.scaling --page`.
"""

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import torch

from mnist_ops.arch.zoo import INPUT
from mnist_ops.comparison.difference import difference
from mnist_ops.config import RECIPES
from mnist_ops.device import available_cores
from mnist_ops.model import build, layers_of
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.train import step
from mnist_ops.parallel.team import ALONE
from mnist_ops.parallel.torchrun import joined
from mnist_ops.randomness import stream

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "parallel.json"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
CONFIG, EPOCHS, BATCH, TIMED = RECIPES["default"], 8, 64, 150
ENGINES = ("apart", "one message", "DistributedDataParallel")
WAYS = {"one": "one process, one thread", "two": "two processes, own statistics",
        "synchronised": "two processes, synchronised"}


def trained(way: str, seed: int, folder: Path) -> dict[str, Any]:
    """The summary of one run on the digits; a thread for each process."""
    config = folder / "config.toml"
    norm = "synchronised" if way == "synchronised" else "batch"
    config.write_text(f'batch_size = {BATCH}\nlr = 0.2\nnorm = "{norm}"\n')
    out = folder / f"{way}-{seed}"
    command = ["-m", "mnist_ops", "train", "--config", str(config), "--data", "digits", "--epochs", str(EPOCHS),
               "--device", "cpu", "--threads", "1" if way == "one" else "2", "--test-every", "0", "--seed", str(seed),
               "--out", str(out), "--no-report", "--json"]
    launcher = [sys.executable] if way == "one" else [sys.executable, *TORCHRUN]
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def engines() -> None:
    """In each of two processes: milliseconds of a step of half a batch, by how the gradients meet. The first prints.

    The ways take turns, so that what else the machine does meets them alike; the lowest tenth is told, for other work
    makes a step slower and never faster."""
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    with joined() as team:
        part = team.slice(CONFIG.batch_size)
        images = torch.randn(part.last - part.first, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        batch = images, torch.zeros(len(images), dtype=torch.int64)
        made: dict[str, Any] = {}
        for way in ENGINES:
            model: Any = build(layers_of(CONFIG, 10), INPUT, stream(0, "weights"))
            optimizer = make_optimizer(model, CONFIG.optimizer, 0.01)
            made[way] = DistributedDataParallel(model) if way == "DistributedDataParallel" else model, optimizer
        times: dict[str, list[float]] = {way: [] for way in ENGINES}
        for _, way in itertools.product(range(TIMED), ENGINES):
            model, optimizer = made[way]
            begun = time.perf_counter()
            step(model, optimizer, batch, CONFIG, share=0.5, team=team if way == "one message" else ALONE)
            times[way].append(1000 * (time.perf_counter() - begun))
        if team.leads:
            print(json.dumps({way: statistics.quantiles(times[way], n=10)[0] for way in ENGINES}))


def timed_steps() -> dict[str, float]:
    """What `engines` prints."""
    done = subprocess.run([sys.executable, *TORCHRUN, "-m", "tools.parallel", "--engines"], capture_output=True,
                          text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(seeds: int) -> dict[str, Any]:
    """All figures, with what they were measured on."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(100, 100 + seeds):
            for way in WAYS:
                summary = trained(way, seed, Path(folder))
                runs[way].append({name: summary[name] for name in ("seed", "test_accuracy", "train_seconds")})
            print(f"seed {seed}: " + ", ".join(f"{way} {runs[way][-1]['test_accuracy']:.2f} %" for way in WAYS),
                  file=sys.stderr, flush=True)
    return {"machine": f"{platform.machine()}, {available_cores()} cores", "torch": str(torch.__version__),
            "epochs": EPOCHS, "batch_size": BATCH, "step_batch": CONFIG.batch_size, "runs": runs,
            "step_milliseconds": timed_steps()}


def section() -> str:
    """The figures as the page has them."""
    if not FIGURES.exists():
        return "*The figures stand here once `python -m tools.parallel` has been run.*"
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    accuracies = {way: {run["seed"]: run["test_accuracy"] for run in found["runs"][way]} for way in WAYS}
    rows = ["| processes | test accuracy: mean, SD | against one process, paired | s of training, median |",
            "| --- | ---: | ---: | ---: |"]
    for way, title in WAYS.items():
        values = list(accuracies[way].values())
        seconds = statistics.median(run["train_seconds"] for run in found["runs"][way])
        against = difference(accuracies["one"], accuracies[way])
        apart = f"{against.difference:+.2f} points" if way != "one" else ""
        if way != "one" and against.interval:
            apart += " ({:+.2f} to {:+.2f})".format(*against.interval)
        rows.append(f"| {title} | {statistics.fmean(values):.2f} %, {statistics.stdev(values):.2f} | {apart} "
                    f"| {seconds:.1f} |")
    steps = ", ".join(f"{way} {value:.2f} ms" for way, value in found["step_milliseconds"].items())
    text = (f"`python -m tools.parallel` ({found['machine']}, shared with other work, torch {found['torch']}): digits, "
            f"{found['epochs']} epochs, batches of {found['batch_size']}, seeds {min(accuracies['one'])} to "
            f"{max(accuracies['one'])}, n = {len(accuracies['one'])} pairs; 95 % intervals. A step of the default "
            f"network on half a batch of {found['step_batch']}, a thread for each of two processes (taking turns, a "
            f"tenth are faster): {steps}.")
    table = "\n".join(rows)
    return f"{textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)}\n\n{table}"


def main() -> None:
    """Carry out the command line, see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="from 100 up")
    parser.add_argument("--engines", action="store_true", help="of the tool itself: what torchrun is to start")
    parser.add_argument("--steps", action="store_true", help="measure the steps alone again")
    given = parser.parse_args()
    if given.engines:
        engines()
        return
    found = (json.loads(FIGURES.read_text(encoding="utf-8")) | {"step_milliseconds": timed_steps()} if given.steps
             else measure(given.seeds))
    FIGURES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(section())


if __name__ == "__main__":
    main()
