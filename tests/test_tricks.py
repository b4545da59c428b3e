"""What the tricks of the recipes are worth: every one is switched off for real, and the page states what was found."""

import json
from dataclasses import replace

import pytest

from mnist_ops.config import RECIPES
from mnist_ops.data.source import read
from mnist_ops.mapping import to_mapping
from mnist_ops.model import layers_of
from tools import tricks
from tools.rates import Validated
from tools.tricks import TRICKS, Trick, measure, page

ONE = [Trick("batches of 64", "micro", "batches of 128", {"batch_size": 128}, 6, [7, 8])]


def test_every_trick_is_one_that_its_recipe_has_and_can_do_without():
    for trick in TRICKS:
        without, with_it = trick.configs()
        assert without != with_it == replace(RECIPES[trick.recipe], epochs=with_it.epochs)
        assert layers_of(without, 10)


def test_the_gain_is_paired_by_seed_and_no_run_is_made_twice(monkeypatch, tmp_path):
    accuracies = {(128, 7): 98.0, (128, 8): 98.5, (64, 7): 98.3, (64, 8): 99.0}
    asked = []

    def validate_all(tasks):
        for config, images in tasks:
            asked.append((config.batch_size, config.seed, config.epochs, images))
            loss = 0.05 + config.seed * config.batch_size / 1e5
            yield Validated(accuracies[config.batch_size, config.seed], loss, 0.1)

    monkeypatch.setattr(tricks, "validate_all", validate_all)
    monkeypatch.setattr(tricks, "source", lambda images: read("digits"))
    path = tmp_path / "tricks.json"
    measure([replace(ONE[0], seeds=[7])], path)
    measure(ONE * 2, path)
    assert sorted(asked) == sorted([(size, seed, 6, 55_000) for size in (128, 64) for seed in (7, 8)])
    figures = json.loads(path.read_text())
    assert asked[0] == (128, 7, 6, 55_000)
    assert figures["engine"] == "pytorch" or figures["precision"] == "float32"  # what compiled steps compute in
    assert f"{figures['precision']}, engine {figures['engine']}" in " ".join(page(ONE, figures).split())
    row = next(line for line in page(ONE, figures).splitlines() if line.startswith("| `micro`"))
    # Differences 0.3 and 0.5: mean 0.4, standard error 0.1, Student's t for one degree of freedom 12.706.
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "`micro`, 6", "batches of 64", "batches of 128", "2", "98.65 %", "98.25 %", "+0.40", "-0.87 to +1.67", "0.0548",
        "0.0596", "-0.0089 to -0.0007"]


def test_figures_of_recipes_as_they_were_are_refused():
    with pytest.raises(SystemExit, match=r"no runs of micro as it is now; run python -m tools\.tricks"):
        page(ONE, {"runs": []})


@pytest.mark.parametrize("results", [({}, {}), ({"7": {"accuracy": 98.0}}, {}),
                                     ({"7": {"accuracy": 98.0}}, {"8": {"accuracy": 98.0}})])
def test_unfinished_figures_make_no_page(results):
    runs = [{"config": to_mapping(config), "results": found}
            for config, found in zip(ONE[0].configs(), results, strict=True)]
    with pytest.raises(SystemExit, match=r"not all runs are there; run python -m tools\.tricks"):
        page(ONE, {"runs": runs})
