"""The pictures of a run folder: what they show, that it can be read, and that the files are sound."""

import itertools
import math
from dataclasses import asdict, replace
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from mnist_ops.config import Augment, Config, Tune, recipe
from mnist_ops.data.source import read
from mnist_ops.data.tensors import Dataset, Split, normalise, to_device, to_unit
from mnist_ops.errors import RunError
from mnist_ops.mapping import to_mapping
from mnist_ops.optim.tune import RangeTest, Suggestion, read_off, sweep_rates
from mnist_ops.report import alt_texts, style
from mnist_ops.report.charts import draw_curves, draw_rate
from mnist_ops.report.findings import gather
from mnist_ops.report.gallery import draw_augmentation
from mnist_ops.report.plot_data import (
    Line,
    accuracy_limits,
    augmented,
    below,
    choose,
    describe,
    lines,
    loss_limits,
    marks,
    spread_labels,
)
from mnist_ops.report.plots import draw_all, pictures
from mnist_ops.run.folder import write_history, write_json
from mnist_ops.run.range_test import read_range_test
from mnist_ops.score.verdict import Row


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return to_device(read("digits"), 0, torch.device("cpu"))


def range_test(**changes) -> RangeTest:
    """A loss that falls from 2.3 to 0.4 around the rate 0.06 and rises steeply from the rate 1 on."""
    cfg = Tune(**{"scale": 1.0} | changes)
    rates = sweep_rates(cfg)[:180]
    losses = [2.3 - 1.9 / (1 + math.exp(-6 * (math.log10(rate) + 1.2))) + 9 * max(0, math.log10(rate)) ** 2
              for rate in rates]
    return read_off(rates, losses, cfg, rates[-1])


def history(epochs: int, **parts) -> list[Row]:
    """Rows in which train rises to 99 %; `test` and `validation` say at which epochs those are evaluated."""
    rows = [{"epoch": epoch, "train_loss": 2 / epoch, "train_accuracy": 99 - 60 * 0.3 ** (epoch - 1),
             "last_lr": 0.1 / epoch, "seconds": 1.0} for epoch in range(1, epochs + 1)]
    for part, evaluated in parts.items():
        for epoch in evaluated:
            rows[epoch - 1] |= {f"{part}_loss": 1 / epoch, f"{part}_accuracy": 98 + epoch / 100}
    return rows


def extents(figure: Figure, texts):
    figure.draw_without_rendering()
    # An annotation's own extent would include its leader.
    return [matplotlib.text.Text.get_window_extent(text) for text in texts]


def key_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_suggestion_is_labelled_with_its_name_rate_and_loss():
    test = range_test()
    shown = {mark.text[0]: mark for mark in marks(test)}
    for name in ("valley", "minimum/10"):
        one = test.suggestions[name]
        assert shown[name].text == (name, f"rate {one.rate:.3g}", f"loss {one.loss:.3g}")
        assert (shown[name].kind, shown[name].rate, shown[name].loss) == ("suggestion", one.rate, one.loss)
    assert shown["steepest (used)"].kind == "used"
    assert [mark.rate for mark in marks(test)] == sorted(mark.rate for mark in marks(test))


def test_the_peak_rate_has_a_label_of_its_own_only_where_it_is_not_a_suggestion():
    same, doubled = range_test(), range_test(scale=2.0)
    assert [mark.kind for mark in marks(same)].count("peak") == 0
    assert f"peak rate {same.lr:.3g}" in next(mark for mark in marks(same) if mark.kind == "used").text
    peak = next(mark for mark in marks(doubled) if mark.kind == "peak")
    assert (peak.rate, peak.text) == (2 * same.lr, (f"peak rate {2 * same.lr:.3g}", "= 2 × used"))


def test_the_first_divergence_is_marked_where_there_was_one():
    test = range_test()
    assert test.stopped_at is not None
    assert marks(test)[-1].text == ("first divergence", f"rate {test.stopped_at:.3g}")
    assert "diverged" not in {mark.kind for mark in marks(replace(test, stopped_at=None))}


def test_a_diverged_end_does_not_spoil_the_axis_of_loss():
    test = range_test()
    wild = replace(test, losses=(*test.losses[:-1], 1e6), smoothed=(*test.smoothed[:-1], 1e5))
    low, high = loss_limits(wild)
    assert (low, high) == loss_limits(test)
    assert high < 2.8  # the curve starts at 2.3
    assert all(low < one.loss < high for one in test.suggestions.values())
    assert low < min(test.losses)


