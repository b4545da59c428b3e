"""Puts the weights of a finished run of the default recipe into the package, where RUN = `default` finds them.

    mnist-ops train default --seed 0 --threads 1 --out runs/shipped
    python tools/weights.py runs/shipped
    python tools/weights.py              only what is made of them anew: score, weights of 2 bits, scales of integers

Seed 0 is taken because it is the first of all, not the best. Its summary.json goes along as the record of what the
weights reach and what made them: those in the package were trained by PyTorch's steps.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from mnist_ops.config import RECIPES, Config
from mnist_ops.data.source import read
from mnist_ops.data.tensors import to_device
from mnist_ops.device import activate
from mnist_ops.disk import write_whole
from mnist_ops.errors import MnistOpsError, RunError
from mnist_ops.export.c.fine_tune import fine_tune, keep, kept
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.rounding import WIDTHS
from mnist_ops.export.c.scales import to_text
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.run.folder import SUMMARY, WEIGHTS, read_config, read_json
from mnist_ops.run.named import SCALES, find_run, shipped
from mnist_ops.run.trained import load_trained, save_trained
from mnist_ops.score.fit_refusal import fit_refusal
from mnist_ops.settle import settle

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = REPOSITORY / "src" / "mnist_ops" / "weights"
SEED = 0


def check(run: Path) -> None:
    """Raise RunError unless `run` is a finished run of the default recipe on MNIST from a commit without changes."""
    config, summary = read_config(run), read_json(run / SUMMARY)
    load_trained(run)
    if (found := _recipe_part(config)) != (expected := _recipe_part(replace(RECIPES["default"], seed=SEED))):
        raise RunError(f"{run}: its config is not that of the default recipe with seed {SEED}: found {found}, expected "
                       f"{expected}")
    if summary["dataset"] != "mnist" or summary["test_images"] != 10_000:
        raise RunError(f"{run}: trained on {summary['dataset']} with {summary['test_images']} test images, expected "
                       "mnist with 10,000")
    if not summary["commit"] or "+" in summary["commit"]:
        raise RunError(f"{run}: made by commit {summary['commit']}, expected one without changes, so that it can be "
                       "made again; train from a clean clone")


def _recipe_part(config: Config) -> Config:
    """The config without what this machine and dataset have settled."""
    return replace(config, data="mnist", prepare="mnist", device="cpu", threads=1, precision="float32", target=99.4)


def fit_score() -> None:
    """Fit the score of the weights that ship, as their run would have."""
    activate(recipe := replace(RECIPES["default"], seed=SEED, device="cpu", threads=1))
    file = find_run("default")
    trained, data = load_trained(file), to_device(read("mnist"), recipe.validation, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        save_trained(Path(folder), replace(trained, refusal=fit_refusal(trained.network, data, SEED)))
        write_whole(file, (Path(folder) / WEIGHTS).read_bytes())


def fine_tune_few_bits() -> None:
    """Keep the weights for 2 bits beside those that ship, as an export of their run would."""
    file, source = find_run("default"), read("mnist")
    activate(recipe := settle(replace(RECIPES["default"], seed=SEED, device="cpu", threads=1), source))
    tuned = fine_tune(load_trained(file), to_device(source, recipe.validation, torch.device("cpu")), recipe, 2)
    keep(file, 2, tuned)


def measure_scales() -> None:
    """Keep the scales of integers, so that the weights are exported the same where MNIST is not."""
    file, images, scales = find_run("default"), read("mnist").train.images, {}
    for bits in WIDTHS:
        trained = kept(file, bits) or load_trained(file)
        scales[bits] = quantize(stages(fold_trained(trained)), images, bits=bits).scales
    write_whole(shipped(SCALES), to_text(scales).encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished run of the default recipe")
    run = parser.parse_args().run
    try:
        if run is None:
            fit_score()
            fine_tune_few_bits()
            measure_scales()
            print(f"{SHIPPED.relative_to(REPOSITORY)}: the same weights, and what is made of them anew")
            return 0
        check(run)
        SHIPPED.mkdir(exist_ok=True)
        for name, target in ((WEIGHTS, "default.safetensors"), (SUMMARY, "default.json")):
            write_whole(SHIPPED / target, (run / name).read_bytes())
        fine_tune_few_bits()
        measure_scales()
    except MnistOpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{SHIPPED.relative_to(REPOSITORY)}: the weights and the record of {run}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
