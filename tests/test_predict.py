"""mnist-ops predict reads pictures, names what it cannot read, and goes on."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import mnist_ops
from mnist_ops.arch.layers import Conv
from mnist_ops.cli.main import main
from mnist_ops.cli.sheet import below_shared
from mnist_ops.errors import DataError, RunError, UsageError
from mnist_ops.export.model_card import plain
from mnist_ops.pictures.find import find_pictures
from mnist_ops.pictures.read import read_image
from mnist_ops.report import style
from mnist_ops.report.predictions import Prediction, draw_predictions
from mnist_ops.run.named import find_run
from mnist_ops.run.trained import save_trained
from mnist_ops.score.statistics import wilson
from tests.miniature import SHORT, train
from tests.small_networks import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("predict") / "run"
    train(SHORT, path)
    return path


def draw(path, points, ink=0, paper=255):
    image = Image.new("L", (100, 120), paper)
    ImageDraw.Draw(image).line(points, fill=ink, width=5, joint="curve")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two ones, a seven that is said to be a four, a loose picture, a blank one, a text."""
    for name in ("1/a.png", "1/b.png", "loose.png"):
        draw(tmp_path / "mine" / name, [(50, 20), (50, 100)])
    draw(tmp_path / "mine" / "4" / "seven.png", [(20, 20), (80, 20), (40, 100)])
    Image.new("L", (30, 30), 200).save(tmp_path / "mine" / "1" / "blank.png")
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    return tmp_path / "mine"


