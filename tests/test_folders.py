"""A person's own folder of pictures: which are found, in which order, and how they are split."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnist_ops.data.images import natural_key, read_folder
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from tests.datasets import folder_of, same


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

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

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
    with pytest.raises(DataError, match=r"only one of train/ and test/ has cow, dog, expected the same"):
        read_folder(tmp_path)


def test_what_is_no_picture_by_its_name_is_listed_and_hidden_files_are_not(tmp_path):
    for one in ("a", "b"):
        drawn(tmp_path / one / "1.png")
    for name in ("a/notes.txt", "a/.DS_Store", "README.md"):
        (tmp_path / name).touch()
    folder = read_folder(tmp_path)
    assert set(folder.ignored) == {tmp_path / "a" / "notes.txt", tmp_path / "README.md"}
    assert len(folder.train) == 2


def test_a_folder_without_classes_or_with_one_or_with_an_empty_one_is_refused(tmp_path):
    drawn(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"found no subfolder, expected one subfolder of pictures"):
        read_folder(tmp_path)
    drawn(tmp_path / "train" / "1.png")
    with pytest.raises(DataError, match=r"found only train, expected .*at least two classes \(or train and test"):
        read_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no pictures in this class, expected files that end in \.png"):
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
        with pytest.raises(DataError, match=r"3\.png: a link that leads out of .*root, or nowhere"):
            read_folder(root)
        link.unlink()
    (root / "c").symlink_to(outside.parent)
    with pytest.raises(DataError, match=r"c: a link that leads out"):
        read_folder(root)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_parts_that_are_links_out_of_the_folder_are_refused(tmp_path):
    for one in ("a", "b"):
        drawn(tmp_path / "outside" / one / "1.png")
        drawn(tmp_path / "root" / "train" / one / "1.png")
    (tmp_path / "root" / "test").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=r"test: a link that leads out"):
        read_folder(tmp_path / "root")


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
    with pytest.raises(DataError, match=r"b: one picture, expected at least two"):
        read(str(folder_of(tmp_path / "mine", {"a": 5, "b": 1})))


def test_an_unreadable_picture_in_a_folder_is_named(tmp_path):
    root = folder_of(tmp_path / "mine", {"a": 5, "b": 5})
    (root / "b" / "3.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"3\.png: cannot be read as a picture"):
        read(str(root))


def test_left_out_files_are_mentioned(tmp_path):
    root = folder_of(tmp_path / "mine", {"a": 5, "b": 5})
    (root / "a" / "notes.txt").touch()
    (warning,) = read(str(root)).warnings
    assert "1 entries" in warning
    assert "a/notes.txt" in warning