@pytest.mark.parametrize(("places", "width", "centres"), [
    ([0.3, 0.7], 0.2, [0.3, 0.7]),  # far enough apart: left where they are
    ([0.5, 0.5], 0.2, [0.4, 0.6]),  # half a width to each side
    ([0.5, 0.5, 0.5], 0.2, [0.3, 0.5, 0.7]),
    ([0.0, 1.0], 0.2, [0.1, 0.9]),  # inside the edges
    ([0.0, 0.01], 0.2, [0.1, 0.3]),
])
def test_labels_are_spread_around_where_they_want_to_be(places, width, centres):
    assert spread_labels(places, width) == pytest.approx(centres)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted))
def test_spread_labels_keep_their_distance_and_stay_inside(places):
    centres = spread_labels(places, 0.2)
    assert min(centres) >= 0.1 - 1e-9
    assert max(centres) <= 0.9 + 1e-9
    assert all(right - left >= 0.2 - 1e-9 for left, right in itertools.pairwise(centres))


@pytest.mark.parametrize(("rate", "nearness"), [(0.00123, 1.0), (0.0644, 1.02), (0.0644, 1.5), (3.9, 1.02)])
def test_labels_meet_neither_each_other_nor_the_curve(nearness, rate):
    near = {name: Suggestion(rate * nearness**k, 1.33) for k, name in enumerate(("steepest", "valley", "minimum/10"))}
    test = replace(range_test(), suggestions=near, used="minimum/10", lr=0.125 * near["minimum/10"].rate)
    with style.look():
        figure = draw_rate(test)
        (axes,) = figure.axes
        boxes = extents(figure, [*axes.texts, *figure.texts])
        frame = axes.get_window_extent()
    assert len(boxes) == 6  # three suggestions, peak, divergence; title
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in (*boxes[:number], frame))


def test_the_peak_rate_is_a_line_and_the_used_suggestion_a_filled_point():
    test = range_test(scale=2.0)
    with style.look():
        (axes,) = draw_rate(test).axes
    assert any(np.allclose(line.get_xdata(), test.lr) and line.get_ydata() == [0, 1] for line in axes.lines)
    points = {float(np.asarray(line.get_xdata())[0]): line for line in axes.lines if line.get_marker() == "o"}
    filled = [rate for rate, line in points.items() if line.get_markerfacecolor() != "white"]
    assert sorted(points) == sorted(one.rate for one in test.suggestions.values())
    assert filled == [test.suggestions["steepest"].rate]
    assert axes.get_xscale() == "log"


def test_a_line_has_the_epochs_at_which_its_part_was_evaluated():
    rows = history(4, test=[2, 4])
    assert lines(rows, "accuracy")[1] == Line("test", (2, 4), (98.02, 98.04))
    assert [line.part for line in lines(rows, "loss")] == ["train", "test"]
    assert [line.part for line in lines(history(3, validation=[1, 2, 3]), "loss")] == ["train", "validation"]


def test_a_low_start_does_not_squash_the_accuracies():
    shown = [Line("train", (1, 2, 3, 4, 5, 6, 7, 8), (20.0, 90.0, 96.0, 97.0, 98.0, 98.5, 98.9, 99.0))]
    low, high = accuracy_limits(shown, 99.4)
    assert (low, high) == pytest.approx((96 - 0.08 * 3.4, 99.4 + 0.08 * 3.4))  # epochs 3 to 8 and the target: 3.4 wide
    assert below(shown, low) == "below this axis: epochs 1 to 2, down to 20.0 %"


def test_a_start_that_squashes_nothing_stays_in_the_picture():
    shown = [Line("train", (1, 2, 3, 4), (50.0, 60.0, 70.0, 80.0))]
    low, high = accuracy_limits(shown, 0)
    assert low < 50 < 80 < high < 90
    assert below(shown, low) == ""


@pytest.mark.parametrize("value", [0.0, 37.5, 100.0])
def test_one_epoch_has_an_axis_too(value):
    low, high = accuracy_limits([Line("train", (1,), (value,))], 0)
    assert low < value < high


@pytest.mark.parametrize(("epochs", "evaluated"), [(1, []), (1, [1]), (2, []), (40, [10, 20, 40])])
def test_curves_have_whole_epochs_and_the_parts_there_are(epochs, evaluated):
    rows = history(epochs, test=evaluated)
    with style.look():
        figure = draw_curves(rows, 99.4)
        top, middle, bottom = figure.axes
        figure.draw_without_rendering()
    low, high = bottom.get_xlim()
    ticks = [tick for tick in bottom.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) for tick in ticks)
    assert [line.get_label() for line in middle.lines] == (["train", "test"] if evaluated else ["train"])
    assert top.get_xlim() == bottom.get_xlim()
    assert np.asarray(bottom.lines[0].get_ydata()).tolist() == [row["last_lr"] for row in rows]
    assert max(top.get_yticks()) <= 100


