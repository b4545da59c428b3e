"""From what stands after --data to images and labels."""

import dataclasses
import gzip
import os
import re
import time

import numpy as np
import pytest

from mnist_ops.data import files
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.source import read
from mnist_ops.errors import ConfigError, DataError, UsageError
from tests.datasets import ARRAYS, MNIST, PACKED, PLAIN, folder_of, idx, lay, same
from tests.server import content, serving

REAL_MNIST = CATALOG["mnist"]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def _miniature(tmp_path, monkeypatch):
    """MNIST is its miniature, without mirrors, and the cache is the test's own. `real_mnist` undoes it."""
    monkeypatch.setattr(files, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setitem(CATALOG, "mnist", MNIST)


# The catalogue


@pytest.mark.parametrize("data", ["mnist", "auto"])
def test_mnist_is_read_as_it_lies_in_its_own_order(tmp_path, data):
    found = read(data, lay(tmp_path), fetch=False)
    assert (found.name, found.warnings) == ("mnist", ())

    assert found.train.images.shape == (40, 28, 28)
    assert np.array_equal(found.train.images, ARRAYS[TRAIN_IMAGES])
    assert found.train.labels.dtype == np.int64
    assert found.test.labels.tolist() == list(range(10)) * 2
    assert found.train.names is None


def test_what_is_missing_is_fetched(tmp_path, monkeypatch):
    seen = set()
    with serving() as server:
        server.routes |= {f"/{name}.gz": content(raw) for name, raw in PACKED.items()}
        monkeypatch.setitem(CATALOG, "mnist", dataclasses.replace(MNIST, bases=(server.url(),)))
        found = read("auto", progress=lambda name, received, total: seen.add(name))
    assert found.name == "mnist"

    assert seen == set(ARRAYS)


def test_what_is_missing_and_not_to_be_fetched_is_an_error_that_says_where_it_looked(tmp_path):
    lay(tmp_path, names=[TRAIN_IMAGES])
    with pytest.raises(
        DataError, match=rf"(?s)MNIST is not on this machine.*{tmp_path}.*lacks {TRAIN_LABELS}, t10k.*--fetch"
    ):
        read("mnist", tmp_path, fetch=False)
    with pytest.raises(
        DataError, match=rf"(?s)lacks {TRAIN_LABELS}.*{TRAIN_LABELS}\.gz could not be downloaded.*--data digits"
    ):
        read("mnist", tmp_path)


@pytest.mark.parametrize("fetch", [True, False])
def test_auto_falls_back_to_digits_and_says_so_loudly(fetch):
    found = read("auto", fetch=fetch)
    assert found.name == "digits"
    (warning,) = found.warnings
    assert warning.startswith("MNIST WAS NOT FOUND: the 1,797 embedded digits are used instead")
    assert "cache" in warning  # where it looked


@pytest.mark.parametrize("data", ["mnist", "auto"])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_damaged_file_is_an_error_that_names_it_and_never_skipped(tmp_path, data, name):
    (lay(tmp_path) / "MNIST" / "raw" / f"{name}.gz").write_bytes(PACKED[name][:-9])
    lay(tmp_path / "cache")  # whole, but further down the list
    with pytest.raises(DataError, match=rf"{name}\.gz: damaged gzip"):
        read(data, tmp_path)


def test_a_file_that_is_whole_but_not_the_original_is_used_with_a_warning(tmp_path):
    changed = ARRAYS[TRAIN_IMAGES][:, ::-1]
    path = lay(tmp_path) / "MNIST" / "raw" / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(gzip.compress(idx(changed)))
    found = read("mnist", tmp_path)
    assert np.array_equal(found.train.images, changed)
    assert [str(path) in warning and "not the original MNIST" in warning for warning in found.warnings] == [
        True
    ]


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        (TRAIN_LABELS, ARRAYS[TRAIN_LABELS][:-1], "39 labels for 40 images"),
        (TRAIN_LABELS, ARRAYS[TRAIN_LABELS] + 1,
         r"4 labels are out of range, the first is 10 at index 9; expected 0 to 9\. They start at 1: subtract 1"),
        (TRAIN_LABELS, np.arange(40, dtype=np.uint8) % 26 + 1,
         r"labels are out of range.* They run from 1 to 26, as in a dataset with other classes: give"),
        (TRAIN_IMAGES, ARRAYS[TRAIN_IMAGES][:, :20, :20], "images of 20x20, expected 28x28"),
        (TRAIN_IMAGES, ARRAYS[TRAIN_LABELS], "has 1 dimension"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, name, array, says):
    (lay(tmp_path, suffix="") / "MNIST" / "raw" / name).write_bytes(idx(array))
    with pytest.raises(DataError, match=rf"{name}: .*{says}"):
        read("mnist", tmp_path)


def test_no_advice_costs_the_user_his_own_data(tmp_path):
    path = lay(tmp_path, suffix="") / "MNIST" / "raw" / TRAIN_LABELS
    for raw in (b"", b"<html>", PLAIN[TRAIN_LABELS][:-1], idx(ARRAYS[TRAIN_LABELS] + 1)):
        path.write_bytes(raw)
        with pytest.raises(DataError) as raised:
            read("mnist", tmp_path)
        assert not re.search(r"\b([Dd]elete|[Rr]emove)\b", str(raised.value))


def test_another_datasets_files_in_the_place_of_these_are_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOG, "fashion-mnist", dataclasses.replace(MNIST, name="fashion-mnist"))
    monkeypatch.setitem(CATALOG, "mnist", REAL_MNIST)
    (warning,) = read("mnist", lay(tmp_path)).warnings
    assert f"{tmp_path / 'MNIST' / 'raw'}: these are the files of fashion-mnist, which have the same" in warning