def predict(capsys, *arguments):
    code = main(["predict", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_each_picture_gets_a_line_with_its_class_and_the_next(run, folder, capsys):
    code, out, err = predict(capsys, run, folder / "loose.png", folder / "4" / "seven.png")
    first, second = out.splitlines()
    reading = mnist_ops.load(run).read(folder / "loose.png")
    following = sorted(reading.probabilities, key=lambda name: -reading.probabilities[name])[1]
    assert (code, err) == (0, "")
    assert first == (f"{folder / 'loose.png'}  {reading.label}  {100 * reading.probability:.1f} %  "
                     f"then {following}, {100 * reading.probabilities[following]:.1f} %")
    assert second.startswith(str(folder / "4" / "seven.png"))


def test_what_cannot_be_read_is_named_and_the_others_are_read(run, folder, capsys):
    (folder / "half.png").write_bytes((folder / "loose.png").read_bytes()[:60])
    missing, empty = folder / "gone.png", folder / "empty"
    empty.mkdir()
    code, out, err = predict(capsys, run, missing, folder / "1" / "blank.png", folder / "half.png", empty,
                             folder / "loose.png")
    assert code == 1
    assert [line.split("  ")[0] for line in out.splitlines()] == [str(folder / "loose.png")]
    lines = err.splitlines()
    for line, path, reason in zip(lines, (missing, folder / "1" / "blank.png", folder / "half.png", empty),
                                  ("does not exist; expected a picture", "no ink found: the picture is blank",
                                   "cannot be read as a picture", "no pictures in this folder"), strict=True):
        assert line.startswith(f"mnist-ops: error: {path}: {reason}")


def test_subfolders_named_like_classes_give_the_accuracy(run, folder, capsys):
    code, out, _ = predict(capsys, run, folder, "--json")
    answer = json.loads(out)
    by_name = {row["file"].removeprefix(f"{folder}/"): row for row in answer["pictures"]}
    assert code == 1  # the blank one
    assert list(by_name) == ["1/a.png", "1/b.png", "1/blank.png", "4/seven.png", "loose.png"]
    assert "label" not in by_name["loose.png"]
    assert by_name["1/blank.png"].keys() == {"file", "error", "label"}
    correct = sum(row["class"] == row["label"] for row in answer["pictures"] if "correct" in row)
    assert (answer["labelled"], answer["correct"], answer["failed"]) == (4, correct, 1)
    assert answer["accuracy"] == 100 * correct / 4
    assert answer["interval"] == list(wilson(correct, 4))
    for row in answer["pictures"]:
        if "class" in row:
            values = row["probabilities"]
            assert sum(values.values()) == pytest.approx(1, abs=1e-5)
            assert row["class"] == max(values, key=values.get)
            assert row["probability"] == values[row["class"]]
    _, out, _ = predict(capsys, run, folder)
    low, high = wilson(correct, 4)
    assert (f"{25 * correct:.2f} % accuracy ({correct} of 4 pictures of known class), "
            f"95 % interval {low:.2f} to {high:.2f} %") in out
    assert sum("wrong: is " in line or line.endswith("right") for line in out.splitlines()) == 3


def test_the_sheet_is_a_picture_where_it_is_wished(run, folder, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = predict(capsys, run, folder / "loose.png", "--show")
    assert code == 0
    assert out.splitlines()[-1] == "Shown in predictions.png"
    _, out, _ = predict(capsys, run, folder, "--out", tmp_path / "other.png", "--json")
    assert json.loads(out)["sheet"] == str(tmp_path / "other.png")
    small, large = (read_image(tmp_path / name).pixels.shape for name in ("predictions.png", "other.png"))
    assert small[1] == large[1] == 1600
    assert small[0] < large[0]  # one picture, four pictures
    code, _, err = predict(capsys, run, folder, "--out", "sheet.pdf")
    assert code == 2
    assert "--out sheet.pdf: expected a file ending in .png" in err


def drawn(probabilities, label=None, name="a.png", verdict=None):
    """The texts of a sheet of two such pictures, and the names of the classes beside the first one's bars."""
    square = np.zeros((28, 28), np.uint8)
    with style.look():
        figure = draw_predictions(2 * [Prediction(name, square, square, probabilities, label, verdict)])
        figure.canvas.draw()
    for pictures, bars in (figure.axes[1:3], figure.axes[4:6]):
        for label in bars.get_yticklabels():  # beside the picture, not over it
            assert label.get_window_extent().x0 >= pictures.get_window_extent().x1
    boxes = [text.get_window_extent() for text in figure.texts]
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    return [text.get_text() for text in figure.texts[1:3]], [one.get_text() for one in figure.axes[2].get_yticklabels()]


def test_names_on_the_sheet_are_whole_where_there_is_room_and_a_probability_is_never_cut():
    assert drawn({"circle": 0.9, "square": 0.1}, "square", "b/1.png") == (
        ["b/1.png", "circle, 90.0 %, is square"], ["circle", "square"])
    long = {"a very long name of a class that no sheet has room for": 0.75, "another name of that length": 0.25}
    (name, verdict), names = drawn(long, "another name of that length", "deep/" * 20 + "1.png")
    assert re.fullmatch("….*/deep/1.png", name)
    assert re.fullmatch("a v.*…, 75.0 %, is an.*…", verdict)
    assert [one[-1] for one in names] == ["…", "…"]
    assert drawn({str(number): 0.1 for number in range(10)})[1] == list("0123456789")


def test_the_sheet_says_what_is_refused_or_unsure_instead_of_a_class():
    assert drawn({"1": 0.9, "7": 0.1}, verdict="not a character")[0][1] == "not a character"
    assert drawn({"1": 0.9, "7": 0.1}, verdict="unsure")[0][1] == "1, 90.0 %, unsure"
    assert drawn({"1": 0.9, "7": 0.1}, verdict="read")[0][1] == "1, 90.0 %"


@pytest.mark.parametrize(("paths", "names"), [
    (["a/1.png", "b/1.png", "c/1.png"], ["a/1.png", "b/1.png", "c/1.png"]),
    (["mine/a/1.png", "mine/a/2.png"], ["1.png", "2.png"]),
    (["mine/1.png", "mine/a/1.png"], ["1.png", "a/1.png"]),
    (["./mine/../1.png"], ["1.png"]),
])
def test_files_of_one_name_in_several_folders_are_told_apart(paths, names):
    assert below_shared([*map(Path, paths)]) == names


def test_wrong_use_is_refused(run, capsys):
    assert predict(capsys, run)[0] == 2
    assert predict(capsys, run / "nothing", "a.png")[0] == 1


def test_the_preparation_is_the_runs_own_unless_another_is_asked_for(run, folder, capsys):
    answers = [json.loads(predict(capsys, run, folder / "loose.png", "--json", *more)[1])
               for more in ((), ("--prepare", "mnist"), ("--prepare", "resize"))]
    assert [answer["prepare"] for answer in answers] == ["mnist", "mnist", "resize"]
    assert answers[0]["pictures"] == answers[1]["pictures"] != answers[2]["pictures"]


def test_control_characters_in_a_name_are_escaped_on_the_screen(run, tmp_path, capsys):
    path = draw(tmp_path / "a\x1b[31m\nb.png", [(50, 20), (50, 100)])
    code, out, _ = predict(capsys, run, path, tmp_path / "\x07")
    assert code == 1
    assert "a\\x1b[31m\\nb.png" in out
    assert json.loads(predict(capsys, run, path, "--json")[1])["pictures"][0]["file"] == str(path)


@pytest.mark.parametrize(("name", "shown"), [
    ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"), ("क्\u200cष", "क्\u200cष"),
    ("\u202eb\x1b[2J\nc", "\\u202eb\\x1b[2J\\nc")])
def test_a_class_is_named_alike_by_every_command(tmp_path, capsys, name, shown):
    one = replace(trained((Conv(2, kernel=28),)), classes=(name, "plain"), refusal=None)
    save_trained(tmp_path, one)
    picture = draw(tmp_path / "a.png", [(50, 20), (50, 100)])
    weights = tmp_path / "model.safetensors"
    code, out, err = predict(capsys, weights, picture, "--prepare", "mnist")
    assert (code, err) == (0, "")
    [told] = re.findall(rf"^{re.escape(str(picture))}  (.+)  [\d.]+ %  then (.+), [\d.]+ %$", out, re.MULTILINE)
    assert sorted(told) == sorted((shown, "plain"))
    assert main(["score", str(weights), "--data", "digits"]) == 2
    assert f"use data with the same classes: {shown}, plain\n" in capsys.readouterr().err
    assert plain(name) == re.sub(r"([\\\[])", r"\\\1", shown)  # in a model card, whose Markdown has signs of its own


def test_pictures_are_found_at_any_depth_in_natural_order(tmp_path):
    for name in ("b/10.png", "b/2.PNG", "b/3/x/deep.jpg", "a.gif", ".hidden.png", "b/.git/x.png", "note.txt"):
        draw(tmp_path / name, [(1, 1), (9, 9)]) if name.lower().endswith("png") else (
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True), (tmp_path / name).write_bytes(b""))
    found = [(str(one.path.relative_to(tmp_path)), one.label) for one in find_pictures([tmp_path], ("3", "10"))]
    assert found == [("a.gif", None), ("b/2.PNG", None), ("b/3/x/deep.jpg", "3"), ("b/10.png", None),
                     ("note.txt", None)]


# What is more than was read, or less


def test_no_file_of_a_folder_is_dropped_in_silence(run, folder, capsys):
    for name, kind in (("1/a.jfif", "JPEG"), ("4/b.pgm", "PPM")):
        Image.open(folder / "loose.png").save(folder / name, kind)
    (folder / "1" / "photo.HEIC").write_bytes(b"?")
    (folder / "1" / "blank.png").unlink()
    code, out, err = predict(capsys, run, folder)
    assert code == 1
    assert [line.split("  ")[0].removeprefix(f"{folder}/") for line in out.splitlines()[:-1]] == [
        "1/a.jfif", "1/a.png", "1/b.png", "4/b.pgm", "4/seven.png", "loose.png"]
    assert "of 6 pictures of known class" in out  # the HEIC too, which counts as wrong
    assert f"error: {folder / '1' / 'photo.HEIC'}: HEIC is not supported. Convert it to PNG or JPEG" in err
    assert f"warning: 1 file was skipped, not named like pictures ({folder / 'notes.txt'}); expected names" in err
    answer = json.loads(predict(capsys, run, folder, "--json")[1])
    assert (answer["skipped"], answer["failed"], answer["labelled"]) == ([str(folder / "notes.txt")], 1, 6)


def test_a_pattern_that_the_shell_left_alone_is_expanded(run, folder, capsys):
    code, out, _ = predict(capsys, run, folder / "1" / "[ab].png", folder / "**" / "se*.png")
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        str(folder / "1" / "a.png"), str(folder / "1" / "b.png"), str(folder / "4" / "seven.png")]
    code, _, err = predict(capsys, run, folder / "*.bmp")
    assert code == 1
    assert f"{folder / '*.bmp'}: matches no file; expected a pattern of pictures" in err
    named = draw(folder / "x[1].png", [(50, 20), (50, 100)])
    assert predict(capsys, run, named)[1].startswith(f"{named}  ")  # a file of that very name comes first


def test_further_pages_are_told_beside_the_answer_and_beside_an_error(run, folder, tmp_path, capsys):
    pages = [Image.open(folder / "loose.png"), Image.new("L", (100, 120), 255)]
    full, blank = tmp_path / "full.tif", tmp_path / "blank.gif"
    pages[0].save(full, save_all=True, append_images=pages[1:])
    pages[1].save(blank, save_all=True, append_images=pages[:1])
    code, out, err = predict(capsys, run, full, blank)
    assert (code, len(out.splitlines())) == (1, 1)
    assert err.splitlines()[0] == f"mnist-ops: warning: {full}: has more than one page; only the first is read"
    assert err.splitlines()[1].startswith(f"mnist-ops: error: {blank}: no ink found: the picture is blank")
    assert err.splitlines()[1].endswith("; its grey values run only from 255 to 255; it has more than one frame; only "
                                        "the first is read")
    answer = json.loads(predict(capsys, run, full, "--json")[1])
    assert answer["pictures"][0]["warnings"] == ["has more than one page; only the first is read"]
    assert mnist_ops.load(run).read(full).warnings == ("has more than one page; only the first is read",)


def seventeen(path):
    image = Image.new("L", (300, 140), 255)
    for left, points in ((0, [(50, 20), (50, 110)]), (110, [(20, 20), (80, 20), (40, 110)])):
        ImageDraw.Draw(image).line([(left + x, y) for x, y in points], fill=0, width=8, joint="curve")
    image.save(path)
    return path


def test_several_characters_are_told_and_one_is_read(run, tmp_path, capsys):
    path = seventeen(tmp_path / "17.png")
    code, _, err = predict(capsys, run, path)
    assert code == 0
    assert err == (f"mnist-ops: warning: {path}: shows more than one character, and is read as one: at least 1 "
                   "more of that size; --several reads all\n")


# The Python interface


def test_a_classifier_reads_a_file_or_an_array(run, folder):
    classifier = mnist_ops.load(run)
    path = folder / "4" / "seven.png"
    one, other = classifier.read(path), classifier.read(np.array(Image.open(path)))
    assert one.label == other.label == max(one.probabilities, key=lambda name: one.probabilities[name])
    assert one.probability == one.probabilities[one.label]
    assert (one.original.shape, one.seen.shape) == ((120, 100), (28, 28))
    assert np.allclose(classifier.predict(one.seen)[0], list(one.probabilities.values()), atol=1e-6)
    assert repr(one) == f"Reading(label={one.label!r}, probability={one.probability!r}, verdict={one.verdict!r})"


def test_what_a_classifier_cannot_read_is_refused(run, folder):
    classifier = mnist_ops.load(run)
    with pytest.raises(DataError, match=r"blank\.png: no ink found"):
        classifier.read(folder / "1" / "blank.png")
    with pytest.raises(DataError, match=r"^no ink found"):
        classifier.read(np.zeros((40, 40), np.uint8))
    with pytest.raises(UsageError, match=r"picture: found float64 of shape \(9, 9\), expected uint8 of shape \(H, W\)"):
        classifier.read(np.zeros((9, 9)))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["mnist", "resize"])
