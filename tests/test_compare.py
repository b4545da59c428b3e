"""Two recipes differ by more than the noise, or they do not, or it is not known; and the page that says so."""

import json
import math
import random
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.comparison.charts import draw_courses, draw_figures, mean_course
from mnist_ops.comparison.difference import difference
from mnist_ops.comparison.pairs import in_words, oriented, pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Augment, Config
from mnist_ops.errors import RunError, UsageError
from mnist_ops.mapping import to_mapping
from mnist_ops.run.folder import write_history, write_json
from mnist_ops.score.statistics import wilson
from tests.html_reading import Page, check_self_contained, check_structure

FIRST = Config(recipe="first", epochs=3, lr=0.1)
SECOND = Config(recipe="second", epochs=3, lr=0.1, augment=Augment(degrees=5.0))


def lay_run(path: Path, config: Config, correct: int | None, *, dataset: str = "mnist", count: int = 10_000) -> Path:
    """A run folder as training leaves it, without its weights; `correct` None for one that was stopped."""
    path.mkdir(parents=True)
    write_json(path / "config.json", to_mapping(replace(config, data=dataset)))
    done = config.epochs if correct is not None else 1
    write_history(path, [{"epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 90 + epoch + config.seed / 10,
                          "last_lr": 0.1, "seconds": 2.0} for epoch in range(1, done + 1)])
    if correct is not None:
        write_json(path / "summary.json", {
            "model": config.model, "recipe": config.recipe, "dataset": dataset, "parameters": 100, "macs": 200,
            "epochs": config.epochs, "peak_lr": 0.1, "seed": config.seed, "test_accuracy": 100 * correct / count,
            "interval": list(wilson(correct, count)), "test_images": count, "train_seconds": 2.0 * config.epochs})
    return path


def lay_sweep(root: Path, config: Config, correct: list[int], **options) -> Path:
    write_json_folder(root, config)
    for seed, one in enumerate(correct):
        lay_run(root / f"s{seed}", replace(config, seed=seed), one, **options)
    return root


def write_json_folder(root: Path, config: Config) -> None:
    root.mkdir(parents=True)
    write_json(root / "config.json", to_mapping(config))


# Student 1908, "The probable error of a mean", section IX: hours of sleep gained by ten patients from each of two
# drugs. His mean difference is 1.58; with t(9) = 2.262 the interval is 1.58 +- 2.262 * 1.2300 / sqrt(10).
LAEVO = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))
DEXTRO = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))


def test_equal_seeds_are_paired_as_student_paired_his_patients():
    found = difference(DEXTRO, LAEVO)
    assert (found.method, found.counts, found.freedom) == ("paired", (10, 10), 9)
    assert found.difference == pytest.approx(1.58)
    assert found.interval == pytest.approx((0.7001, 2.4599), abs=1e-3)
    assert found.larger_than_noise


def test_other_seeds_are_compared_by_welchs_interval():
    found = difference(DEXTRO, {seed + 10: hours for seed, hours in LAEVO.items()})
    # Variances 3.2006 and 4.0090, so the error of the mean is sqrt(0.72095) = 0.84909 and the degrees of freedom are
    # 0.72095^2 / ((0.32006^2 + 0.40090^2) / 9) = 17.78: 17, whose 97.5 % point is 2.1098.
    assert (found.method, found.freedom) == ("welch", 17)
    assert found.interval == pytest.approx((1.58 - 2.1098 * 0.84909, 1.58 + 2.1098 * 0.84909), abs=1e-3)
    assert found.larger_than_noise is False


def test_the_order_of_the_two_turns_the_sign_and_nothing_else():
    for second in (LAEVO, {seed + 10: hours for seed, hours in LAEVO.items()}):
        there, back = difference(DEXTRO, second), difference(second, DEXTRO)
        assert there.interval is not None
        assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
        assert back.difference == pytest.approx(-there.difference)
        assert back.freedom == there.freedom


@pytest.mark.parametrize("paired", [True, False])
def test_of_recipes_that_do_not_differ_one_in_twenty_looks_larger_than_the_noise(paired):
    draw, alarms, times = random.Random(0), 0, 1500
    for _ in range(times):
        first = {seed: draw.gauss(99.4, 0.05) for seed in range(5)}
        second = {seed if paired else seed + 5: draw.gauss(99.4, 0.05) for seed in range(5)}
        alarms += bool(difference(first, second).larger_than_noise)
    allowed = 3 * math.sqrt(0.05 * 0.95 / times)
    # Welch's degrees of freedom are rounded down, so a little below one in twenty is right as well.
    assert 0.05 - allowed - 0.01 * (not paired) < alarms / times < 0.05 + allowed