def test_files_that_are_not_the_original_are_inspected(tmp_path):
    raw = lay(tmp_path) / "MNIST" / "raw"
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(ARRAYS[TRAIN_IMAGES][:20])))
    first, second = read("mnist", tmp_path).warnings
    assert "not the original MNIST" in first
    assert second.startswith("MNIST: every picture of the test set is in the training set too, test image 0 as")


@pytest.mark.parametrize(("file", "says"), [
    ("MNIST/raw/train-images-idx3-ubyte.gz", r"It holds the files of MNIST\. Use --data mnist --data-dir"),
    ("train-images.idx3-ubyte", r"found the file train-images\.idx3-ubyte"),
    ("EMNIST/raw/emnist-letters-train-images-idx3-ubyte.gz",
     r"It holds the files of EMNIST Letters\. Use --data emnist-letters --data-dir"),
])
def test_a_folder_of_a_named_dataset_is_answered_by_what_takes_it(tmp_path, file, says):
    (tmp_path / "x" / file).parent.mkdir(parents=True)
    (tmp_path / "x" / file).write_bytes(PACKED[TRAIN_IMAGES])
    with pytest.raises(UsageError, match=rf"(?s){says}"):
        read(str(tmp_path / "x"))


def test_a_whole_dataset_in_a_folder_is_answered_by_the_command_that_takes_it(tmp_path):
    for name in ARRAYS:
        (tmp_path / name.replace("-idx", ".idx")).write_bytes(PLAIN[name])
    with pytest.raises(UsageError, match=rf"Use --data mnist --data-dir {tmp_path}$"):
        read(str(tmp_path))
    assert read("mnist", tmp_path).warnings == ()


def test_unpacked_files_give_the_same_as_packed_ones(tmp_path):
    packed, plain = read("mnist", lay(tmp_path / "packed")), read("mnist", lay(tmp_path / "plain", suffix=""))
    assert same(packed.train, plain.train)
    assert same(packed.test, plain.test)
    assert plain.warnings == ()
    assert len(PLAIN[TRAIN_IMAGES]) == 16 + 40 * 784


# The embedded digits


def test_digits_are_scaled_prepared_and_split():
    found = read("digits", how="resize")
    assert (len(found.train.images), len(found.test.images)) == (1437, 360)
    assert found.train.images.dtype == np.uint8
    assert found.train.images.shape[1:] == (28, 28)
    # round(v * 255 / 16) for v = 0 to 16; 8 is exactly halfway, 127.5, and rounds up
    scale = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert np.unique(found.train.images).tolist() == scale
    assert found.train.labels[:10].tolist() == list(range(10))  # the first ten are 0 to 9 in order
    assert np.bincount(found.test.labels).min() >= 33
    assert found.warnings == ()


