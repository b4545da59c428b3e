"""What is each trick of the recipes worth? A recipe against itself without it, paired over seeds, by validation.

    python -m tools.tricks             measure what docs/figures/tricks.json lacks, run by run, and write docs/tricks.md
    python -m tools.tricks --page      write the page again from the figures

Every run trains on the first 55,000 MNIST training images and is judged by its last epoch on the last 5,000. The same
seed has the same order of images with the trick as without. The test set is not used.
"""

import argparse
import json
import platform
import statistics
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mnist_ops.comparison.difference import difference
from mnist_ops.config import RECIPES, Config
from mnist_ops.device import available_cores
from mnist_ops.disk import write_whole
from mnist_ops.mapping import from_mapping, to_mapping
from mnist_ops.run.provenance import commit
from mnist_ops.settle import settle
from tools.rates import source, validate_all

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES, PAGE = DOCS / "figures" / "tricks.json", DOCS / "tricks.md"
IMAGES = 55_000  # to train on
NO_DISTORTION = {"degrees": 0, "shift": 0, "zoom": 0, "shear": 0, "plain_epochs": 0}


@dataclass(frozen=True)
class Trick:
    """What a recipe does, and the settings by which it does not."""

    name: str
    recipe: str
    instead: str
    without: Mapping[str, Any]
    epochs: int | None = None  # a shorter run than the recipe's
    seeds: Sequence[int] = range(100, 116)

    def configs(self) -> tuple[Config, Config]:
        """The recipe without the trick, and with it."""
        with_it = RECIPES[self.recipe]
        with_it = replace(with_it, epochs=self.epochs or with_it.epochs)
        return from_mapping(with_it, self.without, self.name), with_it


TRICKS = (
    Trick("images distorted at random", "default", "images as they are", {"augment": NO_DISTORTION}, 4),
    Trick("the last 2 epochs undistorted", "default", "all distorted", {"augment": {"plain_epochs": 0}}, 4),
    Trick("weight decay", "default", "none", {"optimizer": {"weight_decay": 0}}, 4),
    Trick("the last epoch undistorted", "quick", "all distorted", {"augment": {"plain_epochs": 0}}),
    Trick("separable blocks (`separable`)", "quick", "full ones (`early-pool-wide`)", {"model": "early-pool-wide"}),
    Trick("Muon", "quick", "SGD, momentum 0.9, the same rate", {"optimizer": {"name": "sgd", "momentum": 0.9}}),
    Trick("three epochs on the hardest quarter", "sprint", "one on all images, undistorted",
          {"hard": {"share": 1.0}, "epochs": 2, "augment": {"plain_epochs": 1}}),
    Trick("Muon", "strided", "SGD at a rate of 0.4", {"lr": 0.4, "optimizer": {"name": "sgd"}}),
    Trick("the pool after the first separable block, a residual one", "tiny",
          "the pool before it, no residual block, wider (`chip`)", {"model": RECIPES["chip"].model}),
    Trick("three epochs in four on the hardest third", "micro", "all on all images",
          {"hard": {"share": 1.0}, "epochs": 18, "augment": {"plain_epochs": 6}}),
)


def measure(tricks: Sequence[Trick], path: Path) -> None:
    """Write all figures to `path`, with what they were measured on, after each run.

    What stands there is not measured again where machine and PyTorch are the same; a config that two tricks share runs
    once; what no trick needs any more goes."""
    settled = settle(RECIPES["default"], source(IMAGES))
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, {available_cores()} cores", "device": settled.device,
                               "precision": settled.precision, "engine": settled.engine,
                               "torch": str(torch.__version__), "images": IMAGES}
    there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = there.get("runs", []) if all(there.get(name) == value for name, value in figures.items()) else []
    known = {_key(run["config"]): run["results"] for run in runs}
    wanted = list(dict.fromkeys((config, seed) for trick in tricks for config in trick.configs()
                                for seed in trick.seeds))
    results = {config: known.get(_key(to_mapping(config)), {}) for config, _ in wanted}
    tasks = [(config, seed) for config, seed in wanted if str(seed) not in results[config]]
    _write(path, figures, results)
    made = validate_all([(replace(config, seed=seed), IMAGES) for config, seed in tasks])
    for number, ((config, seed), result) in enumerate(zip(tasks, made, strict=True), start=1):
        results[config][str(seed)] = {**asdict(result), "commit": commit()}
        _write(path, figures, results)
        print(f"{number} of {len(tasks)}: {config.recipe}, {config.epochs} epochs, seed {seed}: "
              f"{result.accuracy:.2f} %", file=sys.stderr, flush=True)


