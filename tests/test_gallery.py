"""Galleries and the charts of what goes wrong: what they show, and that it can be read."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.errors import RunError
from mnist_ops.report import style
from mnist_ops.report.error_charts import draw_calibration, draw_classes, draw_confusion
from mnist_ops.report.gallery import TILE, Tile, draw_gallery
from mnist_ops.score.metrics import Bin, Calibration, class_scores, most_confused
from mnist_ops.score.statistics import wilson

AWKWARD = ("<b>bold</b>", "$x^2$", "a name far too long for any tile or label of a picture", "🙂", "a\udcff")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def tile(number: int, **changes) -> Tile:
    image = np.full((28, 28), number % 250, np.uint8)
    image[0, 0] = 255
    plain: dict[str, Any] = {"place": str(number), "true": "3", "read_as": "8", "probability": 0.5}
    return Tile(image=image, **plain | changes)


def drawn(draw: Callable[..., Figure], *arguments: Any, **options: Any) -> Any:
    """The figure, in the look of all pictures; Any, for matplotlib's types leave out much of what is read here."""
    with style.look():
        return draw(*arguments, **options)


def texts_of(figure: Figure) -> list[str]:
    """On one line each."""
    return [text.get_text().replace("\n", " ") for text in figure.texts]


def assert_readable(figure: Figure, texts: list[Text]) -> None:
    """Inside the picture, and none over another."""
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_images_stand_in_their_order_in_rows_of_eight_and_are_not_resampled():
    figure = drawn(draw_gallery, [tile(number) for number in range(11)], "Wrong", "All 11.")
    places = sorted(figure.images, key=lambda one: (-one.oy, one.ox))
    assert [len(list(group)) for _, group in itertools.groupby(places, key=lambda one: one.oy)] == [8, 3]
    for number, shown in enumerate(places):
        assert np.array_equal(np.asarray(shown.get_array())[::TILE // 28, ::TILE // 28], tile(number).image)
        assert (shown.norm.vmin, shown.norm.vmax, shown.origin) == (0, 255, "upper")


def test_each_image_says_its_place_both_classes_and_the_probability():
    with style.look():
        tiles = [tile(4176, probability=0.4239), tile(9, true="1", read_as="7")]
        figure = drawn(draw_gallery, tiles, "Wrong test images")
        assert_readable(figure, figure.texts)
    assert texts_of(figure)[2:] == ["4176", "42.4 %", "3", "→ 8", "9", "50.0 %", "1", "→ 7"]
    assert texts_of(figure)[0] == "Wrong test images"
    assert "counted from 0" in texts_of(figure)[1]
    assert "true → read as" in texts_of(figure)[1]


@pytest.mark.parametrize(("probability", "text"), [
    (0.0, "0.0 %"), (0.5, "50.0 %"), (0.99899, "99.9 %"), (0.9994, "99.94 %"), (0.99996, ">99.99 %"), (1, ">99.99 %"),
])
def test_no_probability_is_rounded_to_certainty(probability, text):
    assert style.probability_text(probability) == text


def test_marked_images_are_framed_and_only_then_the_frame_is_explained():
    some = drawn(draw_gallery, [tile(1), tile(2, marked=True)], "Wrong", mark="disputed")
    none = drawn(draw_gallery, [tile(1)], "Wrong", mark="disputed")
    (frame,) = (one for one in some.artists if isinstance(one, Rectangle))
    second = max(some.images, key=lambda one: one.ox)
    assert frame.get_x() * style.PIXELS == pytest.approx(second.ox - 4, abs=1)
    assert to_hex(frame.get_edgecolor()) == style.ORANGE.lower()
    assert "Framed: disputed." in texts_of(some)[1]
    assert "Framed" not in texts_of(none)[1]


def test_a_file_keeps_its_end_and_awkward_names_stay_inside_their_tile():
    tiles = [tile(number, place=f"some folder/a long name {number:05d}.png", true=AWKWARD[number % 5],
                  read_as=AWKWARD[(number + 1) % 5], probability=1.0) for number in range(9)]
    with style.look():
        figure = drawn(draw_gallery, tiles, "$Wrong$", words=("given", "likely"))
        assert_readable(figure, figure.texts)
    assert not any(text.get_parse_math() for text in figure.texts)
    places = [text for text in texts_of(figure) if text.startswith("…")]
    assert len(set(places)) == 9  # what all of them end in is left out, so that each can be told from the others
    assert places[3].endswith("00003…")
    assert "<b>bold</b>" in texts_of(figure)
    assert "given → likely" in texts_of(figure)[1]
    assert any(text.startswith("a\\udcff") for text in texts_of(figure))


def test_a_gallery_is_a_png_of_the_usual_width_and_the_same_bytes_each_time(tmp_path):
    tiles = [tile(5), tile(6, marked=True)]
    first, second = (style.write_picture(tmp_path / name, lambda: draw_gallery(tiles, "Wrong", "Both.", mark="why"))
                     for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert picture.width == 1600
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
    assert {(5, 5, 5), (6, 6, 6), (255, 255, 255)} <= colours  # the images' own shades survive the palette
    with pytest.raises(RunError, match=r"nowhere.*cannot be written"):
        style.write_picture(tmp_path / "nowhere" / "a.png", lambda: draw_gallery(tiles, "Wrong"))


def counts_of(number: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(number)
    counts = np.diag(generator.integers(500, 2000, number))
    counts[0, number - 1], counts[number - 1, 0] = 7, 1
    return counts


def test_the_errors_of_a_confusion_matrix_have_a_scale_of_their_own():
    (axes,) = drawn(draw_confusion, counts_of(10), FASHION, "Fashion", "x").axes
    right, wrong = axes.images
    shown = np.ma.filled(wrong.get_array(), np.nan)
    assert np.argwhere(np.isfinite(shown)).tolist() == [[0, 9], [9, 0]]
    assert wrong.norm.vmax == 7  # not the 500 to 2,000 of the diagonal
    assert np.argwhere(np.isfinite(np.ma.filled(right.get_array(), np.nan))).tolist() == [[n, n] for n in range(10)]


def test_every_count_is_written_into_its_cell_and_the_diagonal_even_where_it_is_0():
    counts = counts_of(3)
    counts[1, 1] = 0
    (axes,) = drawn(draw_confusion, counts, AWKWARD[:3], "Three", "x").axes
    written = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert written == {(0, 0): f"{counts[0, 0]:,}", (1, 1): "0", (2, 2): f"{counts[2, 2]:,}", (0, 2): "7", (2, 0): "1"}


@pytest.mark.parametrize("names", [FASHION, tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), AWKWARD[:3], ("a", "b")])
def test_the_names_of_a_confusion_matrix_can_be_read(names):
    with style.look():
        figure = drawn(draw_confusion, counts_of(len(names)), names, "Classes", "A caption.")
        (axes,) = figure.axes
        assert_readable(figure, [*figure.texts, *axes.get_xticklabels(), *axes.get_yticklabels()])
    assert len(axes.get_xticklabels()) == len(names)


def test_a_matrix_without_errors_is_drawn_too():
    with style.look():
        figure = drawn(draw_confusion, np.diag([3, 4]), "ab", "Perfect", "x")
        figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "4"]


def test_precision_and_recall_are_points_on_the_line_of_their_class():
    counts = np.array([[5, 0, 2], [0, 0, 0], [1, 0, 2]])
    scores = class_scores(counts)
    with style.look():
        figure = drawn(draw_classes, scores, AWKWARD[:3], most_confused(counts), "Three")
        (axes,) = figure.axes
        assert_readable(figure, [*figure.texts, *axes.get_yticklabels(), *axes.get_xticklabels()])
    for name in ("precision", "recall"):
        (line,) = (line for line in axes.lines if line.get_label() == name)
        expected = [(getattr(one, name), one.label) for one in scores if getattr(one, name) is not None]
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == expected
    beside = [text.get_text() for text in axes.texts]
    assert beside[:3] == ["7 / 6 / 76.92", "0 / 0 / –", "3 / 4 / 57.14"]
    assert "read as" in texts_of(figure)[1]


@pytest.mark.parametrize("counts", [np.diag([9, 9]), np.array([[0, 9], [9, 0]]), np.array([[0, 9], [0, 0]])])
def test_perfect_and_hopeless_classes_lie_inside_the_axis(counts):
    (axes,) = drawn(draw_classes, class_scores(counts), "ab", most_confused(counts), "Two").axes
    low, high = axes.get_xlim()
    for line in axes.lines:
        assert all(low <= value <= high for value in line.get_xdata())


def test_the_reliability_diagram_shows_each_bin_with_its_interval_and_its_images():
    bins = (Bin(50, 75, 20, 61.0, 50.0), Bin(75, 100, 980, 99.0, 98.0), Bin(0, 50, 0, None, None))
    with style.look():
        figure = drawn(draw_calibration, Calibration(bins, 1.2, 98.0, 97.0), "Trust")
        upper, lower = figure.axes
        assert_readable(figure, figure.texts)
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in upper.lines if line.get_marker() == "o"]
    assert dots == [(61.0, 50.0), (99.0, 98.0)]
    spans = [tuple(line.get_ydata()) for line in upper.lines if line.get_linewidth() == 1.2]
    assert spans == [wilson(10, 20), pytest.approx(wilson(960, 980))]
    assert [(bar.get_x(), bar.get_height()) for bar in lower.patches] == [(50, 20), (75, 980)]
    assert "error 1.20 points" in texts_of(figure)[1]
