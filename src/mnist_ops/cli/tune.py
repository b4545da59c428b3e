"""mnist-ops tune: run only the learning-rate range test."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ops.cli.download import read_source
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Json, RecipeName, Selection, configure
from mnist_ops.config import Config
from mnist_ops.disk import make_empty
from mnist_ops.run.folder import RANGE_TEST, write_json

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.optim.tune import RangeTest


def tune(
    recipe: RecipeName = None,
    /,
    *,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate: train for a few hundred steps at increasing rates and see where the loss falls.

    The curve gives three suggestions: its steepest point per decade of rate, the point half way down its longest fall
    (valley), and a tenth of the rate at its minimum. The loss is the mean cross-entropy.

    Parameters
    ----------
    out
        Folder for lr.json (rates, losses, suggestions) and lr.png (the curve) [default: not written].
    as_json
        Print only one JSON object: the content of lr.json, and recipe, model, dataset and seed.
    """
    config = configure(recipe, selection)
    if out is not None:
        make_empty(out)
    source = read_source(config, selection.data_dir)
    for text in source.warnings:
        warn(text)
    found = _search(config, source, as_json)
    if out is not None:
        _keep(found, out)
    if as_json:
        show_json({"recipe": config.recipe, "model": config.model, "dataset": source.name, "seed": config.seed,
                   **asdict(found)})
    elif out is not None:
        show(f"Written to {out}")


def _search(config: Config, source: "ImageDataset", as_json: bool) -> "RangeTest":
    """Run this config's range test, showing its progress and result."""
    from mnist_ops.cli.screen import open_screen
    from mnist_ops.optim.tune import RangeTest, search
    from mnist_ops.settle import settle

    with open_screen(as_json, say=show) as screen:
        for event in search(settle(config, source), source):
            screen.draw(event)
    assert isinstance(event, RangeTest)
    return event


def _keep(found: "RangeTest", folder: Path) -> None:
    from mnist_ops.report.charts import draw_rate
    from mnist_ops.report.style import write_picture

    write_json(folder / RANGE_TEST, asdict(found))
    write_picture(folder / "lr.png", lambda: draw_rate(found))