def test_pairing_sees_a_small_gain_that_the_spread_over_splits_would_hide():
    splits = [97.1, 99.0, 98.2, 96.5, 99.4]
    found = difference(dict(enumerate(splits)), {seed: one + 0.2 + 0.01 * seed for seed, one in enumerate(splits)})
    assert found.larger_than_noise
    assert not difference(dict(enumerate(splits)), {seed + 5: one + 0.2 for seed, one in enumerate(splits)}
                       ).larger_than_noise


@pytest.mark.parametrize(("first", "second", "method"), [
    ({0: 99.0}, {0: 99.5}, "none"),
    ({0: 99.0}, {0: 99.5, 1: 99.6}, "none"),
    ({0: 99.0, 1: 99.0}, {0: 99.5, 1: 99.5}, "paired"),
    ({0: 99.0, 1: 99.0}, {2: 99.5, 3: 99.5}, "welch"),
])
def test_a_single_run_or_equal_runs_say_nothing_of_the_noise(first, second, method):
    found = difference(first, second)
    assert (found.method, found.interval, found.larger_than_noise) == (method, None, None)
    assert found.difference == pytest.approx(statistics.fmean(second.values()) - 99.0)


def test_a_recipe_without_runs_is_refused():
    with pytest.raises(ValueError, match="at least one run of each"):
        difference({}, {0: 99.0})


def test_a_sweep_stands_for_its_runs_in_the_order_of_their_seeds(tmp_path):
    sweep = lay_sweep(tmp_path / "sweep", FIRST, [9940 + seed for seed in range(12)])
    runs, warnings = read_runs([sweep])
    assert [run.path.name for run in runs] == [f"s{seed}" for seed in range(12)]
    assert warnings == []
    assert len(read_runs([sweep, sweep / "s3"])[0]) == 12, "each run once"


def test_runs_are_one_recipe_where_only_the_seed_and_the_machine_differ(tmp_path):
    lay_run(tmp_path / "a", replace(FIRST, seed=1, threads=1), 9950)
    lay_run(tmp_path / "b", replace(FIRST, seed=0, threads=8, test_every=0), 9940)
    lay_run(tmp_path / "c", replace(FIRST, seed=0, epochs=4), 9960)
    recipes, warnings = group(read_runs([tmp_path])[0])
    assert [(recipe.name, list(recipe.accuracies)) for recipe in recipes] == [("first (epochs 3)", [0, 1]),
                                                                              ("first (epochs 4)", [0])]
    assert warnings == []
    found = recipes[0].spread
    assert found is not None
    assert found.n == 2
    assert [found.mean, found.sd] == pytest.approx([99.45, 0.1 / math.sqrt(2)])


def test_names_tell_recipes_apart_however_many_settings_differ(tmp_path):
    others = [replace(FIRST, epochs=4, batch_size=64, lr=0.2, validation=size) for size in (10, 20)]
    for number, config in enumerate([FIRST, *others]):
        lay_run(tmp_path / str(number), config, 9940)
    names = [recipe.name for recipe in group(read_runs([tmp_path])[0])[0]]
    assert len(set(names)) == 3
    assert "validation 0, epochs 3, batch_size 128, 1 more" in names[0]


def test_a_folder_of_pictures_is_named_without_its_place(tmp_path):
    lay_run(tmp_path / "a", replace(FIRST, data="/home/somebody/shapes"), 20, dataset="/home/somebody/shapes", count=24)
    lay_run(tmp_path / "b", FIRST, 9940)
    recipes, _ = group(read_runs([tmp_path])[0])
    (pair,) = pairs(recipes)
    assert [recipe.name for recipe in recipes] == ["first (data shapes)", "first (data mnist)"]
    assert "somebody" not in in_words(pair)


def test_the_same_seed_twice_is_not_a_further_draw_of_the_noise(tmp_path):
    for name in ("a", "b"):
        lay_run(tmp_path / name, FIRST, 9940)
    (recipe,), (warning,) = group(read_runs([tmp_path])[0])
    assert recipe.spread is not None
    assert recipe.spread.n == 1
    assert "same recipe and seed" in warning


def test_an_unfinished_run_is_told_of_and_has_no_figure(tmp_path):
    sweep = lay_sweep(tmp_path / "sweep", FIRST, [9940, 9950])
    lay_run(sweep / "s2", replace(FIRST, seed=2), None)
    runs, (warning,) = read_runs([sweep])
    assert "s2: not finished, 1 of 3 epochs" in warning
    (recipe,), _ = group(runs)
    assert list(recipe.accuracies) == [0, 1]
    assert len(recipe.runs) == 3


