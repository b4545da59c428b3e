"""Does `mnist-ops suspects` find labels that are known to be wrong? Flips some of MNIST's and counts.

    python tools/suspects.py --record                    measure, write docs/suspects.json and docs/suspects.md
    python tools/suspects.py --seeds 3 --first-seed 100  measure and print alone: choices are made on such seeds
    python tools/suspects.py                             write the derived sections of docs/suspects.md again
    python tools/suspects.py --check                     exit code 1 if they are stale

Of the first 5,000 training images of MNIST, 100 get another label, each other class equally likely; which, and which
label, is drawn by a seed, which is also that of the runs. Then the list is made as the command makes it.
"""

import argparse
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_ops.config import recipe
from mnist_ops.data.dataset import ImageSet
from mnist_ops.data.source import read
from mnist_ops.device import share_out
from mnist_ops.run.folder import read_json, write_json
from mnist_ops.suspects.find import FOLDS, Suspects, find, first_images, usual_epochs
from mnist_ops.sweeps.records import machine

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT, RECORD = REPOSITORY / "docs" / "suspects.md", REPOSITORY / "docs" / "suspects.json"
PICTURE = REPOSITORY / "docs" / "pictures" / "suspects.png"
MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
IMAGES, FLIPS, LOOKED_AT = 5000, 100, 150
COMMAND = "python tools/suspects.py --record"
SEEDS = range(5)


def flipped(labels: NDArray[np.int64], count: int, classes: int, seed: int) -> tuple[NDArray[np.int64],
                                                                                     NDArray[np.int64]]:
    """-> the labels (N,), of which `count` are another class, drawn evenly; and the places (count,) of these."""
    generator = np.random.default_rng(seed)
    places = generator.choice(len(labels), count, replace=False)
    changed = labels.copy()
    changed[places] = (labels[places] + generator.integers(1, classes, count)) % classes
    return changed, places


def measure(seed: int) -> dict[str, Any]:
    """Flip, list, count. -> one run of the record."""
    source = first_images(read("mnist"), IMAGES)
    labels, places = flipped(source.train.labels, FLIPS, len(source.classes), seed)
    source = replace(source, train=ImageSet(source.train.images, labels))
    config, jobs = share_out(replace(recipe("default"), seed=seed), None, FOLDS)
    config = replace(config, epochs=usual_epochs(IMAGES, FOLDS, config.batch_size))
    *_, found = find(config, source, jobs=jobs)
    assert isinstance(found, Suspects)
    wrong = set(places.tolist())
    listed = [doubt.index for doubt in found.doubts]
    return {
        "seed": seed, "found": len(wrong & {*listed[:LOOKED_AT]}), "found_first_100": len(wrong & {*listed[:100]}),
        "likely": found.likely, "likely_flipped": len(wrong & {*listed[:found.likely]}), "listed": len(listed),
        "accuracy": found.accuracy, "epochs": found.config.epochs, "lr": found.config.lr,
        "device": found.config.device, "precision": found.config.precision,
        "others": [[doubt.index, doubt.given, doubt.suggested, round(doubt.self_confidence + doubt.score, 4)]
                   for doubt in found.doubts[:LOOKED_AT] if doubt.index not in wrong],
    }


def line(run: dict[str, Any]) -> str:
    """One run in words."""
    return (f"seed {run['seed']}: {run['found']} of {FLIPS} flipped labels among the first {LOOKED_AT}, "
            f"{run['found_first_100']} among the first 100; likely wrong {run['likely']}, of these flipped "
            f"{run['likely_flipped']}; out-of-fold accuracy {run['accuracy']:.2f} %")


def measured(record: dict[str, Any]) -> str:
    """The table of the runs and their means."""
    columns = {"found": f"flipped among the first {LOOKED_AT}", "found_first_100": "among the first 100",
               "likely": "called likely wrong", "likely_flipped": "of these flipped", "listed": "listed in all",
               "accuracy": "read as labelled, %"}
    heads = ["seed", *columns.values()]
    rows = [[str(run["seed"]), *(f"{run[key]:.2f}" if key == "accuracy" else str(run[key]) for key in columns)]
            for run in record["runs"]]
    means = {key: statistics.fmean(run[key] for run in record["runs"]) for key in columns}
    rows.append(["mean", *(f"**{value:.1f}**" if key == "found" else f"{value:.2f}" if key == "accuracy"
                           else f"{value:.1f}" for key, value in means.items())])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))
    first = record["runs"][0]
    return (f"{table}\n\n`{COMMAND}`: {FLIPS} flips among the first {IMAGES:,} training images of MNIST, recipe "
            f"`default`, {FOLDS} folds,\n{first['epochs']} epochs each, {first['device']}, {first['precision']}, "
            f"{record['machine']}, torch {record['torch']}.")


