"""mnist-ops compare: compare runs, and say whether they differ by more than the noise."""

from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.arch.table import aligned
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Json, completed

if TYPE_CHECKING:
    from mnist_ops.report.html import Table

PAGE = Path("compare.html")


def compare(
    *runs: Path,
    out: Path = PAGE,
    as_json: Json = False,
) -> None:
    """Compare runs: mean, SD and n of each recipe, and whether each pair of recipes differs by more than the noise
    between seeds. Runs with the same settings except the seed count as one recipe.

    Recipes that ran on the same seeds are compared in pairs, others by Welch's interval. A single run has only the
    interval of its test images.

    Parameters
    ----------
    runs
        Run folders. A folder that contains run folders, such as a sweep's, stands for all of them.
    out
        The page to write, with its pictures next to it. An earlier mnist-ops page is replaced.
    as_json
        Print one JSON object: recipes, each with name, n, mean, sd and interval (percent) and its runs; pairs, each
        with first, second, method, difference (second minus first, percentage points), interval, larger_than_noise
        (null if unknown) and text; warnings; page; pictures.
    """
    from mnist_ops.comparison.page import check_out, pair_table, recipe_table, write_comparison
    from mnist_ops.comparison.pairs import described, in_words, pairs
    from mnist_ops.comparison.runs import group, read_runs

    check_out(out := completed(out, ".html"))
    found, unfinished = read_runs(runs)
    recipes, doubled = group(found)
    compared, warnings = pairs(recipes), [*unfinished, *doubled]
    for text in warnings:
        warn(text)
    written = write_comparison(out, recipes, compared, warnings)
    if as_json:
        show_json({**described(recipes, compared), "warnings": warnings, "page": str(written.page),
                   "pictures": [*map(str, written.pictures)]})
        return
    show(_text(recipe_table(recipes)))
    if compared:
        show("\n" + _text(pair_table(compared)) + "\n")
        for pair in compared:
            text = in_words(pair)
            show(text[0].upper() + text[1:])
    show(f"Page {written.page}")


def _text(table: "Table") -> str:
    """The caption, then the table: text columns left-aligned, numbers right-aligned."""
    return "\n".join([table.caption, *map(str.rstrip, aligned([table.head, *table.rows], table.texts))])