def _key(config: Mapping[str, Any]) -> str:
    """What configs share whose runs differ by rounding alone; fields that were not there yet are at their defaults."""
    return json.dumps(to_mapping(replace(from_mapping(Config(), config, FIGURES.name), engine="auto")))


def _write(path: Path, figures: Mapping[str, Any], results: Mapping[Config, Mapping[str, Any]]) -> None:
    runs = [{"config": to_mapping(config), "results": found} for config, found in results.items()]
    write_whole(path, (json.dumps({**figures, "runs": runs}, indent=1) + "\n").encode())


def page(tricks: Sequence[Trick], figures: Mapping[str, Any]) -> str:
    """A row per trick: both means, and the paired difference with its interval."""
    def results(config: Config, name: str) -> dict[int, float]:
        for run in figures["runs"]:
            if _key(run["config"]) == _key(to_mapping(config)):
                return {int(seed): result[name] for seed, result in run["results"].items()}
        raise SystemExit(f"{FIGURES.name}: no runs of {config.recipe} as it is now; run python -m tools.tricks")

    if not all(set(trick.seeds) <= set(results(config, "accuracy")) for trick in tricks for config in trick.configs()):
        raise SystemExit(f"{FIGURES.name}: not all runs are there; run python -m tools.tricks")
    rows = ["| recipe, epochs | trick | instead | n | accuracy with | without | gain, points | 95 % interval "
            "| loss with | without | 95 % interval of the difference |",
            "| --- | --- | --- | ---: | ---: | ---: | ---: | :---: | ---: | ---: | :---: |"]
    for trick in tricks:
        without, with_it = trick.configs()
        own = {(config, name): {seed: results(config, name)[seed] for seed in trick.seeds}
               for config in (with_it, without) for name in ("accuracy", "loss")}
        pair, losses_apart = (difference(own[without, name], own[with_it, name]) for name in ("accuracy", "loss"))
        accuracies, losses = ([statistics.fmean(own[config, name].values()) for config in (with_it, without)]
                              for name in ("accuracy", "loss"))
        interval = "{:+.2f} to {:+.2f}".format(*pair.interval) if pair.interval else "unknown"
        apart = "{:+.4f} to {:+.4f}".format(*losses_apart.interval) if losses_apart.interval else "unknown"
        rows.append(f"| `{trick.recipe}`, {with_it.epochs} | {trick.name} | {trick.instead} | {len(trick.seeds)} "
                    f"| {accuracies[0]:.2f} % | {accuracies[1]:.2f} % | {pair.difference:+.2f} | {interval} "
                    f"| {losses[0]:.4f} | {losses[1]:.4f} | {apart} |")
    commits = sorted({str(one["commit"])[:10] for run in figures["runs"] for one in run["results"].values()})
    text = (f"`python -m tools.tricks` ({figures['machine']}, {figures['device']}, {figures['precision']}, engine "
            f"{figures['engine']}, torch {figures['torch']}, commit {', '.join(commits)}): each run trains on the "
            f"first {figures['images']:,} MNIST training images and is judged after its last epoch on the last 5,000; "
            "n is the number of pairs of runs, of the seeds from 100 up. The test set is not used. Where the interval "
            "holds zero, so few pairs cannot tell the gain from chance; the loss moves less by chance than the "
            "accuracy, of which one image is 0.02 points. Some runs are shorter than the recipe, as the first column "
            "says.")
    paragraph = textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
    return "\n".join(["# What each trick is worth", "", paragraph, "", *rows, "",
                      "[log.md](log.md) has everything that was tried, with what was not kept.", ""])


def main() -> None:
    """Carry out the command line, see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page again from the figures")
    given = parser.parse_args()
    if not given.page:
        measure(TRICKS, FIGURES)
    PAGE.write_text(page(TRICKS, json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
