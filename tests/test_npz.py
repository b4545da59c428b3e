"""Archives of arrays as Keras, MedMNIST and people save them; damaged and hostile ones are refused."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest

from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, UsageError
from mnist_ops.pictures.prepare import prepare

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8", "--no-report"]


def shades(count, shape=(28, 28), first=0):
    """Images whose grey value is their number."""
    return np.ones((count, *shape), np.uint8) * np.arange(first, first + count, dtype=np.uint8).reshape(
        -1, *(1 for _ in shape))


def keras(count=30, **changes):
    arrays = {"x_train": shades(count), "y_train": np.arange(count) % 3,
              "x_test": shades(6, first=200), "y_test": np.arange(6) % 3, **changes}
    return {name: array for name, array in arrays.items() if array is not None}


def saved(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def pairs(part):
    """Grey value and label of each image of one shade."""
    return sorted(zip(part.images[:, 0, 0].tolist(), part.labels.tolist(), strict=True))


def test_an_archive_as_keras_saves_it_gives_its_two_sets(tmp_path):
    found = read(str(saved(tmp_path / "mine.npz", **keras())))
    assert (found.name, found.classes) == (str(tmp_path / "mine.npz"), ("0", "1", "2"))
    assert pairs(found.train) == [(shade, shade % 3) for shade in range(30)]
    assert pairs(found.test) == [(200 + number, number % 3) for number in range(6)]
    assert found.train.names is not None
    assert {f"mine.npz/x_train/{number}" for number in range(30)} == set(found.train.names)
    assert [name.rpartition("/")[2] for name in found.train.names] == [str(one) for one in found.train.images[:, 0, 0]]
    assert set(found.train.labels[-9:].tolist()) == {0, 1, 2}  # the end may become the validation set


def test_an_archive_as_medmnist_saves_it_keeps_its_validation_set_apart(tmp_path, capfd):
    arrays = {f"{part}_{kind}": array for part, first, count in (("train", 0, 30), ("val", 100, 9), ("test", 200, 6))
              for kind, array in (("images", shades(count, (32, 32, 3), first)),
                                  ("labels", (np.arange(count) % 3)[:, None].astype(np.uint8)))}
    path = saved(tmp_path / "med.npz", **arrays)
    found = read(str(path))
    assert found.validation is not None
    assert [len(part.labels) for part in (found.train, found.validation, found.test)] == [30, 9, 6]
    assert pairs(found.validation) == [(100 + number, number % 3) for number in range(9)]
    assert found.train.images.shape == (30, 32, 32)
    assert f"{path}: 9 validation images: the validation set if one is asked for" in found.warnings[0]
    for words, sizes in (([], "30 training, 6 test"), (["--validation", "1"], "30 training, 9 validation, 6 test")):
        out = tmp_path / f"run{len(words)}"
        assert main(["train", "--data", str(path), *TRAIN, *words, "--out", str(out)]) == 0
        said = capfd.readouterr()
        assert f"{sizes} images" in said.out
        assert "else unused" in said.err


@pytest.mark.parametrize("names", [
    ("x_train", "y_train"), ("X_train", "y_train"), ("trainX", "trainY"), ("images", "labels"), ("X", "y"),
    ("train_imgs", "train_targets"), ("data", "target"), ("training_images", "training_labels"),
])
def test_a_single_set_is_known_by_usual_names_and_split_by_the_seed(names, tmp_path):
    arrays = {names[0]: shades(30), names[1]: np.arange(30) % 3, "other": np.zeros(1)}
    path = saved(tmp_path / "one.npz", **arrays)
    found = read(str(path))
    assert (len(found.train.labels), len(found.test.labels)) == (24, 6)
    assert sorted(pairs(found.train) + pairs(found.test)) == [(shade, shade % 3) for shade in range(30)]
    assert np.bincount(found.test.labels).tolist() == [2, 2, 2]
    assert pairs(read(str(path), seed=1).test) != pairs(found.test)
    assert len(read(str(path), test="all").test.labels) == 30


def test_a_run_is_scored_again_on_the_test_set_it_drew(tmp_path, capfd):
    path = saved(tmp_path / "one.npz", images=shades(30), labels=np.arange(30) % 3)
    assert main(["train", "--data", str(path), *TRAIN, "--seed", "5", "--out", str(tmp_path / "run")]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    capfd.readouterr()
    assert main(["score", str(tmp_path / "run"), "--json"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["test_accuracy"] == summary["test_accuracy"]
    assert json.loads(said.out)["test_images"] == 6
    assert main(["report", str(tmp_path / "run")]) == 0
    saved(path, images=shades(20), labels=np.arange(20) % 3)
    assert main(["score", str(tmp_path / "run")]) == 1
    assert "pictures of the run's test set no longer exist, e.g. one.npz/images/2" in capfd.readouterr().err


def test_labels_may_be_text_or_leave_gaps_and_that_is_said(tmp_path):
    words = np.array(["b", "a10", "a9"])[np.arange(30) % 3]
    found = read(str(saved(tmp_path / "one.npz", images=shades(30), labels=words)))
    assert found.classes == ("a9", "a10", "b")
    assert dict(pairs(found.train) + pairs(found.test)) == {shade: (2, 1, 0)[shade % 3] for shade in range(30)}
    found = read(str(saved(tmp_path / "two.npz", images=shades(30), labels=np.array([7, 0, 24])[np.arange(30) % 3])))
    assert found.classes == ("0", "7", "24")
    assert found.warnings[0] == (f"{tmp_path / 'two.npz'}: two.npz: labels: of the 25 labels from 0 to 24 only 3 "
                                 "occur: these are the classes. If that is wrong, number the classes without gaps")


def test_the_preparation_of_mnist_is_done_image_by_image(tmp_path):
    digit = np.zeros((40, 30), np.uint8)
    digit[8:32, 12:16] = 255
    path = saved(tmp_path / "one.npz", images=np.stack([digit] * 6 + [255 - digit] * 6), labels=np.arange(12) % 2)
    found = read(str(path), how="mnist")
    assert all(np.array_equal(image, prepare(digit, "mnist")) for image in found.train.images)
    saved(path, images=shades(12), labels=np.arange(12) % 2)
    with pytest.raises(DataError, match=r"one\.npz: labels: image 0: "):
        read(str(path), how="mnist")


def test_data_shows_what_is_found(tmp_path, capfd):
    assert main(["data", str(saved(tmp_path / "mine.npz", **keras(x_train=shades(30, (20, 24)) / 255))), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["classes"] == {name: {"train": 10, "test": 2} for name in "012"}
    assert shown["sizes"] == {"24x20": 30, "28x28": 6}
    assert "mine.npz: x_train: the values end at 0.113725, so they were multiplied by 255" in shown["warnings"][0]
    assert shown["warnings"][0].count("mine.npz") == 1


@pytest.mark.parametrize(("arrays", "says"), [
    (keras(y_train=None), r"has the arrays x_train, x_test and y_test, without labels of the train set; expected x_tr"),
    (keras(x_test=None), r"without images of the test set"),
    ({"a": np.zeros(1)}, r"has the arrays a, without a training set; expected x_train.*Save it with numpy\.savez"),
    ({"x_test": shades(3), "y_test": np.arange(3)}, r"without a training set"),
    (keras(X_train=shades(3)), r"x_train and X_train are both images of the train set, expected one\. Leave one out"),
    (keras(y_train=np.arange(29)), r"mine\.npz: y_train: 29 labels for 30 images"),
    (keras(y_train=np.zeros(30, int)), r"y_train: every label is 0, expected at least two classes"),
    (keras(y_test=np.full(6, 9)), r"y_test: has the labels 9, which are not in mine\.npz: y_train; expected the same"),
    (keras(y_test=np.full(6, "0")), r"y_test: its labels are text, those of mine\.npz: y_train are not"),
    (keras(y_train=np.array([None, {}] * 15)), r"y_train: holds Python objects, which could run code and are not read"),
    (keras(x_train=shades(30).astype(float) * 99), r"x_train: values from 0 to 2871, expected 0 \(black\) to 255"),
], ids=lambda one: "" if isinstance(one, dict) else one[:30])
def test_what_does_not_fit_is_named_with_what_to_do(arrays, says, tmp_path, capfd):
    path = saved(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=says):
        read(str(path))
    assert main(["data", str(path)]) == 1
    assert "mine.npz" in capfd.readouterr().err


def test_a_class_of_one_image_cannot_be_split(tmp_path):
    path = saved(tmp_path / "one.npz", images=shades(3), labels=np.array([0, 0, 4]))
    with pytest.raises(UsageError, match=r"one\.npz: class 4: one picture, expected at least two"):
        read(str(path))


# ---------------------------------------------------------------- damaged and hostile files


def npy(shape, dtype="|u1", content=b""):
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def archive(**entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


class Runs:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


@pytest.mark.parametrize(("content", "says"), [
    (b"", r"not an intact \.npz archive \(BadZipFile: File is not a zip file\).*Save or download it again"),
    (b"<html>404</html>", r"not an intact"),
    (npy((3,), content=b"abc"), r"not an intact"),
    (archive(images=npy((9, 28, 28)), labels=npy((9,))), r"ValueError: mine\.npz: images is truncated"),
    (archive(images=npy((2**40, 28, 28)), labels=npy((9,))), r"images: 862,[0-9,]+ bytes of 'uint8', the limit is 1,0"),
    (archive(images=npy((2**21, 28, 28), content=bytes(10**6)), labels=npy((9,))), r"images: 1,644,167,168 bytes"),
    (archive(images=npy((-9, 28, 28)), labels=npy((9,))), r"images: -7,056 bytes"),
    (archive(images=npy((2**70,)), labels=npy((9,))), r"images: 1,180,591,620,717,411,303,424 bytes"),
    (archive(images=npy("open('x')"), labels=npy((9,))), r"not an intact"),
    (archive(images=b"not numpy", labels=npy((9,))), r"not an intact"),
    (archive(images=npy((1,), "|O", pickle.dumps(Runs())), labels=npy((9,))), r"images: holds Python objects"),
    (archive(**{f"a{number}": b"" for number in range(10_001)}), r"10,001 entries, the limit is 10,000"),
], ids=lambda one: "" if isinstance(one, bytes) else one[:40])
def test_a_damaged_or_hostile_archive_is_refused_and_runs_nothing(content, says, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read(str(path))


def test_arrays_that_are_too_large_together_are_refused_before_any_is_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.npz"
    images, labels = np.zeros((500, 28, 28), np.uint8), np.arange(500) % 2
    np.savez_compressed(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    monkeypatch.setattr("mnist_ops.data.npz.MOST_BYTES", 600_000)  # 392,000 of each set's images
    monkeypatch.setattr("mnist_ops.data.npz._part", None)
    with pytest.raises(DataError, match=r"mine\.npz: its arrays have 792,512 bytes, the limit is 600,000"):
        read(str(path))