def test_what_is_not_a_run_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    run = lay_run(tmp_path / "run", FIRST, 9940)
    with pytest.raises(RunError, match=r"empty: neither it nor .* has a config\.json.*folder written by mnist-ops"):
        read_runs([run, tmp_path / "empty"])
    with pytest.raises(RunError, match="gone: does not exist"):
        read_runs([run, tmp_path / "gone"])
    with pytest.raises(UsageError, match="run: is one run; expected at least two"):
        read_runs([run])


def test_a_damaged_summary_is_refused_by_name(tmp_path):
    sweep = lay_sweep(tmp_path / "sweep", FIRST, [9940, 9950])
    write_json(sweep / "s1" / "summary.json", {"test_accuracy": "high"})
    with pytest.raises(RunError, match=r"s1.summary\.json: damaged.*restore it"):
        read_runs([sweep])


def recipes_of(tmp_path, first, second, **options):
    lay_sweep(tmp_path / "first", FIRST, first)
    lay_sweep(tmp_path / "second", SECOND, second, **options)
    return group(read_runs([tmp_path / "first", tmp_path / "second"])[0])[0]


@pytest.mark.parametrize(("first", "second", "words"), [
    ([9950, 9951, 9949], [9940, 9942, 9941], r"^larger than the noise: first is 0\.090 points above second, 95 % "
                                             r"interval \+0\.0\d\d to \+0\.\d{3} \(paired by seed, n = 3\)$"),
    ([9940, 9960, 9950], [9945, 9946, 9950], r"^not larger than the noise: first is 0\.030 points above .*−0\."),
    ([9940, 9960, 9950], [9950, 9951], r"^not larger.*second is 0\.005 points above first.*\(Welch, n = 2 and 3\)$"),
    ([9950], [9940, 9960], r"^the noise is unknown:.*a single run has only the 95 % interval of its "
                           r"test images: first 99\.50 \(99\.34 to 99\.62\)$"),
    ([9950, 9950], [9940, 9940], r"^the noise is unknown: first is 0\.100 points above second, and all runs"),
    ([9950, 9950], [9950, 9950], r"^the noise is unknown: first and second have the same mean"),
])
def test_the_answer_in_words(tmp_path, first, second, words):
    (pair,) = pairs(recipes_of(tmp_path, first, second))
    assert re.search(words, in_words(pair)), in_words(pair)


def test_runs_on_other_data_are_not_compared(tmp_path):
    (pair,) = pairs(recipes_of(tmp_path, [9950, 9940], [9950, 9940], dataset="kmnist"))
    assert pair.difference is None
    assert in_words(pair) == "not compared: second was tested on kmnist, first on mnist"


def test_the_better_recipe_comes_first_in_what_is_shown(tmp_path):
    (pair,) = pairs(recipes_of(tmp_path, [9950, 9951, 9949], [9940, 9942, 9941]))
    better, worse, found = oriented(pair)
    assert (better.name, worse.name) == ("first", "second")
    assert found is not None
    assert pair.difference is not None
    assert found.difference == -pair.difference.difference > 0
    assert found.interval is not None
    assert found.interval[0] < found.difference < found.interval[1]


def test_the_curves_show_the_mean_of_the_runs_that_have_the_epoch(tmp_path):
    sweep = lay_sweep(tmp_path / "sweep", FIRST, [9940, 9950])
    lay_run(sweep / "s4", replace(FIRST, seed=4), None)  # its one epoch
    (recipe,), _ = group(read_runs([sweep])[0])
    epochs, means = mean_course(recipe, "train_accuracy")
    assert epochs == [1, 2, 3]
    assert means == pytest.approx([91 + (0 + 0.1 + 0.4) / 3, 92.05, 93.05])
    assert mean_course(recipe, "test_accuracy") == ([], [])


def test_the_last_epoch_of_every_run_is_inside_the_picture_of_the_curves(tmp_path):
    sweep = lay_sweep(tmp_path / "sweep", FIRST, [9940, 9950])
    write_history(sweep / "s0", [{"epoch": epoch, "train_loss": 2.0, "train_accuracy": 12.0, "last_lr": 0.1,
                                  "seconds": 2.0} for epoch in (1, 2, 3)])
    recipes, _ = group(read_runs([sweep])[0])
    low, high = draw_courses(recipes).axes[1].get_ylim()
    assert low < 12.0
    assert high > 93.1


