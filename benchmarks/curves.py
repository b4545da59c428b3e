"""The derived texts of docs/performance.md about costs: operations, threads, images, epochs, networks, starting."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.ratios import measured
from benchmarks.wording import MEGABYTE, plural, span, table

Part = dict[str, Any]


def operations(part: Part) -> str:
    """The groups in the order of the first recipe's shares."""
    recipes = part["recipes"]
    rows = _shares(recipes)
    rows.append(["PyTorch operations a step", *(f"{one['calls_per_step']:,.0f}" for one in recipes.values())])
    rows.append(["µs an image, under the profiler",
                 *(f"{one['seconds'] / one['images'] * 1e6:,.0f}" for one in recipes.values())])
    return table(("share of the time of a training step", *(f"`{name}`" for name in recipes)), rows)


def compiled_operations(part: Part) -> str:
    """The same of compiled steps."""
    recipes = part["compiled"]
    rows = _shares(recipes)
    rows.append(["µs an image, on one thread",
                 *(f"{one['seconds'] / one['images'] * 1e6:,.0f}" for one in recipes.values())])
    return table(("share of the time of a compiled step", *(f"`{name}`" for name in recipes)), rows)


def _shares(recipes: Part) -> list[list[str]]:
    first = next(iter(recipes.values()))["groups"]
    return [[group, *(f"{100 * one['groups'][group] / one['seconds']:.1f} %" for one in recipes.values())]
            for group in sorted(first, key=lambda group: -first[group])]


def scaling(part: Part) -> str:
    """A row for each batch size, a column for each number of threads."""
    threads = sorted({row["threads"] for row in part["rows"]})
    found = {(row["threads"], row["batch"]): row["images_per_second"] for row in part["rows"]}
    rows = []
    for batch in sorted({row["batch"] for row in part["rows"]}):
        speeds_ = [found[one, batch] for one in threads]
        gain = [f"{speeds_[-1] / speeds_[0]:.2f}"] if len(threads) > 1 else []
        rows.append([str(batch), *(f"{value:,.0f}" for value in speeds_), *gain])
    heads = ["batch", *(f"images/s, {plural(one, 'thread')}" for one in threads)]
    heads += ["gain"] if len(threads) > 1 else []
    picture = "![Training images a second against the batch size](figures/bench-scaling.png)"
    return f"Recipe `{part['recipe']}`.\n\n{table(heads, rows)}\n\n{picture}"


def cost(part: Part) -> str:
    """The slopes of the curves in words, and their picture."""
    images, epochs, models = part["images"], part["epochs"], part["models"]
    per_image = slope([row["images"] for row in images], [row["seconds"] for row in images])
    memory = slope([row["images"] for row in images], [row["peak_bytes"] for row in images])
    per_epoch = slope([row["epochs"] for row in epochs], [row["seconds"] for row in epochs])
    searches = [row["search_seconds"] for row in epochs]
    power = slope([math.log(row["macs"]) for row in models], [-math.log(row["images_per_second"]) for row in models])
    fixed = (images[0]["peak_bytes"] - memory * images[0]["images"]) / MEGABYTE
    lines = [
        f"- Images: {per_image * 1e6:,.0f} µs more for each image of an epoch, from {images[0]['images']:,} to "
        f"{images[-1]['images']:,} images.",
        f"- Epochs: {per_epoch:.2f} s more for each epoch of {part['epochs_images']:,} images. The rate search takes "
        f"{min(searches):.1f} to {max(searches):.1f} s of the whole.",
        f"- Network: time grows with the multiply-adds to the power of {power:.2f}, over networks of "
        f"{min(row['parameters'] for row in models):,} to {max(row['parameters'] for row in models):,} parameters.",
        f"- Memory: {memory:,.0f} bytes more for each image, beside about {fixed:,.0f} MB for Python, PyTorch and a "
        "step.",
    ]
    rows = [(f"`{row['model']}`", f"{row['parameters']:,}", f"{row['macs']:,}", f"{row['images_per_second']:,.0f}",
             f"{60_000 / row['images_per_second']:.1f}") for row in sorted(models, key=lambda row: row["parameters"])]
    heads = ("network", "parameters", "multiply-adds", "images/s", "seconds for 60,000 images")
    picture = "![Training time against images, epochs and parameters; memory against images](figures/bench-cost.png)"
    return f"Recipe `{part['recipe']}`.\n\n" + "\n".join(lines) + f"\n\n{picture}\n\n{table(heads, rows)}"


def start(part: Part) -> str:
    """Medians and extremes of fresh processes."""
    names = {"auto": "with the rate search, whose first step it is", "0.1": "with a given rate (`--lr 0.1`)"}
    rows = [(f"`train {part['recipe']}` {names[rate]}", span(measured(seconds), ".2f"), str(len(seconds)))
            for rate, seconds in part["seconds"].items()]
    return table(("", "seconds to the first training step", "processes"), rows)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the straight line through the points, by least squares."""
    return statistics.linear_regression(x, y).slope