def test_the_target_is_a_line_where_there_is_one():
    rows = history(3, test=[1, 2, 3])
    with style.look():
        aimed, free = draw_curves(rows, 99.4), draw_curves(rows, 0)
    assert key_of(aimed) == ["train (93.60 % last)", "test (98.03 % last)", "target 99.4 %"]
    assert key_of(free) == ["train (93.60 % last)", "test (98.03 % last)"]
    assert [99.4, 99.4] in [np.asarray(line.get_ydata()).tolist() for line in aimed.axes[0].lines]


def test_the_epoch_whose_weights_were_kept_is_marked_where_it_is_not_the_last():
    rows = history(3, validation=[1, 2, 3])
    with style.look():
        assert not any("kept" in text for text in key_of(draw_curves(rows, 0)))
        rows[1]["validation_accuracy"] = 99.9
        assert "weights kept: epoch 2" in key_of(draw_curves(rows, 0))


@pytest.mark.parametrize(("losses", "scale"), [((2.0, 0.1), "log"), ((2.0, 1.5), "linear"), ((2.0, 0.0), "linear")])
def test_losses_that_span_much_get_a_logarithmic_axis(losses, scale):
    rows = [row | {"train_loss": loss} for row, loss in zip(history(2), losses, strict=True)]
    with style.look():
        assert draw_curves(rows, 0).axes[1].get_yscale() == scale


@pytest.mark.parametrize(("labels", "count", "index"), [
    ([2, 0, 1, 0, 2], 3, [1, 2, 0]),  # the first of each class, by class
    ([2, 0, 1, 0, 2], 4, [1, 3, 2, 0]),  # then a second one of class 0
    ([1, 1], 8, [0, 1]),  # there are no more
])
def test_the_images_shown_are_of_as_many_classes_as_possible(labels, count, index):
    assert choose(labels, count) == index


def test_the_parts_that_are_on_are_named_with_their_strength():
    on = Augment(contrast=0.07, perspective=0.2, degrees=15, zoom=0.12, shift=2, shear=0.1)
    assert describe(on) == ("contrast ±7 %", "perspective up to 0.2 of half the side in 50 % of images",
                            "rotation ±15°", "scale ±12 %", "shear ±0.1", "shift ±2 px",
                            "outside filled with the mean")
    assert describe(Augment(brightness=0.2)) == ("brightness ±20 %",)
    assert describe(Augment(perspective=0.2, perspective_share=0)) == ()
    assert describe(Augment(degrees=5, fill="black"))[-1] == "outside filled with black"


def test_originals_come_first_and_then_draws_that_differ(digits):
    shown = augmented(digits, recipe("default"))
    index = choose(digits.train.labels.tolist(), 8)
    scaled = normalise(to_unit(digits.train.images[index]), digits.mean, digits.sd)
    assert shown.images.shape == (9, 8, 28, 28)
    assert np.array_equal(shown.images[0], scaled[:, 0].numpy())
    assert shown.classes == ("0", "1", "2", "3", "4", "5", "6", "7")
    for first in range(9):
        for second in range(first):
            assert (shown.images[first] != shown.images[second]).any(axis=(1, 2)).all()
    assert shown.images.min() >= shown.grey[0] - 1e-5
    assert shown.images.max() <= shown.grey[1] + 1e-5


def test_the_draws_follow_the_seed_alone(digits):
    config = recipe("default")
    state = torch.get_rng_state()
    first, again = augmented(digits, config), augmented(digits, config)
    other = augmented(digits, replace(config, seed=1))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images[1:], other.images[1:])
    assert torch.equal(torch.get_rng_state(), state)


def test_without_augmentation_the_draw_is_the_original(digits):
    shown = augmented(digits, Config())
    assert shown.parts == ()
    assert len(shown.images) == 2
    assert np.array_equal(shown.images[0], shown.images[1])


def test_each_image_has_a_row_with_its_original_first(digits):
    shown = augmented(digits, recipe("default"))
    with style.look():
        figure: Any = draw_augmentation(shown, "digits")
    placed = {(image.ox, image.oy): np.asarray(image.get_array())[::5, ::5] for image in figure.images}
    lefts, tops = sorted({left for left, _ in placed}), sorted({top for _, top in placed}, reverse=True)
    assert (len(lefts), len(tops)) == (9, 8)
    for column, left in enumerate(lefts):
        for row, top in enumerate(tops):
            assert np.array_equal(placed[left, top], shown.images[column, row])
    headings = {text.get_position()[0]: text.get_text() for text in figure.texts if text.get_ha() == "center"}
    assert [headings[place] for place in sorted(headings)] == ["original", *(f"draw {draw}" for draw in range(1, 9))]


