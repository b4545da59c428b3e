"""Folders as people have them: what is unmistakable is taken and said, all else is refused with what lies there."""

import itertools
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.data.layout import Folder, read_folder
from mnist_ops.errors import UsageError


def laid(root: Path, *files: str) -> Path:
    """Pictures of these names; what has another ending is an empty file, what ends in / an empty folder."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir(parents=True, exist_ok=True)
        elif name.endswith((".png", ".jpg", ".pgm")):
            Image.new("L", (28, 28), 99).save(root / name)
        else:
            (root / name).touch()
    return root


def taken(folder: Folder, root: Path) -> tuple[tuple[str, ...], list[str], list[str] | None]:
    """The classes, and each set's pictures by their names, with the class they are said to be of."""

    def names(pictures: tuple[tuple[Path, int], ...]) -> list[str]:
        return [f"{path.relative_to(root).as_posix()} is {folder.classes[label]}" for path, label in pictures]

    return folder.classes, names(folder.train), folder.test if folder.test is None else names(folder.test)


PLAIN = ("a/1.png", "b/1.png")


@pytest.mark.parametrize("extra", [
    ("__MACOSX/a/._1.png",), (".git/x.png",), ("a/.ipynb_checkpoints/1.png",), ("@eaDir/1.png",), ("a/@eaDir/1.png",),
    ("$RECYCLE.BIN/1.png",), ("Thumbs.db", "a/desktop.ini", "a/.DS_Store"), ("System Volume Information/1.png",),
], ids=lambda extra: extra[0])
def test_what_systems_leave_behind_is_neither_a_class_nor_mentioned(extra, tmp_path):
    folder = read_folder(laid(tmp_path, *PLAIN, *extra))
    assert taken(folder, tmp_path) == (("a", "b"), ["a/1.png is a", "b/1.png is b"], None)
    assert (folder.ignored, folder.taken) == ((), ())


@pytest.mark.parametrize(("train", "test"), [
    ("train", "test"), ("Train", "Test"), ("TRAINING", "testing"), ("trainingSet", "testSet"), ("train", "val"),
    ("train", "valid"), ("training", "validation"), ("train_images", "test-images"), ("images/train", "images/test"),
    ("mnist_png/mnist_png/training", "mnist_png/mnist_png/testing"), ("x/train/train", "x/test/test"),
])
def test_sets_are_known_by_their_names_wherever_they_lie(train, test, tmp_path):
    laid(tmp_path, f"{train}/10/1.png", f"{train}/9/1.png", f"{test}/10/2.png", f"{test}/9/2.png", "README.txt")
    folder = read_folder(tmp_path)
    assert taken(folder, tmp_path) == (("9", "10"), [f"{train}/9/1.png is 9", f"{train}/10/1.png is 10"],
                                       [f"{test}/9/2.png is 9", f"{test}/10/2.png is 10"])
    assert folder.ignored == (tmp_path / "README.txt",)
    if (train, test) == ("train", "test"):
        assert folder.taken == ()  # as it is documented: nothing to say
    else:
        sets = [re.sub(r"/(train|test)$", "", one) if one.startswith("x/") else one for one in (train, test)]
        assert folder.taken == (f"{sets[0]} is the training set, {sets[1]} is the test set",)


def test_of_three_sets_the_one_for_validation_is_kept_apart_and_that_is_said(tmp_path):
    folder = read_folder(laid(tmp_path, *(f"{part}/{one}" for part in ("train", "valid", "test") for one in PLAIN)))
    assert taken(folder, tmp_path)[2] == ["test/a/1.png is a", "test/b/1.png is b"]
    assert len(folder.train) == 2
    assert folder.taken == ("train is the training set, test is the test set; valid is the validation set if one is "
                            "asked for (--validation), else unused",)
    assert folder.validation == ((tmp_path / "valid" / "a" / "1.png", 0), (tmp_path / "valid" / "b" / "1.png", 1))


@pytest.mark.parametrize("unsorted", ["test/1.png", "test/test/1.png", "Testing/7.jpg"])
def test_a_test_set_without_classes_is_not_used_and_that_is_said(unsorted, tmp_path):
    folder = read_folder(laid(tmp_path, *(f"train/{one}" for one in PLAIN), unsorted))
    assert taken(folder, tmp_path) == (("a", "b"), ["train/a/1.png is a", "train/b/1.png is b"], None)
    name = unsorted.split("/")[0]
    assert folder.taken == (f"train is the training set, the test set is drawn from it; {name} is not used: it has no "
                            "pictures in subfolders of classes",)


@pytest.mark.parametrize("around", ["data", "archive/images", "train"])
def test_a_folder_that_is_all_there_is_is_entered_and_that_is_said(around, tmp_path):
    laid(tmp_path, *(f"{around}/{one}" for one in PLAIN), "labels/a.txt", "empty/", "__MACOSX/a/1.png", "notes.txt")
    folder = read_folder(tmp_path)
    assert taken(folder, tmp_path) == (("a", "b"), [f"{around}/a/1.png is a", f"{around}/b/1.png is b"], None)
    assert folder.taken == (f"the classes are the folders in {around}",)
    assert {path.name for path in folder.ignored} == {"labels", "empty", "notes.txt"}