def test_values_of_0_and_1_are_refused_wherever_they_come_from(run, folder, tmp_path, how):
    classifier = replace(mnist_ops.load(run), prepare=how)
    drawing = (np.array(Image.open(folder / "loose.png")) < 128).astype(np.uint8)
    Image.fromarray(drawing).save(tmp_path / "mask.png")
    expected = r"its brightest value is 1, expected grey values from 0 to 255; multiply them by 255"
    with pytest.raises(DataError, match=f"^{expected}"):
        classifier.read(drawing)
    with pytest.raises(DataError, match=rf"mask\.png: {expected}"):
        classifier.read(tmp_path / "mask.png")
    images = np.stack([np.zeros((28, 28), np.uint8), drawing[:28, 40:68], 255 * drawing[:28, 40:68]])
    with pytest.raises(UsageError, match=r"the brightest value of image 1 is 1, expected grey values from 0 to 255"):
        classifier.predict(images)
    assert classifier.predict(images[::2]).shape == (2, 10)  # a blank one is an image
    assert classifier.read(255 * drawing).label in classifier.classes


def test_default_means_the_weights_in_the_package(monkeypatch, tmp_path):
    assert find_run("some/where") == find_run(tmp_path / "x").__class__("some/where")
    monkeypatch.setattr("mnist_ops.run.named.resources.files", lambda _: tmp_path)
    with pytest.raises(RunError, match=r"default: the trained weights are missing .* give the folder of your own run"):
        find_run("default")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "default.safetensors").write_bytes(b"x")
    assert find_run("default") == tmp_path / "weights" / "default.safetensors"


