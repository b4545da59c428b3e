"""A person's own folder of pictures: which are found, in which order, and how they are split."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mnist_ops
from mnist_ops.cli.main import main
from mnist_ops.data.layout import read_folder
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, UsageError
from mnist_ops.pictures.listing import natural_key
from tests.datasets import folder_of, same

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8"]


def drawn(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (28, 28), shade).save(path)
    return path


def test_classes_and_pictures_come_in_natural_order_whatever_the_file_system_says(tmp_path, monkeypatch):
    for one in ("10", "9", "b2", "b10", "A3"):
        for name in ("img10.png", "img9.PNG", "IMG1.png"):
            drawn(tmp_path / one / name)
    expected = read_folder(tmp_path)
    assert expected.classes == ("9", "10", "A3", "b2", "b10")
    assert [path.name for path, label in expected.train if label == 0] == ["IMG1.png", "img9.PNG", "img10.png"]

    class Shuffled:
        def __init__(self, folder: Path) -> None:
            with listing(folder) as found:
                self.entries = random.Random(3).sample(entries := list(found), len(entries))

        def __enter__(self) -> "Shuffled":
            return self

        def __iter__(self) -> "Shuffled":
            return self

        def __next__(self) -> os.DirEntry[str]:
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

        def __exit__(self, *_: object) -> None:
            pass

    listing = os.scandir
    monkeypatch.setattr(os, "scandir", Shuffled)
    assert read_folder(tmp_path) == expected


@given(st.lists(st.text(max_size=12), max_size=6))
def test_natural_order_is_total_whatever_the_names(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_train_and_test_below_the_folder_are_taken_as_the_parts(tmp_path):
    for part in ("train", "test"):
        for one in ("cat", "dog"):
            drawn(tmp_path / part / one / "1.png")
    drawn(tmp_path / "unsorted" / "1.png")
    folder = read_folder(tmp_path)
    assert folder.classes == ("cat", "dog")
    assert folder.test == ((tmp_path / "test" / "cat" / "1.png", 0), (tmp_path / "test" / "dog" / "1.png", 1))
    assert folder.ignored == (tmp_path / "unsorted",)


def test_parts_with_different_classes_are_refused(tmp_path):
    for name in ("train/cat", "train/dog", "test/cat", "test/cow"):
        drawn(tmp_path / name / "1.png")
    with pytest.raises(UsageError, match=r"only some of the sets have cow and dog, expected the"):
        read_folder(tmp_path)


def test_what_is_not_a_picture_by_its_name_is_listed_and_hidden_files_are_not(tmp_path):
    for one in ("a", "b"):
        drawn(tmp_path / one / "1.png")
    for name in ("a/notes.txt", "a/.DS_Store", "README.md"):
        (tmp_path / name).touch()
    folder = read_folder(tmp_path)
    assert set(folder.ignored) == {tmp_path / "a" / "notes.txt", tmp_path / "README.md"}
    assert len(folder.train) == 2


def test_a_folder_without_classes_or_with_one_or_with_an_empty_one_is_refused(tmp_path):
    drawn(tmp_path / "1.png")
    with pytest.raises(UsageError, match=r"found 1 picture; expected one subfolder of pictures .*mnist-ops predict"):
        read_folder(tmp_path)
    drawn(tmp_path / "cat" / "1.png")
    with pytest.raises(UsageError, match=r"found 1 picture, the folder cat; expected .*two classes \(or train and"):
        read_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: no pictures in this class: found nothing; expected files ending"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: cannot be listed"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_links_may_stay_in_the_folder_but_not_leave_it_lead_nowhere_or_in_a_circle(tmp_path):
    outside = drawn(tmp_path / "outside" / "secret.png")
    root = tmp_path / "root"
    for one in ("a", "b"):
        drawn(root / one / "1.png")
    (root / "a" / "2.png").symlink_to(root / "b" / "1.png")
    assert len(read_folder(root).train) == 3
    for target in (outside, root / "nowhere.png", "3.png"):
        link = root / "a" / "3.png"
        link.symlink_to(target)
        with pytest.raises(DataError, match=r"3\.png: a broken link, or one that leads out of .*root"):
            read_folder(root)
        link.unlink()
    (root / "c").symlink_to(outside.parent)
    with pytest.raises(DataError, match=r"c: a broken link, or one that leads out"):
        read_folder(root)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_parts_that_are_links_out_of_the_folder_are_refused(tmp_path):
    for one in ("a", "b"):
        drawn(tmp_path / "outside" / one / "1.png")
        drawn(tmp_path / "root" / "train" / one / "1.png")
    (tmp_path / "root" / "test").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=r"test: a broken link, or one that leads out"):
        read_folder(tmp_path / "root")


# Names and files as people and programs leave them

ODD_NAMES = ("two words", " edges ", "new\nline", "🖉 数字", "👩\u200d🔬", "$\\frac{", "%s {0} \\", "-rf", "a'b\"c",
             "\x1b[2Jgone", "\u202egnp", "x" * 200, "tab\tbell\x07")


ANY_NAME = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere file names are more limited")


@ANY_NAME
def test_odd_names_of_classes_and_pictures_train_and_score_and_move_no_cursor(tmp_path, capfd):
    root = tmp_path / "mine"
    for number, name in enumerate(ODD_NAMES):
        for shade in range(5):
            drawn(root / name / f"{name[:40]} {shade}.png", 7 * number + 20 * shade)
    (root / os.fsdecode(b"\xff latin")).mkdir()
    for shade in range(5):
        drawn(root / os.fsdecode(b"\xff latin") / f"{shade}.png", 200 + shade)
    (root / "two words" / "left\nout\x1b[2J.txt").touch()
    assert main(["train", "--data", str(root), *TRAIN, "--out", str(tmp_path / "run")]) == 0  # with its pictures
    assert main(["score", str(tmp_path / "run"), "--json"]) == 0
    said = capfd.readouterr()
    assert r"left\nout\x1b[2J.txt" in said.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said.out + said.err)
    assert len(json.loads(said.out[said.out.rindex("\n{\n"):])) > 5
    learnt = mnist_ops.load(tmp_path / "run").classes
    assert set(learnt) == {*ODD_NAMES, os.fsdecode(b"\xff latin")}
    (root / "new\nline" / "new\nline 0.png").write_bytes(b"no picture")
    assert main(["score", str(tmp_path / "run"), "--data", str(root)]) == 1
    assert r"new\nline/new\nline 0.png: cannot be read as a picture" in capfd.readouterr().err
    drawn(root / "new\nline" / "new\nline 0.png")
    shutil.rmtree(root / "-rf")
    assert main(["score", str(tmp_path / "run"), "--data", str(root)]) == 2
    assert r"new\nline" in capfd.readouterr().err


@ANY_NAME
def test_names_are_said_in_an_encoding_that_lacks_their_letters(tmp_path):
    root = folder_of(tmp_path / "🖉 ä", {"one": 3, "数": 1})
    done = subprocess.run([sys.executable, "-m", "mnist_ops", "train", "--data", str(root)], capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=tmp_path)
    assert done.returncode == 2
    assert rb"\U0001f589 \xe4: class \u6570: one picture, expected at least two" in done.stderr
    picture = root / "数.png"
    Image.linear_gradient("L").resize((28, 28)).save(picture)
    done = subprocess.run([sys.executable, "-m", "mnist_ops", "predict", "default", picture, "--prepare", "resize"],
                          capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\U0001f589 \xe4/\u6570.png  " in done.stdout


@pytest.mark.parametrize(("spoil", "says"), [  # another layout is wrong use, 2; what is damaged in it is not, 1
    (lambda root: shutil.rmtree(root / "a"), r"found the folder b; expected one subfolder of pictures for each"),
    (lambda root: [path.unlink() for path in (root / "a").iterdir()], r"a: no pictures in this class: found nothing"),
    (lambda root: (root / "a" / "3.png").write_bytes(b""), r"a/3\.png: cannot be read as a picture"),
    (lambda root: (root / "a" / "3.png").write_bytes((root / "a" / "3.png").read_bytes()[:50]), r"a/3\.png: cannot"),
    (lambda root: (root / "a" / "3.png").write_bytes(b"<svg/>"), r"a/3\.png: cannot be read as a picture"),
    (lambda root: (root / "a" / "3.png").rename(root / "a" / "3.text"), ""),
    (lambda root: (root / "a" / "3.png").unlink() or (root / "a" / "3.png").mkdir(), ""),
    (lambda root: (root / "a" / "x.png").symlink_to("/etc/passwd"), r"a/x\.png: a broken link, or one that leads out"),
    (lambda root: (root / "c").symlink_to("/etc"), r"c: a broken link, or one that leads out of"),
    (lambda root: (root / "a" / "x.png").symlink_to("../b/1.png"), ""),
    (lambda root: os.mkfifo(root / "a" / "x.png"), ""),
], ids=["one class", "empty class", "empty file", "cut", "svg", "other suffix", "folder", "link", "linked class",
        "link within", "pipe"])
def test_what_lies_in_a_folder_is_used_or_named_by_the_commands_themselves(spoil, says, tmp_path, capfd):
    root = folder_of(tmp_path / "mine", {"a": 6, "b": 6}, first=40)
    spoil(root)
    code = main(["train", "--data", str(root), *TRAIN, "--no-report", "--out", str(tmp_path / "run")])
    said = capfd.readouterr().err
    assert code == (0 if not says else 2 if "found " in says else 1), said
    assert re.search(says, said)
    assert (tmp_path / "run").exists() == (not says)
    assert main(["score", str(tmp_path / "run")]) == (1 if says else 0)


def test_pictures_of_all_sizes_kinds_and_shapes_train_together(tmp_path, capfd):
    root = folder_of(tmp_path / "mine", {"a": 4, "b": 4}, first=40)
    for number, size in enumerate([(1, 1), (1, 300), (300, 1), (27, 29), (640, 480)]):
        for one in ("a", "b"):
            Image.new("RGB", size, (9 * number, 50, 99)).save(root / one / f"x{number}.jpg")
            Image.new("RGBA", size, (9 * number, 50, 99, 128)).save(root / one / f"y{number}.PNG")
    assert main(["train", "--data", str(root), *TRAIN, "--no-report", "--out", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["test_images"] == 6  # a fifth of fourteen in each class


@pytest.mark.parametrize("what", ["picture", "class", "folder"])
def test_what_may_not_be_read_is_named(what, unprivileged):
    root = folder_of(unprivileged / "mine", {"a": 3, "b": 3})
    shut = {"picture": root / "a" / "1.png", "class": root / "a", "folder": root}[what]
    shut.chmod(0)
    try:
        with pytest.raises(DataError, match=rf"{shut}: cannot be (read|listed) \(Permission denied\)"):
            read(str(root))
    finally:
        shut.chmod(0o755)


def test_recorded_pictures_of_a_test_folder_that_are_gone_are_named_and_new_ones_left_out(tmp_path):
    for part, first in (("train", 0), ("test", 100)):
        folder_of(tmp_path / part, {"a": 3, "b": 3}, first)
    whole = read(str(tmp_path))
    assert whole.test.names is not None
    drawn(tmp_path / "test" / "a" / "9.png")
    assert same(read(str(tmp_path), test=list(whole.test.names)).test, whole.test)
    assert len(read(str(tmp_path), test="all").test.labels) == 7
    (tmp_path / "test" / "b" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1 pictures of the run's test set no longer exist, e\.g\. test/b/1\.png"):
        read(str(tmp_path), test=list(whole.test.names))


# Splitting


def test_a_folder_is_split_in_each_class_without_overlap_or_loss(tmp_path):
    found = read(str(folder_of(tmp_path / "mine", {"a": 20, "b": 10, "c": 2, "d": 3})))
    assert found.classes == ("a", "b", "c", "d")
    assert np.bincount(found.test.labels).tolist() == [4, 2, 1, 1]  # a fifth, at least one
    assert np.bincount(found.train.labels).tolist() == [16, 8, 1, 2]
    assert found.train.names is not None
    assert found.test.names is not None
    assert len({*found.train.names, *found.test.names}) == 35
    for part in (found.train, found.test):
        for image, label, name in zip(part.images, part.labels, part.names or (), strict=True):
            assert name == f"{found.classes[label]}/{image[0, 0]}.png"


def test_the_split_depends_on_the_seed_alone(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "mine", {"a": 20, "b": 20})
    first, again, other = read(str(root), seed=1), read(str(root), seed=1), read(str(root), seed=2)
    copy = read(str(folder_of(tmp_path / "copy", {"b": 20, "a": 20})), seed=1)  # made in another order
    assert same(first.train, again.train)
    assert same(first.test, again.test)
    assert same(first.train, copy.train)
    assert same(first.test, copy.test)
    assert first.test.names != other.test.names


def test_the_end_of_the_training_part_holds_every_class(tmp_path):
    root = tmp_path / "mine"
    for part in ("train", "test"):
        folder_of(root / part, {"a": 40, "b": 40})
    labels = read(str(root)).train.labels
    assert set(labels[-20:].tolist()) == {0, 1}  # whoever keeps the last images for validation relies on it


def test_a_folder_with_train_and_test_keeps_its_parts(tmp_path):
    root = tmp_path / "mine"
    folder_of(root / "train", {"a": 5, "b": 4})
    folder_of(root / "test", {"a": 2, "b": 1}, first=100)
    found = read(str(root))
    assert found.train.images.max() < 100
    assert found.test.names == ("test/a/0.png", "test/a/1.png", "test/b/0.png")
    assert found.name == str(root)


def test_a_class_with_a_single_picture_cannot_be_split(tmp_path):
    with pytest.raises(UsageError, match=r"b: one picture, expected at least two"):
        read(str(folder_of(tmp_path / "mine", {"a": 5, "b": 1})))


def test_an_unreadable_picture_in_a_folder_is_named(tmp_path):
    root = folder_of(tmp_path / "mine", {"a": 5, "b": 5})
    (root / "b" / "3.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"3\.png: cannot be read as a picture"):
        read(str(root))


def test_left_out_files_are_mentioned(tmp_path):
    root = folder_of(tmp_path / "mine", {"a": 5, "b": 5})
    (root / "a" / "notes.txt").touch()
    (root / "b" / "scan.HEIC").touch()
    skipped = [text.removeprefix(f"{root}: ") for text in read(str(root)).warnings if "skipped" in text]
    assert skipped == [
        "1 entry was skipped: pictures in unsupported formats; convert them to PNG or JPEG (b/scan.HEIC)",
        "1 entry was skipped: not pictures of a class (a/notes.txt)"]
