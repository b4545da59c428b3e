"""Tables with a row of pixels per image, as on Kaggle: read, trained on, classified; damaged ones are refused."""

import gzip
import json
import re
from pathlib import Path

import pytest

from mnist_ops.cli.main import main
from mnist_ops.data.pixel_table import read_table
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from tests.miniature import few_digits

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8", "--no-report"]
ROWS = [[label, *range(10 * label, 10 * label + 4)] for label in (3, 0, 3, 0)]  # 2x2 pixels


def text(rows, separator=","):
    return "".join(f"{separator.join(map(str, row))}\n" for row in rows)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def digits_table(path: Path, count: int, *, labels: bool = True) -> Path:
    """The first embedded digits."""
    part = few_digits(count, 1).train
    heads = [*(["label"] if labels else []), *(f"pixel{number}" for number in range(784))]
    rows = [[*([label] if labels else []), *image.ravel()]
            for image, label in zip(part.images, part.labels, strict=True)]
    return written(path, text([heads, *rows]))


@pytest.mark.parametrize("content", [
    text(ROWS), text([["label", "pixel0", "pixel1", "pixel2", "pixel3"], *ROWS]),
    text([["label", "1x1", "1x2", "2x1", "2x2"], *ROWS]), text(ROWS, ";"), text(ROWS, "\t"),
    text(ROWS).replace("\n", "\r\n"), "\ufeff" + text(ROWS), text(ROWS) + "\n\n", text(ROWS).rstrip(),
    re.sub(r"(\d+)", r'"\1"', text(ROWS)), re.sub(r"(\d+)", r"\1.0", text(ROWS)), text(ROWS).replace(",", ", "),
    text([["p0", "p1", "p2", "p3", "class"], *([*row[1:], row[0]] for row in ROWS)]),
    text([["id", "label", "a", "b", "c", "d"], *([7, *row] for row in ROWS)]),
    text([["", "label", 0, 1, 2, 3], *([7, *row] for row in ROWS)]), gzip.compress(text(ROWS).encode()),
], ids=["plain", "kaggle", "mnist in csv", "semicolons", "tabs", "windows", "mark", "blank lines", "no last line end",
        "quoted", "fractions", "spaces", "label last", "numbered", "pandas", "packed"])
def test_a_table_is_read_however_it_was_written(content, tmp_path):
    found = read_table(written(tmp_path / "train.csv", content))
    assert found.images.tolist() == [[[30, 31], [32, 33]], [[0, 1], [2, 3]]] * 2
    assert found.labels is not None
    assert found.labels.tolist() == [3, 0, 3, 0]


def test_a_table_without_labels_has_only_pixels(tmp_path):
    found = read_table(written(tmp_path / "test.csv", text(row[1:] for row in ROWS)))
    assert (found.images.shape, found.labels, found.numbers) == ((4, 2, 2), None, None)
    heads = [["id", *range(4)]]
    found = read_table(written(tmp_path / "test.csv", text([*heads, *([9 - row[0], *row[1:]] for row in ROWS)])))
    assert (found.images.shape, found.labels, found.numbers) == ((4, 2, 2), None, ("id", (6, 9, 6, 9)))


def test_images_are_named_by_the_lines_of_their_file(tmp_path):
    path = written(tmp_path / "mine.csv", "label,a,b,c,d\n" + text(ROWS))
    found = read(str(path), test="all")
    assert found.classes == ("0", "3")
    assert found.test.names == ("mine.csv/2", "mine.csv/3", "mine.csv/4", "mine.csv/5")
    assert found.test.images[:, 0, 0].tolist() == [30, 0, 30, 0]
    assert found.test.images.shape == (4, 28, 28)


@pytest.mark.parametrize(("train", "test"), [
    ("train.csv", "test.csv"), ("mnist_train.csv", "mnist_test.csv"),
    ("fashion-mnist_train.csv", "fashion-mnist_test.csv"),
])
def test_a_folder_with_a_table_for_each_set_gives_both(train, test, tmp_path):
    written(tmp_path / train, text(ROWS))
    written(tmp_path / test, text(ROWS[:2]))
    written(tmp_path / "sample_submission.csv", "ImageId,Label\n1,0\n")
    found = read(str(tmp_path))
    assert (len(found.train.labels), len(found.test.labels)) == (4, 2)
    assert found.test.names == (f"{test}/1", f"{test}/2")