def test_classes_that_each_hold_one_folder_are_entered_too(tmp_path):
    folder = read_folder(laid(tmp_path, "a/a/1.png", "b/images/1.png", "c/1.png", "c/more/2.png"))
    assert taken(folder, tmp_path)[1] == ["a/a/1.png is a", "b/images/1.png is b", "c/1.png is c"]
    assert folder.taken == ("the pictures of a and b are in the only subfolder of each",)
    assert folder.ignored == (tmp_path / "c" / "more",)


def test_a_class_that_is_called_train_is_a_class(tmp_path):
    folder = read_folder(laid(tmp_path, "train/1.png", "car/1.png"))
    assert (folder.classes, folder.test) == (("car", "train"), None)


NIST = tuple(f"by_class/{code}/{group}/1.png" for code in ("30", "41") for group in ("hsf_0", "hsf_4", "hsf_6"))


def test_nists_folders_give_the_sets_that_its_guide_suggests(tmp_path):
    laid(tmp_path, *NIST, "by_class/30/train_30/7.png", "by_class/41/train_41/7.png", "by_class/30/hsf_0.mit")
    folder = read_folder(tmp_path)
    assert taken(folder, tmp_path) == (
        ("30", "41"), ["by_class/30/train_30/7.png is 30", "by_class/41/train_41/7.png is 41"],
        ["by_class/30/hsf_4/1.png is 30", "by_class/41/hsf_4/1.png is 41"])
    assert re.search(r"named by its code \(30 is 0, 41 is A\): train_\* is the training set, hsf_4 the test set",
                     folder.taken[1])


def test_nists_folders_without_its_training_set_are_taken_together(tmp_path):
    folder = read_folder(laid(tmp_path, *NIST))
    assert taken(folder, tmp_path)[1] == [f"{name} is {name.split('/')[1]}" for name in NIST]
    assert folder.test is None
    assert "all hsf_* are taken together" in folder.taken[1]


@pytest.mark.parametrize(("files", "says"), [
    ((), r"found nothing; expected one subfolder of pictures for each of at least two classes"),
    (("1.png", "2.pgm"), r"found 2 pictures; expected .*To classify pictures with .*: mnist-ops predict def"),
    (("one.csv", "two.csv"), r"found the files one\.csv and two\.csv; expected"),
    (("a/1.png",), r"found the folder a; expected"),
    ((*PLAIN, "c/1.heic", "c/2.HEIC"), r"c: no pictures in this class: found the files 1\.heic and 2\.HEIC, of them "
                                       r"\.heic, which is not supported: convert it to PNG or JPEG"),
    ((*PLAIN, "c/"), r"c: no pictures in this class: found nothing; .*Add some, or move the subfolder away"),
    (("one/a/1.png", "one/b/1.png", "two/a/1.png", "two/b/1.png"),
     r"one: no pictures in this class: found the folders a and b; .*are the classes, use this folder: .*/one$"),
    (("train/1.png", "val/1.png"), r"train and val contain pictures .*as train/CLASS/1\.png.*is itself a class"),
    (("test/a/1.png", "test/b/1.png", "val/a/1.png", "val/b/1.png"), r"has test and val; which one is the training"),
    (("train/a/1.png", "Training/a/1.png", "test/a/1.png"), r"has test, train and Training; which one is"),
    (("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"),
     r"only some of the sets have b and c, expected the same classes in each"),
], ids=["nothing", "pictures alone", "tables", "one class", "heic", "empty class", "folders of folders", "no classes",
        "no training set", "two training sets", "other classes"])
def test_what_is_not_clear_is_wrong_use_and_says_what_lies_there(files, says, tmp_path, capfd):
    root = laid(tmp_path / "mine", *files)
    root.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match=says):
        read_folder(root)
    for command in (["train", "--data", str(root)], ["data", str(root)]):
        assert main(command) == 2
        assert re.search(says, capfd.readouterr().err.strip(), re.DOTALL)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_links_in_a_circle_end(tmp_path):
    laid(tmp_path, *PLAIN)
    (tmp_path / "a" / "up").symlink_to("..")
    assert len(read_folder(tmp_path).train) == 2


def test_a_tree_of_countless_folders_is_not_searched_to_its_end(tmp_path, monkeypatch):
    def endless(folder):
        for number in itertools.count():
            assert number < 5000
            yield folder, [], ["notes.txt"]

    laid(tmp_path, "system/x/notes.txt", "more/x/notes.txt")
    monkeypatch.setattr(os, "walk", endless)
    with pytest.raises(UsageError, match=r"more: no pictures in this class: found the folder x; expected"):
        read_folder(tmp_path)