def test_digits_are_those_that_scikit_learn_gives():
    found = read("digits", how="resize")
    labels = np.concatenate([found.train.labels, found.test.labels])
    images = np.concatenate([found.train.images, found.test.images])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first image's first row, 0 0 5 13 9 1 0 0, times 255 / 16.
    assert list(dict.fromkeys(images[0, 0].tolist())) == [0, 80, 207, 143, 16]
    assert len(images) == 1797


def test_digits_are_boxed_and_centred_as_mnist_is_unless_they_are_resized():
    found, resized = read("digits"), read("digits", how="resize")
    images = np.concatenate([found.train.images, found.test.images]).astype(np.int64)
    assert np.array_equal(found.test.labels, resized.test.labels)
    mass = images.sum((1, 2))
    for axis in (1, 2):
        across = images.any(3 - axis)
        assert across.sum(1).max() <= 22  # 20 pixels, and what a triangle adds at the ends
        assert (np.abs((images.sum(3 - axis) * np.arange(28)).sum(1) / mass - 14) <= 0.5).all()


# Names


def test_the_catalogue_wins_over_a_folder_of_that_name_unless_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "digits", {"a": 5, "b": 5})
    folder_of(tmp_path / "mine", {"a": 5, "b": 5})
    assert len(read("digits").classes) == 10
    assert read(f".{os.sep}digits").classes == ("a", "b")
    assert read("mine").classes == ("a", "b")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            "fashion_mnist",
            r"unknown dataset or folder; did you mean fashion-mnist.*or the path of a folder",
        ),
        ("MNIST", r"did you mean mnist"),
        ("zzz", r"unknown dataset or folder; expected one of auto, mnist, fashion-mnist"),
        ("./zzz", r"folder not found"),
        ("a-file", r"is a file, expected a folder with one subfolder"),
        ("mine.zip", r"is a file, expected a folder with one subfolder .*Unpack it first"),
        ("", r"unknown dataset or folder; expected one of auto"),
        ("~nobody-of-this-name/x", r"invalid path \(Could not determine home directory"),
        ("x" * 5000, r"invalid path \(.*File name too long"),
        ("nul\0", r"unknown dataset or folder|invalid path"),
        ("\ud800", r"unknown dataset or folder|invalid path"),
    ],
)
def test_a_name_that_is_neither_is_refused_with_those_that_are_close(tmp_path, monkeypatch, data, says):
    monkeypatch.chdir(tmp_path)
    for name in ("a-file", "mine.zip"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=rf"--data {data[:80]}: .*{says}"):
        read(data)


def test_an_unknown_preparation_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="prepare: found 'crop'"):
        read("mnist", tmp_path, how="crop")


# The real thing


@pytest.fixture
def real_mnist(mnist_dir, monkeypatch) -> tuple[ImageDataset, float]:
    monkeypatch.setitem(CATALOG, "mnist", REAL_MNIST)
    start = time.process_time()
    return read("mnist", mnist_dir, fetch=False), time.process_time() - start


def test_real_mnist_is_the_original_with_its_known_mean_and_deviation_and_is_read_quickly(real_mnist):
    found, seconds = real_mnist
    assert found.warnings == ()
    assert (found.train.images.shape, found.test.images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert round(float(found.train.images.mean()) / 255, 4) == 0.1307
    squares = (np.arange(256) ** 2).astype(np.uint16)[found.train.images]
    assert round(float(np.sqrt(squares.mean() - found.train.images.mean() ** 2)) / 255, 4) == 0.3081
    assert found.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert seconds < 3  # 0.4 on a quiet core


def test_real_fashion_mnist_is_the_original(mnist_dir):
    if not (mnist_dir / "FashionMNIST" / "raw").is_dir():
        pytest.skip(f"needs Fashion-MNIST: {mnist_dir} has no FashionMNIST/raw")
    found = read("fashion-mnist", mnist_dir)
    assert found.warnings == ()  # every file has its known MD5
    assert (found.train.images.shape, found.test.images.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(found.train.labels).tolist() == [6000] * 10
    assert [found.classes[label] for label in found.train.labels[:3]] == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
