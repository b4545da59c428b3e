"""Folders without a subfolder per class: a table or the names of the pictures say the classes. And damaged pictures."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, UsageError
from tests.datasets import folder_of

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8", "--no-report"]


def laid(root, *names, **tables):
    """Pictures, each of another shade, and CSV files."""
    for shade, name in enumerate(names, start=20):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28), (shade, shade, shade)).save(root / name)
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    return str(root)


def classes(found):
    """The class of each picture by its name, over both sets."""
    return {name: found.classes[label] for part in (found.train, found.test)
            for name, label in zip(part.names, part.labels, strict=True)}


@pytest.mark.parametrize("names", [
    ("7_1.png", "7_2.png", "10_1.png", "10_2.png"), ("7-001.PNG", "7-002.Png", "10-001.JPG", "10-002.jpeg"),
    ("7.1.png", "7.2.png", "10.1.png", "10.2.png"), ("7 (1).png", "7 (2).png", "10 (1).png", "10 (2).png"),
    ("all/7_1.png", "all/7_2.png", "all/10_1.png", "all/10_2.png"),
])
def test_pictures_named_by_class_and_number_are_sorted_by_it(names, tmp_path):
    found = read(laid(tmp_path, *names, ".DS_Store.png"))
    assert found.classes == ("7", "10")
    assert classes(found) == {name: "7" if "7" in name.split("/")[-1][:1] else "10" for name in names}
    assert f"the class of each picture is the beginning of its name, such as 7 of {names[0].split('/')[-1]}" in "".join(
        found.warnings)


def test_named_pictures_may_lie_in_sets(tmp_path):
    names = [f"{part}/{label}_{number}.png" for part in ("train", "test", "val") for label in "ab" for number in "12"]
    found = read(laid(tmp_path, *names))
    assert found.validation is not None
    assert [len(part.labels) for part in (found.train, found.test, found.validation)] == [4, 4, 4]
    assert set(found.test.names or ()) == {name for name in names if name.startswith("test")}


@pytest.mark.parametrize("names", [
    ("0001_7.png", "0002_7.png", "0003_3.png"), ("IMG_1.png", "IMG_2.png"), ("cat.png", "dog.png"),
    ("a_1.png", "a_2.png", "b_1.png"), ("a_1.png", "a_2.png", "b_1.png", "b_2.png", "c.png"),
])
def test_other_names_say_no_class(names, tmp_path):
    with pytest.raises(UsageError, match=r"found \d pictures; expected one subfolder of pictures for each"):
        read(laid(tmp_path, *names))


PICTURES = ("images/a.png", "images/b.png", "images/c.jpg", "images/d.png")


@pytest.mark.parametrize("text", [
    "filename,label\na.png,10\nb.png,10\nc.jpg,9\nd.png,9\n", "a.png,10\nb.png,10\nc.jpg,9\nd.png,9\n",
    "id,breed\na,10\nb,10\nc,9\nd,9\n", "x;label;image\n0;10;a.png\n0;10;b.png\n0;9;c.jpg\n0;9;d.png\n",
    "path,class\nimages/a.png,10\nimages\\b.png,10\n./images/c.jpg,9\nimages/d.png,9\n",
    "\ufefffilename,label\r\n\"a.png\",10\r\nb.png,10\r\nc.jpg,9\r\nd.png,9\r\n\r\n",
])
def test_a_table_beside_the_pictures_says_their_classes(text, tmp_path):
    found = read(laid(tmp_path, *PICTURES, labels=text))
    assert found.classes == ("9", "10")
    assert classes(found) == dict(zip(PICTURES, ("10", "10", "9", "9"), strict=True))
    assert "the class of each picture is in labels.csv" in found.warnings[0]


def test_a_competitions_folder_is_read_and_its_unlabelled_pictures_are_left(tmp_path):
    pictures = [f"{part}/{number}.png" for part in ("test", "train") for number in range(6)]
    rows = "".join(f"{number}.png,{number % 2}\n" for number in range(6))
    found = read(laid(tmp_path, *pictures, train=f"id,label\n{rows}", sample_submission=f"id,label\n{rows}"))
    assert classes(found) == {f"train/{number}.png": str(number % 2) for number in range(6)}
    assert "7 entries were skipped: not pictures of a class" in "".join(found.warnings)
    (tmp_path / "test.csv").write_text(f"id,label\n{rows}")
    found = read(str(tmp_path))
    assert (len(found.train.labels), len(found.test.labels)) == (6, 6)
    assert set(found.test.names or ()) == {f"test/{number}.png" for number in range(6)}


def test_subfolders_of_classes_come_before_a_table(tmp_path):
    names = [f"{label}/{number}.png" for label in "ab" for number in range(2)]
    assert read(laid(tmp_path, *names, labels="filename,label\n0.png,x\n1.png,y\n")).classes == ("a", "b")


@pytest.mark.parametrize(("text", "says"), [
    ("filename,label\na.png,1\ne.png,2\n", r"labels\.csv: line 3 lists 'e\.png', but there is no such picture beside"),
    ("filename,label\n../../etc/passwd,1\n", r"line 2 lists '\.\./\.\./etc/passwd', but there is no such picture"),
    ("filename,label\na.png,1\na.png,2\n", r"line 3 lists 'a\.png' as '2', another line as '1'\. Delete one"),
])
def test_a_table_that_does_not_fit_the_pictures_is_named(text, says, tmp_path):
    with pytest.raises(DataError, match=says):
        read(laid(tmp_path, *PICTURES, labels=text))


@pytest.mark.parametrize("text", ["", "\0\n", "a\n", "filename\na.png\n", "1,2\n3,4\n", "\"" * 200_000, "x,y\n1,2\n"])
def test_another_table_is_not_a_reason_to_fail_otherwise(text, tmp_path):
    with pytest.raises(UsageError, match=r"expected one subfolder of pictures for each of at least two classes"):
        read(laid(tmp_path, *PICTURES, labels=text))


def test_two_tables_of_which_none_is_the_training_set_are_refused(tmp_path):
    text = "filename,label\na.png,1\nb.png,2\n"
    with pytest.raises(UsageError, match=r"which of one\.csv and two\.csv lists the training pictures is unclear"):
        read(laid(tmp_path, *PICTURES, one=text, two=text))


def test_a_hundred_classes_are_in_the_order_of_their_numbers(tmp_path):
    found = read(str(folder_of(tmp_path / "many", {str(number): 2 for number in range(120)})))
    assert found.classes == tuple(map(str, range(120)))
    assert np.bincount(found.train.labels).tolist() == [1] * 120


# ---------------------------------------------------------------- damaged pictures


@pytest.fixture
def spoilt(tmp_path):
    """Twelve pictures in each of two classes, one of them damaged."""
    root = folder_of(tmp_path / "mine", {"a": 12, "b": 12}, first=30)
    (root / "a" / "7.png").write_bytes((root / "a" / "7.png").read_bytes()[:40])
    return root


def test_one_damaged_picture_is_named_with_the_option_that_leaves_it_out(spoilt, capfd):
    for command in ("train", "data", "tune"):
        words = [str(spoilt)] if command == "data" else ["--data", str(spoilt)]
        assert main([command, *words]) == 1
        assert re.search(r"a/7\.png: cannot be read as a picture .*Save it again, or move it away\. --skip-damaged, or "
                         r"skip_damaged = true in a configuration file, goes on without such pictures",
                         " ".join(capfd.readouterr().err.split()))


def test_a_run_that_skips_damaged_pictures_says_which_and_is_scored_without_them(spoilt, tmp_path, capfd):
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(spoilt), *TRAIN, "--skip-damaged", "--out", run]) == 0
    said = " ".join(capfd.readouterr().err.split())
    assert "1 damaged picture was skipped" in said
    assert f"skipped {spoilt / 'a' / '7.png'}: cannot be read as a picture" in said
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert len(split["train"] + split["test"]) == 23
    assert main(["score", run]) == 0
    assert main(["report", run]) == 0
    assert main(["score", run, "--data", str(spoilt), "--json"]) == 0
    assert json.loads(capfd.readouterr().out.rpartition("\n{")[2].join(["{", ""]))["test_images"] == 23
    assert main(["data", str(spoilt), "--skip-damaged"]) == 0


def test_a_class_without_a_readable_picture_is_an_error_all_the_same(spoilt):
    for path in (spoilt / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"No picture of b can be read"):
        read(str(spoilt), skip_damaged=True)
    with pytest.raises(DataError, match=r"a/7\.png: .* 12 more cannot be read either\. --skip-damaged"):
        read(str(spoilt))


def test_pictures_without_ink_are_counted_in_a_sentence_of_their_own(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (40, 40), 9).save(tmp_path / name)
    with pytest.raises(DataError, match=r"a/1\.png: no ink found: .*\. 3 more cannot be read either\. --skip-damaged"):
        read(str(tmp_path), how="mnist")