def test_a_test_table_without_labels_is_not_used_and_that_is_said(tmp_path, capfd):
    written(tmp_path / "train.csv", text(ROWS))
    written(tmp_path / "test.csv", text(row[1:] for row in ROWS))
    assert main(["data", str(tmp_path), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["classes"] == {"0": {"train": 1, "test": 1}, "3": {"train": 1, "test": 1}}
    assert shown["warnings"][0] == (f"{tmp_path}: test.csv has no labels, so the test set is drawn from train.csv. To "
                                    "classify its images: mnist-ops predict RUN test.csv --csv FILE")


def test_the_only_file_of_a_folder_is_taken(tmp_path):
    written(tmp_path / "letters.csv", text(ROWS))
    written(tmp_path / "README.txt", "")
    assert len(read(str(tmp_path)).train.labels) == 2


def test_from_a_table_to_a_submission(tmp_path, capfd):
    train, test = digits_table(tmp_path / "train.csv", 60), digits_table(tmp_path / "test.csv", 7, labels=False)
    run, out = str(tmp_path / "run"), tmp_path / "submission.csv"
    assert main(["train", "--data", str(train), *TRAIN, "--out", run]) == 0
    assert main(["score", run, "--json"]) == 0
    capfd.readouterr()
    assert main(["predict", run, str(test), "--csv", str(out)]) == 0
    said = capfd.readouterr().out
    assert said == f"The classes of 7 images are in {out}\n"
    lines = out.read_text().splitlines()
    assert lines[0] == "ImageId,Label"
    assert [line.split(",")[0] for line in lines[1:]] == list("1234567")
    assert {line.split(",")[1] for line in lines[1:]} <= set("0123456789")
    assert main(["predict", run, str(test)]) == 0
    assert capfd.readouterr().out.splitlines() == lines
    assert main(["predict", run, str(test), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert [f"{number},{label}" for number, label in enumerate(shown["predicted"], start=1)] == lines[1:]


def test_the_classes_of_a_labelled_table_are_checked(tmp_path, capfd):
    part = few_digits(40, 1).train
    rows = [[7000 + number, label, *image.ravel()] for number, (image, label) in
            enumerate(zip(part.images, part.labels, strict=True))]
    path = written(tmp_path / "some.csv", text([["id", "label", *range(784)], *rows]))
    assert main(["predict", "default", str(path), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    right = sum(found == str(label) for found, label in zip(shown["predicted"], part.labels, strict=True))
    assert (shown["correct"], shown["accuracy"], shown["labelled"]) == (right, 100 * right / 40, 40)
    assert right > 20  # or the pixels were read in another order
    assert main(["predict", "default", str(path), "--csv", str(tmp_path / "out.csv")]) == 0
    assert f"; {100 * right / 40:.2f} % accuracy ({right} of 40)" in capfd.readouterr().out
    assert (tmp_path / "out.csv").read_text().startswith(f"id,label\n7000,{shown['predicted'][0]}\n7001,")


@pytest.mark.parametrize(("words", "says"), [
    (["{csv}", "photo.png"], r"a table of pixels; expected it alone"), (["{csv}", "--show"], r"expected it alone"),
    (["{csv}", "--several"], r"expected it alone"),
    (["a.npz"], r"a\.npz: a file of arrays; expected pictures, .* mnist_ops\.load\(RUN\)\.predict\(images\)"),
    (["{csv}", "--csv", "{csv}"], r"is the table to read; choose another file"),
])
def test_wrong_use_is_refused_before_anything_is_written(words, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    path = digits_table(tmp_path / "t.csv", 2)
    before = path.read_bytes()
    assert main(["predict", "default", *(word.format(csv=path) for word in words)]) == 2
    assert re.search(says, capfd.readouterr().err)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(("content", "says"), [
    ("", r"is empty; expected a label and the pixels of a square image in each row"),
    ("\n\n", r"is empty"),
    ("label,a,b,c,d\n", r"has no rows"),
    ("1,2,3\n", r"its first line '1,2,3' has 3 columns, so 2 pixels, which are not a square"),
    ("name,label\na.png,3\n", r"has 2 columns"),
    (text(ROWS) + "1,2\n", r"line 5 '1,2' has 2 columns, expected 5 numbers as in line 1\. Correct it, or delete it"),
    (text(ROWS) + "1,2,x,4,5\n", r"line 5 '1,2,x,4,5' has 5 columns, expected 5 numbers"),
    (text(ROWS) + "1,2,,4,5\n", r"line 5"),
    ("1,2,x,4,5\n" + text(ROWS), r"line 1 '1,2,x,4,5'"),
    (text(ROWS) + '1,2,"3,4,5\n1,2,3,4,5\n', r"line 5"),
    (text(ROWS) + "1,2,256,4,5\n", r"values from 0 to 256, expected 0 \(black\) to 255"),
    (text(ROWS) + "-1,2,3,4,5\n", r"the label of image 4 is -1"),
    (text(ROWS) + "1.5,2,3,4,5\n", r"the label of image 4 is 1\.5"),
    (text(ROWS) + "nan,2,3,4,5\n", r"the label of image 4 is nan"),
    (text(row[1:] for row in ROWS), r"has no labels, only pixels; .*mnist-ops predict RUN FILE"),
    ("\n" * (2**21 + 1) + "1", r"2,097,153 lines, .*the limits are 2,097,152 and 1,073,741,824"),
    ("1," * 2**22, r"4,194,305 columns, the limit is 4,194,304"),
    (gzip.compress(text(ROWS).encode())[:-9], r"damaged gzip \(truncated\)"),
    (b"\xff\xfe1\0,\x002\0", r"mine\.csv: "),
    (b"\0" * 100, r"mine\.csv: "),
], ids=lambda one: "" if isinstance(one, bytes) else one[:24])
def test_what_is_not_such_a_table_is_refused_with_the_line(content, says, tmp_path):
    path = written(tmp_path / "mine.csv", content)
    with pytest.raises(DataError, match=says):
        read(str(path))


def test_a_packed_table_is_unpacked_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_ops.data.pixel_table.MOST_BYTES", 10**6)
    with pytest.raises(DataError, match=r"0 lines, 1,000,001 bytes or more; the limits are 2,097,152 and 1,000,000"):
        read(str(written(tmp_path / "mine.csv", gzip.compress(bytes(10**7)))))


def test_values_from_0_to_1_are_scaled_as_elsewhere(tmp_path):
    found = read_table(written(tmp_path / "mine.csv", "1,0,0.5,1,0\n0,0,0,0,0.25\n"))
    assert found.images.tolist() == [[[0, 128], [255, 0]], [[0, 0], [0, 64]]]
    assert "multiplied by 255" in found.notes[0]
