"""IDX files of any number of classes in a folder; and EMNIST, by name or as a folder, put upright."""

import gzip
import re

import numpy as np
import pytest

from mnist_ops.cli.main import main
from mnist_ops.data.catalog import CATALOG
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, UsageError
from tests.datasets import idx

LETTERS = [name.name for name in CATALOG["emnist-letters"].files]
GENERATOR = np.random.default_rng(0)


def laid(folder, files):
    """IDX files by name; a name that ends in .gz is packed, and text is written as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        raw = content.encode() if isinstance(content, str) else idx(content)
        (folder / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
    return folder


def images(count, shape=(28, 28)):
    return GENERATOR.integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count, *values):
    return np.array(values, np.uint8)[np.arange(count) % len(values)]


def letters(suffix=".gz"):
    """A miniature of EMNIST's letters as its makers published it, of 26 classes that count from 1."""
    arrays = (images(52), labels(52, *range(1, 27)), images(26), labels(26, *range(1, 27)))
    return dict(zip([f"{name}{suffix}" for name in LETTERS], arrays, strict=True))


@pytest.mark.parametrize("place", ["EMNIST/raw", "EMNIST", "emnist", "EMNIST/raw/gzip", "gzip", "."])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_emnist_is_found_where_it_is_unpacked_and_is_upright(place, suffix, tmp_path):
    files = letters(suffix)
    laid(tmp_path / place, files)
    found = read("emnist-letters", tmp_path)
    assert found.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    (train, train_labels, test, test_labels) = files.values()
    assert np.array_equal(found.train.images, train.transpose(0, 2, 1))
    assert np.array_equal(found.test.images, test.transpose(0, 2, 1))
    assert found.train.labels.tolist() == (train_labels.astype(int) - 1).tolist()
    assert found.test.labels.tolist() == (test_labels.astype(int) - 1).tolist()
    assert found.warnings == ()


def test_a_letter_that_is_none_is_refused(tmp_path):
    files = letters()
    files[f"{LETTERS[1]}.gz"] = labels(52, 0, 1)
    laid(tmp_path, files)
    with pytest.raises(DataError, match=r"emnist-letters-train-labels.*out of range"):
        read("emnist-letters", tmp_path)


@pytest.mark.parametrize(("name", "count"), [("emnist-letters", 26), ("emnist-balanced", 47), ("emnist-digits", 10)])
def test_emnists_datasets_are_not_downloaded_but_the_error_says_how_to_get_them(name, count, tmp_path, capfd):
    assert len(CATALOG[name].classes) == len(set(CATALOG[name].classes)) == count
    for words in (["train", "--data", name], ["data", name, "--fetch"]):
        assert main([*words, "--data-dir", str(tmp_path)]) == 1
        said = " ".join(capfd.readouterr().err.split())
        assert re.search(rf"is not downloaded, as no checksums .* Get gzip\.zip from https://www\.nist\.gov/.* Put "
                         rf"{name}-train-images-idx3-ubyte\.gz, .* into EMNIST/raw in any folder, and give that folder "
                         r"with --data-dir", said)
    assert list(tmp_path.iterdir()) == []


def test_data_shows_emnists_files_without_claiming_that_they_are_the_originals(tmp_path, capfd):
    laid(tmp_path, letters())
    assert main(["data", "emnist-letters", "--data-dir", str(tmp_path)]) == 0
    assert capfd.readouterr().out.count("intact, no checksum is published: ") == 4


def test_a_folder_of_any_emnist_is_upright_and_named_by_its_mapping(tmp_path):
    train, test = images(12), images(6)
    folder = laid(tmp_path / "mine", {
        "emnist-byclass-train-images-idx3-ubyte.gz": train,
        "emnist-byclass-train-labels-idx1-ubyte.gz": labels(12, 10, 36),
        "emnist-byclass-test-images-idx3-ubyte": test, "emnist-byclass-test-labels-idx1-ubyte": labels(6, 10, 36),
        "emnist-byclass-mapping.txt": "0 48\n10 65\n36 97\n\n"})
    found = read(str(folder))
    assert found.classes == ("A", "a")
    assert found.test.labels.tolist() == [0, 1] * 3
    assert np.array_equal(found.test.images, test.transpose(0, 2, 1))
    assert sorted(map(bytes, found.train.images)) == sorted(map(bytes, train.transpose(0, 2, 1)))
    assert "rows and columns were exchanged" in found.warnings[0]