def others(record: dict[str, Any]) -> str:
    """The images that are suspected in every list although their label is MNIST's own."""
    rows = repeated(record)
    if not rows:
        return "No image with MNIST's own label stands in every list."
    table = "\n".join(f"| {index} | {given} | {suggested} | {share:.3f} |" for index, given, suggested, share in rows)
    return (f"{len(rows)} images stand among the first {LOOKED_AT} of all {len(record['runs'])} lists although their "
            f"label is MNIST's own:\n\n| image | given | suggested | its probability, mean |\n"
            f"|---|---|---|---|\n{table}\n\n"
            f"![These images, with given and suggested class](pictures/{PICTURE.name})")


def repeated(record: dict[str, Any]) -> list[tuple[int, int, int, float]]:
    """(index, given, most often suggested, mean probability) of these, the most probable first."""
    found: dict[int, list[tuple[int, int, float]]] = {}
    for run in record["runs"]:
        for index, given, suggested, share in run["others"]:
            found.setdefault(index, []).append((given, suggested, share))
    rows = []
    for index, doubts in found.items():
        if len(doubts) == len(record["runs"]):
            suggested = Counter(doubt[1] for doubt in doubts).most_common(1)[0][0]
            rows.append((index, doubts[0][0], suggested, statistics.fmean(doubt[2] for doubt in doubts)))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {"measured": measured, "others": others}


def renewed(text: str, record: dict[str, Any]) -> str:
    """The document with its derived sections written again."""
    found = sorted(name for _, name, _ in MARKED.findall(text))
    if found != sorted(SECTIONS):
        raise SystemExit(f"{DOCUMENT}: found sections marked {found}, expected each once: {sorted(SECTIONS)}")
    return MARKED.sub(lambda match: f"{match[1]}\n{SECTIONS[match[2]](record)}\n\n{match[3]}", text)


def draw(record: dict[str, Any]) -> None:
    """The repeated ones as a picture."""
    from mnist_ops.report.gallery import Tile, draw_gallery
    from mnist_ops.report.style import write_picture

    part, rows = read("mnist").train, repeated(record)
    tiles = [Tile(part.images[index], str(index), str(given), str(suggested), share)
             for index, given, suggested, share in rows]
    if tiles:
        title = "Training images of MNIST that stand in every list"
        write_picture(PICTURE, lambda: draw_gallery(tiles, title, "Their labels are MNIST's own.",
                                                    words=("given", "suggested")))


def main(arguments: Sequence[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure how many flipped labels the list of suspects finds.")
    parser.add_argument("--record", action="store_true", help="measure seeds 0 to 4 and write the record")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a section is stale")
    parser.add_argument("--seeds", type=int, help="measure so many seeds and print alone")
    parser.add_argument("--first-seed", type=int, default=100, help="the first of these")
    given = parser.parse_args(arguments)
    if given.record or given.seeds:
        seeds = SEEDS if given.record else range(given.first_seed, given.first_seed + given.seeds)
        runs = []
        for seed in seeds:
            runs.append(measure(seed))
            print(line(runs[-1]), flush=True)
        print(f"mean {statistics.fmean(run['found'] for run in runs):.1f} of {FLIPS}, n = {len(runs)}")
        if not given.record:
            return 0
        write_json(RECORD, {"command": COMMAND, "machine": machine(), "torch": str(torch.__version__), "runs": runs})
        draw({"runs": runs})
    old = DOCUMENT.read_text(encoding="utf-8")
    fresh = renewed(old, read_json(RECORD))
    if given.check:
        if fresh != old:
            print(f"{DOCUMENT}: stale; run python tools/suspects.py", file=sys.stderr)
        return int(fresh != old)
    DOCUMENT.write_text(fresh, encoding="utf-8")
    print(f"{DOCUMENT.name}: {'nothing' if fresh == old else 'its sections'} written again")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
