"""Pictures of several characters are read whole: in rows, in the cells of a form, and where characters touch."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import mnist_ops
from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, UsageError
from mnist_ops.pictures import candidates
from mnist_ops.pictures.candidates import height_of
from mnist_ops.pictures.cuts import INK, SIDEWAYS, cheapest, cuts, follow
from tools.whole_numbers import numbers, picture

STROKES = {  # on 60x100
    "1": [(30, 0), (30, 100)], "7": [(0, 0), (60, 0), (25, 100)],
    "2": [(5, 20), (15, 3), (45, 3), (55, 20), (50, 40), (2, 100), (60, 100)],
    "0": [(30, 0), (8, 15), (0, 50), (8, 85), (30, 100), (52, 85), (60, 50), (52, 15), (30, 0)],
}


@pytest.fixture(scope="module")
def classifier():
    return mnist_ops.load("default")


def written(*rows, step=110, paper=235, ink=20):
    """Rows of digits, dark on light."""
    image = Image.new("L", (60 + step * max(map(len, rows)), 40 + 160 * len(rows)), paper)
    for down, row in enumerate(rows):
        for right, digit in enumerate(row):
            points = [(40 + step * right + x, 40 + 160 * down + y) for x, y in STROKES[digit]]
            ImageDraw.Draw(image).line(points, fill=ink, width=9, joint="curve")
    return np.array(image)


def test_characters_are_read_row_by_row_and_boxed(classifier):
    image = written("7021", "12")
    found = classifier.read_several(image)
    assert found.text == "7021\n12"
    assert found.text.replace("\n", "") == "".join(one.label for one in found.characters)
    for place, one in enumerate(found.characters):
        down, right = divmod(place, 4)
        top, left, bottom, end = one.box
        assert abs(top - 40 - 160 * down) < 12
        assert abs(bottom - 140 - 160 * down) < 12
        assert left < 40 + 110 * right + 30 < end
        assert one.probabilities[one.label] == one.probability > 0.9
        assert np.array_equal(classifier.predict(one.seen)[0].argmax(), int(one.label))


def test_the_tone_and_the_size_make_no_difference(classifier):
    image = written("7021")
    large = np.array(Image.fromarray(image).resize((image.shape[1] * 4, image.shape[0] * 4)))
    found = classifier.read_several(large)
    assert (classifier.read_several(255 - image).text, found.text) == ("7021", "7021")
    assert abs(found.characters[0].box[0] - 160) < 24  # in pixels of the picture itself


def test_one_character_is_one_and_an_image_of_mnist_comes_through_unchanged(classifier):
    assert classifier.read_several(written("2")).text == classifier.read(written("2")).label == "2"
    own = np.zeros((28, 28), np.uint8)
    own[4:24, 12:17] = 254
    assert np.array_equal(classifier.read_several(own).characters[0].seen, own)


def test_each_cell_of_a_form_has_its_character(classifier):
    image = Image.fromarray(written("7021", step=120))
    for place in range(4):
        left = 20 + 120 * place
        ImageDraw.Draw(image).rectangle((left, 12, left + 100, 168), outline=90, width=3)
    assert classifier.read_several(np.array(image)).text == "7021"


def test_a_dash_is_not_a_digit(classifier):
    image = written("70", step=220)
    image[86:94, 160:200] = 20
    found = classifier.read_several(image)
    assert (found.text, found.warnings) == (
        "70", ("leaves out marks unlike a character, such as a dash: 1",))
    assert classifier.read_several(written("70", step=220)).warnings == ()


@pytest.mark.parametrize("text", ["00", "70", "12"])
def test_touching_characters_are_cut(classifier, text):
    image = written(text, step=66)
    assert classifier.read_several(image).text == text


def test_numbers_of_mnists_digits_are_read(classifier, mnist_dir):
    """Well below what docs/drawn.md says, as they are few; of training digits."""
    train = read("mnist", mnist_dir).train
    apart = [one for one in numbers(list(train.images), train.labels.tolist(), 30, seed=5) if one.spacing != "touching"]
    assert sum(classifier.read_several(one.image).text == one.text for one in apart) >= 0.85 * len(apart)


def test_made_numbers_touch_or_do_not_as_asked():
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 10:16] = 255
    for spacing, pieces in (("touching", 1), ("close", 3), ("wide", 3)):
        image = picture([bar] * 3, spacing, "even", np.random.default_rng(1))
        columns = (image < 128).any(0).astype(int)
        assert np.count_nonzero(np.diff(columns) == 1) == pieces


@settings(max_examples=30, deadline=None)
@given(height=st.integers(2, 5), width=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_a_cut_is_the_cheapest_way(height, width, seed):
    cost = INK * np.random.default_rng(seed).integers(0, 2, (height, width))
    total, steps = cheapest(cost)

    def price(way):
        return sum(cost[row, column] for row, column in enumerate(way)) + SIDEWAYS * sum(
            one != other for one, other in itertools.pairwise(way))

    ways = [way for way in itertools.product(range(width), repeat=height)
            if all(abs(one - other) <= 1 for one, other in itertools.pairwise(way))]
    for place in range(width):
        assert total[place] == min(price(way) for way in ways if way[-1] == place) == price(follow(steps, place)[::-1])


def test_a_row_that_slopes_is_no_higher_for_it():
    mask = np.zeros((100, 300), bool)
    for place in range(6):  # 45 high each, 10 lower than the one before
        mask[10 * place:10 * place + 45, 50 * place:50 * place + 30] = True
    assert height_of(mask) == 45
    assert height_of(mask[:45, :30]) == 45


def test_cuts_go_through_the_joint_and_not_through_what_is_narrow():
    mask = np.zeros((60, 90), bool)
    mask[:, 10:40] = mask[:, 55:85] = mask[28:32, 40:55] = True  # two blocks, joined by a bar of 4 pixels
    best = min(cuts(mask, 60), key=lambda cut: cut.ink)
    assert (best.ink, best.crossings) == (4 / 60, 1)
    assert 40 <= best.columns.min() <= best.columns.max() <= 55
    assert cuts(mask[:, :29], 60) == []


def test_what_cannot_be_read_is_refused(classifier, tmp_path):
    Image.new("L", (90, 60), 200).save(tmp_path / "blank.png")
    with pytest.raises(DataError, match=r"blank\.png: no ink found"):
        classifier.read_several(tmp_path / "blank.png")
    with pytest.raises(UsageError, match=r"found uint8 of shape \(9, 9, 3\), expected uint8 of shape \(H, W\)"):
        classifier.read_several(np.zeros((9, 9, 3), np.uint8))


def test_a_picture_of_far_too_many_marks_is_refused(classifier, monkeypatch):
    monkeypatch.setattr(candidates, "MOST", 3)
    with pytest.raises(DataError, match=r"more than 3 marks.*may be characters.*Cut the picture into several"):
        classifier.read_several(written("0127"))


def test_predict_prints_the_text_and_each_character(tmp_path, capsys):
    path, sheet = tmp_path / "number.png", tmp_path / "sheet.png"
    Image.fromarray(written("71", "02")).save(path)
    assert main(["predict", "default", "--several", str(path), "--out", str(sheet)]) == 0
    line, shown = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path}  71 / 02  7 ")
    assert line.count(" %") == 4
    assert shown == f"Shown in {sheet}"
    with Image.open(sheet) as drawn:
        assert drawn.width > 500
    assert main(["predict", "default", "--several", str(path), "--json"]) == 0
    picture = json.loads(capsys.readouterr().out)["pictures"][0]
    assert picture["text"] == "71\n02"
    assert [one["class"] for one in picture["characters"]] == ["7", "1", "0", "2"]
    assert sorted(picture["characters"][0]) == ["box", "class", "probabilities", "probability", "verdict"]
    assert main(["predict", "default", "--several", str(path), "--prepare", "resize"]) == 2
    assert "expected 'mnist', which finds characters" in capsys.readouterr().err