def test_the_picture_of_the_figures_has_a_dot_for_each_run(tmp_path):
    panel = draw_figures(recipes_of(tmp_path, [9950, 9951, 9949], [9940, 9942])).axes[0]
    points = [(line.get_marker(), np.sort(np.asarray(line.get_xdata())).tolist()) for line in panel.lines]
    dots = [values for marker, values in points if marker == "o"]
    assert dots == [pytest.approx([99.49, 99.50, 99.51]), pytest.approx([99.40, 99.42])]
    assert [values for marker, values in points if marker == "D"] == [pytest.approx([99.50]), pytest.approx([99.41])]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison by the command: its page, and what --json says."""
    root = tmp_path_factory.mktemp("compared")
    lay_sweep(root / "first", replace(FIRST, recipe="<b>first</b> & $x^2$"), [9950, 9951, 9949])
    lay_sweep(root / "second", SECOND, [9940, 9942, 9941])
    lay_run(root / "second" / "s3", replace(SECOND, seed=3), None)
    page = root / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        told: list[dict[str, Any]] = []
        patch.setattr("mnist_ops.cli.compare.show_json",
                      lambda content: told.append(json.loads(json.dumps(content, allow_nan=False))))
        assert main(["compare", str(root / "first"), str(root / "second"), "--out", str(page), "--json"]) == 0
    return page, told[0]


def test_json_holds_mean_sd_and_n_of_each_recipe_and_every_pair(compared):
    page, told = compared
    first, second = told["recipes"]
    assert (first["n"], first["mean"], first["sd"]) == (3, pytest.approx(99.50), pytest.approx(0.01))
    assert [run["test_accuracy"] for run in second["runs"]] == [99.40, 99.42, 99.41, None]
    (pair,) = told["pairs"]
    assert (pair["method"], pair["counts"], pair["larger_than_noise"]) == ("paired", [3, 3], True)
    assert pair["difference"] == pytest.approx(-0.09)
    assert "s3: not finished" in told["warnings"][0]
    assert told["page"] == str(page)
    assert [Path(name).name for name in told["pictures"]] == ["page-curves.png", "page-figures.png"]


def test_the_page_holds_it_all_and_fetches_nothing(compared):
    page = Page(compared[0].read_text("utf-8"))
    check_self_contained(page)
    check_structure(page)
    assert [one.attributes["id"] for one in page.all("section")] == ["recipes", "noise", "course", "runs", "warnings"]
    rows = page.table("Test accuracy in percent over n seeds")
    assert rows[1][:5] == ["<b>first</b> & $x^2$", "3", "99.500", "0.010", "99.475 to 99.525"]
    assert page.table("Difference of the mean")[1][1:4] == ["larger", "paired by seed, n = 3", "+0.090"]
    assert [row[3] for row in page.table("Test accuracy in percent with")[1:]] == ["99.50", "99.51", "99.49", "99.40",
                                                                                   "99.42", "99.41", "–"]
    assert "Larger than the noise" in page.words("noise")
    assert "s3: not finished" in page.words("warnings")
    assert page.all("b") == []


def test_the_pictures_in_the_page_are_the_files_beside_it(compared):
    images = Page(compared[0].read_text("utf-8")).all("img")
    for image, name in zip(images, ("page-figures.png", "page-curves.png"), strict=True):
        with Image.open(compared[0].with_name(name)) as picture:
            assert (2 * int(image.attributes["width"]), 2 * int(image.attributes["height"])) == picture.size


def test_the_screen_shows_the_same_and_an_earlier_page_is_replaced(compared, capsys):
    page, _ = compared
    root = page.parent
    assert main(["compare", str(root / "first"), str(root / "second"), "--out", str(page)]) == 0
    told, warned = capsys.readouterr()
    assert "Larger than the noise: <b>first</b> & $x^2$ is 0.090 points above second" in told
    assert told.endswith(f"Page {page}\n")
    assert "s3: not finished" in warned


def test_a_file_that_is_not_a_page_of_ours_is_refused_before_anything_is_written(compared, capsys):
    root = compared[0].parent
    notes = root / "notes.html"
    notes.write_text("<p>mine</p>")
    assert main(["compare", str(root / "first"), "--out", str(notes)]) == 2
    assert "notes.html: exists and was not written by mnist-ops" in capsys.readouterr().err
    assert notes.read_text() == "<p>mine</p>"
    assert main(["compare", str(root / "first"), "--out", str(root / "none" / "page.html")]) == 2
    assert "which does not exist" in capsys.readouterr().err
    assert main(["compare", str(root / "first"), "--out", str(root)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_without_runs_the_command_says_what_it_wants(capsys):
    assert main(["compare"]) == 2
    assert "no runs given; expected at least two to compare" in capsys.readouterr().err


def test_pictures_that_belong_to_no_page_are_not_replaced(compared, capsys):
    root = compared[0].parent
    (root / "new-curves.png").write_bytes(b"mine")
    assert main(["compare", str(root / "first"), str(root / "second"), "--out", str(root / "new.html")]) == 2
    assert "new-curves.png: exists without a page that it belongs to" in capsys.readouterr().err
    assert (root / "new-curves.png").read_bytes() == b"mine"