@pytest.mark.parametrize(("train", "test"), [
    ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"), ("train-images.idx3-ubyte", "test-images.idx3-ubyte"),
    ("k49-train-images-idx3-ubyte.gz", "k49-test-images-idx3-ubyte.gz"), ("raw/train-images-idx3-ubyte", None),
])
def test_a_folder_of_idx_files_of_any_size_and_number_of_classes_is_read(train, test, tmp_path):
    count = 49
    for name, each in ((train, 3), (test, 1)):
        if name:
            path = tmp_path / name
            laid(path.parent, {path.name: images(count * each, (12, 10)), path.name.replace("images", "labels").replace(
                "idx3", "idx1"): labels(count * each, *range(count))})
    found = read(str(tmp_path))
    assert found.classes == tuple(map(str, range(count)))
    assert found.test.images.shape == (count, 28, 28)
    assert len(found.train.labels) == count * (3 if test else 2)
    assert (found.test.names or ("",))[0].startswith(f"{(test or train).split('/')[-1]}/")


@pytest.mark.parametrize(("name", "axis"), [("train-images-idx4-ubyte.gz", 3), ("train-images.idx3-ubyte", 1)])
def test_idx_files_of_three_channels_are_read_in_colour(name, axis, tmp_path):
    coloured = images(20, (32, 32, 3))
    laid(tmp_path, {name: np.moveaxis(coloured, 3, axis), "train-labels-idx1-ubyte": labels(20, 0, 1)})
    found = read(str(tmp_path))
    seen = np.concatenate([found.train.images, found.test.images])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, coloured.transpose(0, 3, 1, 2)))


def good():
    return {"train-images-idx3-ubyte": images(6), "train-labels-idx1-ubyte": labels(6, 0, 1)}


@pytest.mark.parametrize(("change", "error", "says"), [
    ({"train-images-idx3-ubyte": None}, DataError, r"train-labels-idx1-ubyte: its images are missing, expected a file "
                                                   r"such as train-images-idx3-ubyte beside it"),
    ({"t10k-images-idx3-ubyte": images(3)}, DataError,
     r"t10k-images-idx3-ubyte: its labels are missing, expected a file such as t10k-labels-idx1-ubyte"),
    ({"train-images-idx3-ubyte": images(6, (28, 28, 2))}, DataError,
     r"train-images-idx3-ubyte: shape \(6, 28, 28, 2\); expected \(N, height, width\), \(N, height, width, 3\)"),
    ({"train-labels-idx1-ubyte": labels(5, 0, 1)}, DataError, r"train-labels-idx1-ubyte: 5 labels for 6 images"),
    ({"train-labels-idx1-ubyte": images(5)}, DataError, r"train-labels-idx1-ubyte: has 3 dimensions"),
    ({"train-images-idx3-ubyte": "<html>"}, DataError, r"train-images-idx3-ubyte: not an IDX file: starts with 3c 68"),
    ({f"kuzushiji-{name}": array for name, array in good().items()}, UsageError,
     r"IDX files of several datasets, such as kuzushiji-train-labels.* and train-labels.*; expected one\. Move the"),
    ({"-mapping.txt": "0 48\n1 x\n"}, DataError, r"-mapping\.txt: line 2 is not a label and a character's code"),
    ({"-mapping.txt": "0 48\n1 48\n"}, DataError, r"-mapping\.txt: two labels have the same character"),
])
def test_files_that_do_not_fit_are_refused_by_name(change, error, says, tmp_path):
    laid(tmp_path, {name: content for name, content in {**good(), **change}.items() if content is not None})
    with pytest.raises(error, match=says):
        read(str(tmp_path))