def test_class_names_of_a_folder_are_labels_as_they_are_and_fit(digits):
    few = digits.train.labels < 3
    named = replace(digits, classes=("5 $", "a name far too long\nfor its row", "$x^2$"),
                    train=Split(digits.train.images[few], digits.train.labels[few]))
    everything = Augment(brightness=0.25, contrast=0.25, perspective=0.25, degrees=12.5, shift=2.5, zoom=0.125,
                         shear=0.125)
    with style.look():
        figure: Any = draw_augmentation(augmented(named, Config(augment=everything)), "$shapes$")
        labels = [text for text in figure.texts if text.get_ha() == "right"]
        boxes = extents(figure, figure.texts)
    texts = [label.get_text() for label in labels]
    assert texts[0] == "5 $"
    assert texts[-1] == "$x^2$"
    assert texts[3].startswith("a name")
    assert texts[3].endswith("…")
    assert not any(text.get_parse_math() for text in (*labels, figure.texts[0], figure.texts[1]))
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:number])


@pytest.fixture
def run_folder(tmp_path, digits):
    """A run with everything but weights."""
    write_json(tmp_path / "config.json", to_mapping(replace(recipe("default"), data="digits")))
    write_json(tmp_path / "lr.json", asdict(range_test()))
    write_history(tmp_path, history(3, test=[1, 2, 3]))
    return tmp_path


def test_a_run_folder_gets_its_pictures_and_the_same_bytes_each_time(run_folder):
    names = [picture.name for picture in draw_all(gather(run_folder), run_folder)]
    assert names == ["lr.png", "curves.png", "augmentation.png"]
    before = [(run_folder / name).read_bytes() for name in names]
    for name in names:
        with Image.open(run_folder / name) as picture:
            assert picture.width == 1600  # twice the 800 pixels that a page shows
            assert set(picture.info) <= {"dpi"}  # neither date nor version
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        draw_all(gather(run_folder), run_folder)
    assert [(run_folder / name).read_bytes() for name in names] == before


def test_a_run_without_a_range_test_or_an_epoch_gets_the_other_pictures(tmp_path):
    write_json(tmp_path / "config.json", to_mapping(replace(recipe("default"), lr=0.1, data="digits")))
    assert [picture.name for picture, _ in pictures(gather(tmp_path))] == ["augmentation.png"]
    write_history(tmp_path, history(1))
    assert [picture.name for picture, _ in pictures(gather(tmp_path))] == ["curves.png", "augmentation.png"]


def test_a_range_test_is_read_back_as_it_was(tmp_path):
    write_json(tmp_path / "lr.json", asdict(range_test(scale=2.0)))
    assert read_range_test(tmp_path / "lr.json") == range_test(scale=2.0)


def test_the_curve_of_a_finished_search_is_told_in_words():
    told = alt_texts.rate(range_test(scale=2.0))
    for name, one in range_test(scale=2.0).suggestions.items():
        assert f"{name}" in told
        assert f"rate {one.rate:.3g}, loss {one.loss:.3g}" in told
    assert f"peak rate {range_test(scale=2.0).lr:.3g}" in told


@pytest.mark.parametrize(("epochs", "told"), [
    (1, "Curves over 1 epoch: train accuracy 39.00 % after epoch 1; train loss 2.0000 nats after epoch 1; learning "
        "rate at most 0.1, 0.1 at the end of the last epoch. A line marks the target, 99.4 %."),
    (2, "Curves over 2 epochs: train accuracy from 39.00 % after epoch 1 to 81.00 % after epoch 2; train loss from "
        "2.0000 nats after epoch 1 to 1.0000 nats after epoch 2; learning rate at most 0.1, 0.05 at the end of the "
        "last epoch. A line marks the target, 99.4 %."),
])
def test_the_curves_are_told_in_words(epochs, told):
    assert alt_texts.curves(history(epochs), 99.4) == told


@pytest.mark.parametrize("damage", [{"suggestions": {}}, {"suggestions": 3}, {"rates": [0.1]}, {"losses": None},
                                    {"used": "best"}, {"more": 1}])
def test_a_damaged_range_test_is_refused_by_name(tmp_path, damage):
    write_json(tmp_path / "lr.json", asdict(range_test()) | damage)
    with pytest.raises(RunError, match=r"lr\.json: damaged, not a range test.*train again"):
        read_range_test(tmp_path / "lr.json")


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    path = style.write_picture(tmp_path / "lr.png", lambda: draw_rate(range_test()))
    before = path.read_bytes()

    def interrupted(self, file, *arguments, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        style.write_picture(path, lambda: draw_rate(range_test(scale=2.0)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_leaves_no_trace_in_matplotlib(tmp_path):
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    style.write_picture(tmp_path / "curves.png", lambda: draw_curves(history(2), 0))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