@pytest.mark.parametrize("options", [("--show", "--out"), ("--csv",)])
def test_a_picture_that_is_read_is_not_replaced(options, run, folder, capsys):
    before = (folder / "loose.png").read_bytes()
    code, _, err = predict(capsys, run, folder / "loose.png", *options, folder / "loose.png")
    assert code == 2
    assert f"{options[-1]} {folder / 'loose.png'}: is one of the pictures to read; choose another file" in err
    assert (folder / "loose.png").read_bytes() == before


def table(capsys, path, *arguments):
    """The rows of --csv, and what --json says of each picture."""
    told = json.loads(predict(capsys, *arguments, "--csv", path, "--json")[1])
    assert told["csv"] == str(path)
    return list(csv.DictReader(io.StringIO(path.read_text()))), told["pictures"]


def test_a_table_of_the_answers_is_written_where_it_is_wished(run, folder, capsys, tmp_path):
    rows, told = table(capsys, tmp_path / "answers.csv", run, folder)
    for row, one in zip(rows, told, strict=True):
        assert row.pop("probability") == (f"{one['probability']:.6f}" if "class" in one else "")
        correct = {True: "yes", False: "no", None: ""}[one.get("correct")]
        assert row == {name: one.get(name) or "" for name in row} | {"correct": correct}
    assert [bool(row["error"]) for row in rows].count(True) == 1


def test_of_several_characters_the_table_has_the_text_and_the_lowest_probability(run, capsys, tmp_path):
    (row,), (one,) = table(capsys, tmp_path / "answers.csv", run, "--several", seventeen(tmp_path / "17.png"))
    assert row["text"] == one["text"]
    assert row["probability"] == f"{min(each['probability'] for each in one['characters']):.6f}"
