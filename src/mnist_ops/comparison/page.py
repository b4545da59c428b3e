"""The page that compares runs: their curves, mean and SD per recipe, and which differences exceed the noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mnist_ops.comparison.charts import draw_courses, draw_figures, panels
from mnist_ops.comparison.pairs import Pair, in_words, method_text, oriented, signed
from mnist_ops.comparison.runs import Recipe
from mnist_ops.disk import write_whole
from mnist_ops.errors import RunError, UsageError, legible
from mnist_ops.report.html import Table, embed, render
from mnist_ops.report.style import write_picture

SECTIONS = {
    "recipes": "The recipes",
    "noise": "Larger than the noise?",
    "course": "Training curves",
    "runs": "Every run",
    "warnings": "Warnings",
}
OURS = b'<meta name="generator" content="mnist-ops'  # near the beginning of every page written by mnist-ops
LONGEST_HEADING = 60  # characters
PICTURES = ("curves", "figures")  # the names of its pictures end so
ANSWERS = {True: "larger", False: "not larger", None: "not known"}


@dataclass(frozen=True)
class Written:
    """The written files."""

    page: Path
    pictures: tuple[Path, ...]


def check_out(page: Path) -> None:
    """Refuse to replace a file that mnist-ops did not write. Raises UsageError."""
    if page.is_dir() or not page.parent.is_dir():
        found = "a folder" if page.is_dir() else f"in {page.parent}, which does not exist"
        raise UsageError(f"{page}: is {found}; expected --out to be the page to write, such as compare.html")
    try:
        if page.exists() and OURS not in page.read_bytes()[:4000]:
            raise UsageError(f"{page}: exists and was not written by mnist-ops; choose another page with --out")
        for picture in (page.with_name(f"{page.stem}-{name}.png") for name in PICTURES):
            if picture.exists() and not page.exists():
                raise UsageError(f"{picture}: exists without a page that it belongs to; choose another page with --out")
    except OSError as error:
        raise RunError(f"{page}: cannot be read ({error.strerror}); choose another page with --out") from error


def write_comparison(page: Path, recipes: Sequence[Recipe], pairs: Sequence[Pair], warnings: Sequence[str]) -> Written:
    """Write `page`, and its pictures next to it. Replaces an earlier one; see `check_out`.

    Raises RunError if that fails."""
    check_out(page)
    pictures, embedded = [], {}
    if panels(recipes):
        pictures.append(write_picture(page.with_name(f"{page.stem}-curves.png"), lambda: draw_courses(recipes)))
        embedded["curves"] = embed(pictures[-1], "The runs over their epochs", curves_alt(recipes))
    if any(recipe.summaries for recipe in recipes):
        pictures.append(write_picture(page.with_name(f"{page.stem}-figures.png"), lambda: draw_figures(recipes)))
        embedded["figures"] = embed(pictures[-1], "The reported accuracy of every run", figures_alt(recipes))
    names = [legible(recipe.name) for recipe in recipes]
    heading = " · ".join(names)
    content = render(
        "comparison/templates/compare.html.jinja", f"Comparison of {', '.join(names)}", sections=SECTIONS, names=names,
        pictures=embedded,
        heading=heading if len(heading) <= LONGEST_HEADING else f"{len(names)} recipes compared",
        count=sum(len(recipe.runs) for recipe in recipes), recipes=recipe_table(recipes), pairs=pair_table(pairs),
        words=[(pair.difference is not None and pair.difference.larger_than_noise, legible(in_words(pair)))
               for pair in pairs], runs=run_table(recipes), warnings=warnings)
    write_whole(page, content)
    return Written(page, tuple(pictures))


def curves_alt(recipes: Sequence[Recipe]) -> str:
    """The curves in words."""
    parts = [f"{legible(recipe.name)} ends at a mean training loss of {fmean(ends):.4f} nats" for recipe in recipes
             if (ends := [run.history[-1]["train_loss"] for run in recipe.runs if run.history])]
    return (f"{' and '.join(key.replace('_', ' ') for key in panels(recipes))} over the epochs, a thin line for each "
            f"run and a thick one for each recipe's mean: {'; '.join(parts)}.").capitalize()


def figures_alt(recipes: Sequence[Recipe]) -> str:
    """The picture of the accuracies in words."""
    parts = [f"{legible(recipe.name)} from {min(values):.2f} to {max(values):.2f}, mean {found.mean:.3f}"
             for recipe in recipes if (found := recipe.spread) and (values := recipe.accuracies.values())]
    return f"Test accuracy in percent, a dot for each run: {'; '.join(parts)}."


def recipe_table(recipes: Sequence[Recipe]) -> Table:
    """Mean, SD, interval and n of each recipe, and its cost."""
    rows = []
    for recipe in recipes:
        found, summaries = recipe.spread, recipe.summaries
        if found is None:
            rows.append((legible(recipe.name), "0", *["–"] * 6))
            continue
        sd = "–" if found.sd is None else f"{found.sd:.3f}"
        interval = "–" if found.interval is None else f"{found.interval[0]:.3f} to {found.interval[1]:.3f}"
        seconds = fmean(one["train_seconds"] for one in summaries)
        rows.append((legible(recipe.name), str(found.n), f"{found.mean:.3f}", sd, interval,
                     f"{summaries[0]['parameters']:,}", f"{summaries[0]['epochs']}", f"{seconds:.0f}"))
    return Table("Test accuracy in percent over n seeds: mean, SD and 95 % interval of the mean (Student's t); mean "
                 "seconds of training", ("Recipe", "n", "Mean", "SD", "Interval", "Parameters", "Epochs", "Seconds"),
                 rows)


def pair_table(pairs: Sequence[Pair]) -> Table:
    """Each pair of recipes: the difference, its interval, and the answer."""
    rows = []
    for better, worse, found in map(oriented, pairs):
        name = f"{legible(better.name)} − {legible(worse.name)}"
        if found is None:
            rows.append((name, "not compared", "other data", "–", "–"))
            continue
        interval = "–" if found.interval is None else " to ".join(map(signed, found.interval))
        rows.append((name, ANSWERS[found.larger_than_noise], method_text(found), signed(found.difference), interval))
    return Table("Difference of the mean test accuracies in percentage points, with its 95 % interval",
                 ("Difference", "Than the noise", "Method", "Points", "Interval"), rows, 3)


def run_table(recipes: Sequence[Recipe]) -> Table:
    """Every run with its accuracy and the interval of its test images."""
    rows = []
    for recipe in recipes:
        for run in recipe.runs:
            one: Any = run.summary
            known = ("–",) * 4 if one is None else (
                f"{one['test_accuracy']:.2f}", f"{one['interval'][0]:.2f} to {one['interval'][1]:.2f}",
                f"{one['peak_lr']:.4g}", f"{one['train_seconds']:.0f}")
            rows.append((_short(run.path), legible(recipe.name), str(run.config.seed), *known))
    return Table("Test accuracy in percent with the 95 % interval of its test images, peak learning rate, "
                 "seconds of training",
                 ("Run", "Recipe", "Seed", "Accuracy", "Interval", "Rate", "Seconds"), rows, 2)


def _short(path: Path) -> str:
    """The last two names of a run folder's path, as its location is private."""
    return legible("/".join(path.resolve().parts[-2:]))
