"""mnist-ops recipes: list the recipes: sizes of their networks, accuracies of their records, purposes."""

import json
from importlib import resources
from typing import Any

from mnist_ops.arch.arithmetic import folded_parameters, sizes
from mnist_ops.arch.table import aligned
from mnist_ops.arch.zoo import INPUT, named_network
from mnist_ops.cli.output import show, show_json
from mnist_ops.cli.settings import Json
from mnist_ops.config import PURPOSES, RECIPES


def recipes(*, as_json: Json = False) -> None:
    """List the recipes: name, the network's parameters and multiply-adds per image, epochs, recorded test accuracy
    (mean and SD over seeds, in percent), and purpose.

    Parameters
    ----------
    as_json
        Print one JSON object: recipes, each with name, model, parameters, folded_parameters (as exported), macs,
        epochs, passes over the training images that they are the work of, batch_size, purpose and record: dataset, n,
        mean, sd and interval (percent), runs, what made them; null without a record.
    """
    recorded = packaged_records()
    found: list[dict[str, Any]] = []
    for name, config in RECIPES.items():
        layers = named_network(config.model)
        found.append({"name": name, "model": config.model, **sizes(layers, INPUT),
                      "folded_parameters": folded_parameters(layers, INPUT),
                      "epochs": config.epochs, "passes": config.hard.passes(config.epochs),
                      "batch_size": config.batch_size, "purpose": PURPOSES[name],
                      "record": recorded.get(name)})
    if as_json:
        show_json({"recipes": found})
        return
    cells = [("Recipe", "Parameters", "As exported", "Multiply-adds", "Epochs", "Accuracy", "SD")]
    cells += [(one["name"], *(f"{one[part]:,}" for part in ("parameters", "folded_parameters", "macs")),
               f"{one['passes']:.3g}",
               *((f"{of['mean']:.2f} %", f"{of['sd']:.2f}") if (of := one["record"]) else ("", ""))) for one in found]
    purposes = ["For", *(one["purpose"] for one in found)]
    show("\n".join(f"{line}  {purpose}" for line, purpose in zip(aligned(cells), purposes, strict=True)))
    over = {f"n = {of['n']} seeds on {of['dataset']}" for one in found if (of := one["record"])}
    show(f"\nAccuracy: mean on the test set, {', '.join(sorted(over))}, see docs/records.md.")
    if part := [name for name, config in RECIPES.items() if config.hard.share < 1]:
        show(f"Epochs: passes over all training images. The hardest come more often in {' and '.join(part)}.")
    show("Train one with mnist-ops train RECIPE; show its network with mnist-ops table RECIPE.")


def packaged_records() -> dict[str, dict[str, Any]]:
    """The records that the package knows, by recipe: dataset, mean, SD and interval over n seeds, accuracy of every run
    in percent, from seed 0, and what made them."""
    found: dict[str, dict[str, Any]] = json.loads(
        (resources.files("mnist_ops") / "records.json").read_text(encoding="utf-8"))
    return found
