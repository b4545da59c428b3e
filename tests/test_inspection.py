"""Data that is worth less than it looks is said to be, in a line each, by every command that reads it."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.data.dataset import ImageSet
from mnist_ops.data.inspection import inspect
from mnist_ops.data.source import read

RANDOM = np.random.default_rng(5)
CLASSES = ("cat", "dog")


def strokes(count: int, *, dark: bool = False) -> NDArray[np.uint8]:
    """Random strokes on an even ground, (count, 28, 28), no two alike: light on dark, or dark on light."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 8:20, 8:20] = RANDOM.integers(0, 2, (count, 12, 12)) * 255
    return 255 - images if dark else images


def part(images: NDArray[np.uint8], labels: list[int], name: str) -> ImageSet:
    return ImageSet(images, np.array(labels, dtype=np.int64),
                    tuple(f"{name}/{index}.png" for index in range(len(labels))))


def sets(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> tuple[ImageSet, ImageSet]:
    """With the classes by turns."""
    return part(train, [0, 1] * (len(train) // 2), "train"), part(test, [0, 1] * (len(test) // 2), "test")


def test_of_sound_data_nothing_is_said():
    assert inspect(CLASSES, *sets(strokes(20), strokes(8))) == []
    assert inspect(CLASSES, *sets(strokes(20, dark=True), strokes(0))) == []
    photos = RANDOM.integers(0, 256, (20, 28, 28), dtype=np.uint8)  # whose grounds are even nowhere
    assert inspect(CLASSES, *sets(photos, strokes(0))) == []


def test_blank_pictures_and_classes_are_named():
    train, test = sets(strokes(20), strokes(8))
    train.images[3] = 70
    train.images[3, 5, 5] = 77  # spans seven grey values, as the noise of a scanner does
    assert inspect(CLASSES, train, test) == ["1 picture is blank (train/3.png)"]
    train.images[2:14:2] = 255
    assert inspect(CLASSES, train, test) == [
        "7 pictures are blank (train/2.png, train/3.png, train/4.png, ...)"]
    for one in (train, test):
        one.images[one.labels == 0] = 9
    assert inspect(CLASSES, train, test) == ["every picture of cat is blank", "1 picture is blank (train/3.png)"]
    assert inspect(CLASSES, *sets(np.full((4, 28, 28), 9, np.uint8), strokes(0))) == ["every picture is blank"]


def test_drawings_in_colour_of_both_polarities_are_counted():
    train = part(np.stack(3 * [strokes(20)], axis=1), [0, 1] * 10, "train")
    train.images[:, 1] //= 2  # purple on black
    train.images[:3] = 255 - train.images[:3]
    [line] = inspect(CLASSES, train, part(train.images[:0], [], "test"))
    assert line.startswith("3 pictures are dark on light and the others light on dark: 2 of cat and 1 of dog, such as "
                           "train/0.png")


def test_drawings_of_both_polarities_are_counted_by_class():
    train, test = sets(strokes(20), strokes(8))
    train.images[[1, 5, 6]] = 255 - train.images[[1, 5, 6]]
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("3 pictures are dark on light and the others light on dark: 1 of cat and 2 of dog, such as "
                           "train/1.png. A network may learn the background")
    mixed, rest = sets(strokes(20, dark=True), strokes(0))
    mixed.images[4] = 255 - mixed.images[4]
    (line,) = inspect(CLASSES, mixed, rest)
    assert line.startswith("1 picture is light on dark and the others dark on light: 1 of cat, such as train/4.png")


def test_copies_across_the_sets_are_counted_and_named():
    train, test = sets(strokes(20), strokes(8))
    test.images[2], test.images[5] = train.images[6], train.images[9]  # of the same classes
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("2 of 8 test pictures are in the training set too, test/2.png as train/6.png: the accuracy")
    test.images[5] = strokes(1)[0]
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("1 of 8 test pictures is in the training set too")
    test.images[:] = train.images[:8]
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("every picture of the test set is in the training set too, test/0.png as train/0.png")


def test_copies_within_a_set_and_blank_pictures_are_not_copies_across():
    train, test = sets(strokes(20), strokes(8))
    train.images[2], test.images[2] = train.images[4], test.images[4]
    train.images[6], test.images[6] = 255, 255
    assert inspect(CLASSES, train, test) == ["2 pictures are blank (train/6.png and test/6.png)"]


def test_a_picture_in_two_classes_is_named_in_both():
    train, test = sets(strokes(20), strokes(0))
    train.images[7] = train.images[2]
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("1 picture is in more than one class, train/2.png also as train/7.png: no network can be")


def test_what_always_naming_the_larger_class_gives_is_said():
    train, test = part(strokes(164), [0] * 160 + [1] * 4, "train"), part(strokes(41), [0] * 40 + [1], "test")
    (line,) = inspect(CLASSES, train, test)
    assert line == ("the classes are unbalanced, 200 pictures of cat and 5 of dog: always predicting cat gives "
                    "97.56 % on the test set. Compare the accuracy with that")  # 40 / 41
    assert inspect(CLASSES, part(strokes(4), [0, 0, 0, 1], "train"), test=part(strokes(4), [0, 0, 0, 1], "test")) == []


def test_values_that_end_far_below_white_are_said():
    train, test = sets(strokes(20) // 16, strokes(8) // 16)
    (line,) = inspect(CLASSES, train, test)
    assert line.startswith("the brightest value of all pictures is 15 of 255: pictures that use the whole")


def test_sixty_thousand_pictures_take_little_time():
    images = RANDOM.integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    labels = np.arange(60_000) % 2
    start = time.process_time()
    sets = (ImageSet(images[part], labels[part]) for part in (slice(50_000), slice(50_000, None)))
    assert inspect(CLASSES, *sets) == []
    assert time.process_time() - start < 5  # 1 on a quiet core


def test_real_mnist_and_fashion_mnist_are_sound(mnist_dir):
    for name in ("mnist", "fashion-mnist"):
        if name == "mnist" or (mnist_dir / "FashionMNIST").is_dir():
            found = read(name, mnist_dir, fetch=False)
            assert inspect(found.classes, found.train, found.test) == []


# Files of a folder


def saved(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def drawn(root: Path, **shown: NDArray[np.uint8]) -> Path:
    for name, images in shown.items():
        for index, image in enumerate(images):
            saved(root / name / f"{index}.png", image)
    return root


def lines(root: Path) -> list[str]:
    return [text.removeprefix(f"{root}: ") for text in read(str(root)).warnings]


def test_sixteen_bits_that_hold_eight_are_read_as_the_same_in_eight(tmp_path):
    dark, light = strokes(6, dark=True), strokes(6, dark=True)
    eight = drawn(tmp_path / "eight", a=dark, b=light)
    for name, images in (("a", dark), ("b", light)):
        for index, image in enumerate(images):
            saved(tmp_path / "sixteen" / name / f"{index}.png", image.astype(np.uint16))
    one, other = read(str(eight)), read(str(tmp_path / "sixteen"))
    assert np.array_equal(one.train.images, other.train.images)
    assert one.warnings == ()
    assert lines(tmp_path / "sixteen") == [
        "a/0.png, a/1.png, a/2.png and 9 more: each is a 16-bit picture, but its values end at 255, so it is read as "
        "8-bit"]


def test_white_ink_on_transparent_is_kept_in_training_and_its_polarity_said(tmp_path):
    root = drawn(tmp_path, black=strokes(6, dark=True))
    for index, image in enumerate(strokes(6)):
        saved(root / "white" / f"{index}.png", np.dstack([np.full_like(image, 255)] * 3 + [image]))
    found = read(str(root))
    of_white = found.train.images[found.train.labels == 1]
    assert set(np.unique(of_white)) == {0, 255}
    assert found.originals is not None
    assert found.originals.transparent == 6
    (line,) = lines(root)
    assert line.startswith("6 pictures are light on dark and the others dark on light: 6 of white")


def test_further_pages_and_stretched_shapes_are_said(tmp_path):
    root = drawn(tmp_path, a=strokes(6), b=strokes(6))
    more = [Image.fromarray(image) for image in strokes(2)]
    more[0].save(root / "a" / "scan.tif", save_all=True, append_images=more[1:])
    Image.fromarray(strokes(1)[0]).resize((90, 30)).save(root / "b" / "wide.png")
    assert lines(root) == [
        "a/scan.tif: has more than one page; only the first is read",
        "pictures of different aspect ratios, from 28x28 to 90x30, are stretched to 28x28; crop them to one shape"]


# By the commands


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A test set that is a copy of the training set."""
    images = {name: strokes(6) for name in ("one", "two")}
    return drawn(drawn(tmp_path / "mine" / "train", **images).parent / "test", **images).parent


COPY = "every picture of the test set is in the training set too"


def test_train_score_and_the_report_say_it(copied, tmp_path, capfd):
    run = tmp_path / "run"
    assert main(["train", "--data", str(copied), "--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1",
                 "--batch-size", "8", "--out", str(run)]) == 0
    assert COPY in capfd.readouterr().err
    assert main(["score", str(run)]) == 0
    assert COPY in capfd.readouterr().err
    assert COPY in (run / "report.html").read_text(encoding="utf-8")


def test_data_shows_a_folder_with_the_same_lines(copied, capfd):
    assert main(["data", str(copied)]) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        f"{copied}: 2 classes, 12 training pictures, 12 test pictures", "  class    train     test",
        "  one          6        6", "  two          6        6",
        "Sizes 28x28 (24); images of 28x28 in grey; values 0 to 255; 0 transparent"]
    assert COPY in said.err
    assert main(["data", str(copied), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["folder"], found["classes"]) == (
        str(copied), {"one": {"train": 6, "test": 6}, "two": {"train": 6, "test": 6}})
    assert (found["sizes"], found["grey"], found["transparent"]) == ({"28x28": 24}, [0, 255], 0)
    assert [COPY in text for text in found["warnings"]] == [True]


def test_data_takes_a_path_where_it_takes_a_name(copied, monkeypatch, capfd):
    monkeypatch.chdir(copied.parent)
    assert main(["data", "mine"]) == 0
    assert main(["data", f".{Path('/')}nowhere"]) == 2
    assert "folder not found" in capfd.readouterr().err
    (copied / "test" / "one" / "0.png").write_bytes(b"damaged")
    assert main(["data", "mine"]) == 1
    assert "test/one/0.png: cannot be read as a picture" in capfd.readouterr().err
