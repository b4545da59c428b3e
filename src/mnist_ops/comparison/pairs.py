"""Whether each pair of recipes differs by more than the noise, in numbers and in words. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from mnist_ops.comparison.difference import Difference, difference
from mnist_ops.comparison.runs import Recipe


@dataclass(frozen=True, eq=False)
class Pair:
    """Two recipes and the second's gain over the first; `difference` is None if they cannot be compared."""

    first: Recipe
    second: Recipe
    difference: Difference | None


def pairs(recipes: Sequence[Recipe]) -> list[Pair]:
    """Each pair of recipes that have an accuracy, in the order given."""
    return [Pair(first, second, difference(first.accuracies, second.accuracies) if _comparable(first, second) else None)
            for first, second in combinations([recipe for recipe in recipes if recipe.summaries], 2)]


def _comparable(first: Recipe, second: Recipe) -> bool:
    """Whether both were tested on the same dataset."""
    return len({(one["dataset"], one["test_images"]) for one in (*first.summaries, *second.summaries)}) == 1


def oriented(pair: Pair) -> tuple[Recipe, Recipe, Difference | None]:
    """The recipe with the higher mean, the other, and their difference."""
    found = pair.difference
    if found is None:
        return pair.second, pair.first, None
    if found.difference > 0:
        return pair.second, pair.first, replace(found, counts=(found.counts[1], found.counts[0]))
    interval = found.interval and (-found.interval[1], -found.interval[0])
    return pair.first, pair.second, replace(found, difference=-found.difference, interval=interval)


def in_words(pair: Pair) -> str:
    """Whether the two differ by more than the noise, and by how much; accuracies in percent."""
    better, worse, found = oriented(pair)
    if found is None:
        datasets = [" and ".join(sorted({Path(one["dataset"]).name for one in recipe.summaries}))
                    for recipe in (better, worse)]
        return f"not compared: {better.name} was tested on {datasets[0]}, {worse.name} on {datasets[1]}"
    gain = f"{better.name} is {found.difference:.3f} points above {worse.name}" if found.difference else \
        f"{better.name} and {worse.name} have the same mean"
    if found.interval is not None:
        kind = "larger" if found.larger_than_noise else "not larger"
        low, high = map(signed, found.interval)
        return f"{kind} than the noise: {gain}, 95 % interval {low} to {high} ({method_text(found)})"
    if found.method != "none":
        return f"the noise is unknown: {gain}, and all runs of each are equal"
    single = " and ".join(f"{one.name} {_binomial(one)}" for one in (better, worse) if len(one.summaries) == 1)
    return (f"the noise is unknown: {gain}, but a single run has only the 95 % interval of "
            f"its test images: {single}")


def method_text(found: Difference) -> str:
    """The method of the comparison, and the number of runs."""
    counts = f"n = {found.counts[0]}" + (f" and {found.counts[1]}" if found.counts[0] != found.counts[1] else "")
    return {"paired": f"paired by seed, {counts}", "welch": f"Welch, {counts}", "none": counts}[found.method]


def signed(points: float) -> str:
    """A difference in percentage points, with its sign."""
    return f"{points:+.3f}".replace("-", "−")


def _binomial(recipe: Recipe) -> str:
    summary = recipe.summaries[0]
    low, high = summary["interval"]
    return f"{summary['test_accuracy']:.2f} ({low:.2f} to {high:.2f})"


def described(recipes: Sequence[Recipe], compared: Sequence[Pair]) -> dict[str, Any]:
    """Recipes and pairs as plain data, for JSON."""
    return {"recipes": [_recipe(recipe) for recipe in recipes], "pairs": [_pair(pair) for pair in compared]}


def _recipe(recipe: Recipe) -> dict[str, Any]:
    kept = ("seed", "test_accuracy", "interval", "peak_lr", "train_seconds")
    spread = {"n": 0, "mean": None, "sd": None, "interval": None} if recipe.spread is None else asdict(recipe.spread)
    first = recipe.summaries[0] if recipe.summaries else {}
    shared = {key: first.get(key) for key in ("dataset", "parameters", "macs", "epochs")}
    runs = [{"run": str(run.path), **{key: run.summary[key] if run.summary else None for key in kept},
             "seed": run.config.seed} for run in recipe.runs]
    return {"name": recipe.name, **spread, **shared, "runs": runs}


def _pair(pair: Pair) -> dict[str, Any]:
    found = pair.difference
    told = {"method": None, "counts": None, "difference": None, "interval": None, "freedom": None} if found is None \
        else asdict(found)
    return {"first": pair.first.name, "second": pair.second.name, **told,
            "larger_than_noise": found and found.larger_than_noise, "text": in_words(pair)}
