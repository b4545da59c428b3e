"""A folder of coloured pictures of 64x64, from training to the exports; files of older versions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnist_ops.classifier import load
from mnist_ops.cli.main import main
from mnist_ops.config import RECIPES, Augment, Config
from mnist_ops.data.source import read
from mnist_ops.errors import ConfigError, RunError, UsageError
from mnist_ops.run.folder import read_config, read_json
from mnist_ops.run.trained import load_trained, save_trained
from mnist_ops.settle import settle
from tests.miniature import SHORT, few_digits, same_run, stopped, train

COLOURS = {"red": (200, 40, 30), "green": (40, 190, 60), "blue": (30, 60, 210)}
SETTINGS = replace(SHORT, model="separable-micro", epochs=6, batch_size=8, lr=0.1)


def painted(rgb: tuple[int, int, int], seed: int, side: int = 64) -> NDArray[np.uint8]:
    """A noisy sheet of a colour with a grey spot: the colours differ, the shapes do not."""
    generator = np.random.default_rng(seed)
    sheet = generator.normal(rgb, 15, (side, side, 3))
    x, y = generator.integers(8, side - 24, 2)
    sheet[y:y + 16, x:x + 16] = 128
    return np.clip(sheet, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sheets")
    for number, (name, rgb) in enumerate(COLOURS.items()):
        (place / name).mkdir()
        for index in range(20):
            Image.fromarray(painted(rgb, 100 * number + index)).save(place / name / f"{index}.png")
    return place


def test_size_and_colour_come_from_the_pictures_and_are_in_config_weights_and_summary(folder, tmp_path):
    source = read(str(folder))
    assert source.input_shape == (3, 64, 64)
    summary = train(SETTINGS, tmp_path, source=source).summary
    assert summary["test_accuracy"] == 100
    config = read_json(tmp_path / "config.json")
    assert (config["size"], config["colour"]) == (64, True)
    found = load(tmp_path)
    assert found.input_shape == (3, 64, 64)
    assert len(found.mean) == len(found.sd) == 3
    new = painted(COLOURS["green"], 7, side=90)
    reading = found.read(new)
    assert reading.label == "green"
    assert reading.seen.shape == (3, 64, 64)
    assert found.predict(reading.seen)[0].max() == pytest.approx(reading.probability)
    last = np.moveaxis(source.test.images, 1, -1)  # as `train` takes them
    assert np.array_equal(found.predict(last), found.predict(source.test.images))
    assert np.array_equal(found.predict(last[0]), found.predict(last[:1]))
    with pytest.raises(UsageError, match=r"found uint8 of shape \(9, 9\), expected uint8 of shape \(H, W, 3\)"):
        found.read(new[:9, :9, 0])


@pytest.mark.parametrize(("size", "colour", "shape"), [
    (32, "auto", (3, 32, 32)), ("auto", False, (1, 64, 64)), (96, True, (3, 96, 96))])
def test_size_and_colour_may_be_chosen(folder, size, colour, shape):
    assert read(str(folder), size=size, colour=colour).input_shape == shape


@pytest.mark.parametrize(("sides", "expected"), [((20, 28), 28), ((30, 30), 32), ((50, 90), 64), ((700, 900), 96)])
def test_the_size_fits_the_middle_picture(tmp_path, sides, expected):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index, side in enumerate((sides[0], sides[0], sides[1])):
            Image.fromarray(np.full((side, 10), 30 * index, np.uint8)).save(tmp_path / name / f"{index}.png")
    assert read(str(tmp_path)).input_shape == (1, expected, expected)


def test_grey_pictures_in_colour_files_are_grey(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(3):
            sheet = np.random.default_rng(index).integers(0, 255, (40, 40, 1), dtype=np.uint8)
            Image.fromarray(np.repeat(sheet, 3, 2)).save(tmp_path / name / f"{index}.jpg", quality=60)
    assert read(str(tmp_path)).input_shape == (1, 48, 48)


def test_a_stopped_run_in_colour_goes_on_to_the_same_bits(folder, tmp_path):
    source = read(str(folder))
    augmented = replace(SETTINGS, augment=replace(SETTINGS.augment, degrees=10, saturation=0.3, hue=0.1, flip=0.5))
    train(augmented, tmp_path / "whole", source=source)
    stopped(augmented, tmp_path / "parts", 2, 1, source)
    train(augmented, tmp_path / "parts", source=source, resume=True)
    same_run(tmp_path / "whole", tmp_path / "parts")


def test_both_engines_train_in_colour_alike(folder, tmp_path):
    source = read(str(folder))
    once = replace(SETTINGS, epochs=1, lr=0.01, augment=Augment(contrast=0.3, brightness=0.2, shift=3, degrees=9))
    losses = [train(replace(once, engine=engine), tmp_path / engine, source=source).history[0]["train_loss"]
              for engine in ("pytorch", "compiled")]
    assert read_json(tmp_path / "compiled" / "config.json")["engine"] == "compiled"
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("kind", ["onnx", "c", "html"])
def test_exports_of_a_network_in_colour_are_compared_on_its_own_images(folder, tmp_path, capsys, kind):
    train(SETTINGS, tmp_path / "run", source=read(str(folder)))
    capsys.readouterr()
    assert main(["export", str(tmp_path / "run"), "--to", kind, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == told["same"] == 12


def test_of_named_data_only_its_own_shape_is_taken():
    with pytest.raises(UsageError, match=r"--data digits: its images are grey, 28x28; found 64x64\. Leave size"):
        read("digits", size=64)
    with pytest.raises(UsageError, match=r"--data digits: its images are grey, 28x28; found colour\."):
        read("digits", colour=True)


def test_characters_are_28x28_and_grey(folder):
    with pytest.raises(ConfigError, match=r'size 64 and prepare = "mnist": that makes grey 28x28\. Leave size out'):
        read(str(folder), how="mnist", size=64)


def test_a_network_that_ends_in_a_larger_map_is_refused_before_it_trains(folder, tmp_path):
    source = read(str(folder))
    with pytest.raises(ConfigError, match=r"model seed makes 3x5x5 of images of 3x64x64, expected one pixel for each"):
        train(replace(SETTINGS, model="seed"), tmp_path / "run", source=source)
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_older_version_is_grey_and_28x28_and_goes_on(tmp_path):
    stopped(SHORT, tmp_path, 1)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["size"], content["colour"]
    path.write_text(json.dumps(content))
    assert read_config(tmp_path).input_shape == (1, 28, 28)
    assert train(SHORT, tmp_path, resume=True).summary["test_images"] > 0


@pytest.mark.parametrize(("changed", "says"), [
    ({"input_shape": (3, 28, 28)}, "1 means and 1 SDs for 3 channels"),
    ({"input_shape": (2, 28, 28)}, "input_shape"), ({"input_shape": (1, 28, 29)}, "input_shape"),
    ({"input_shape": (1, 4096, 4096)}, "at most 128"), ({"mean": (0.1, 0.2)}, "2 means and 1 SDs for 1 channels")])
def test_weights_of_an_impossible_shape_are_refused(tmp_path, changed, says):
    train(SHORT, tmp_path, source=few_digits())
    save_trained(tmp_path, replace(load_trained(tmp_path), **changed))
    with pytest.raises(RunError, match=says):
        load_trained(tmp_path)


def test_what_a_warp_opens_is_black_where_the_pictures_edges_are_and_else_the_nearest_pixel():
    dark = few_digits()
    light = replace(dark, train=replace(dark.train, images=255 - dark.train.images))
    found = [settle(RECIPES["default"], source).augment.fill for source in (dark, light)]
    assert found == ["black", "edge"]
    assert settle(RECIPES["seed"], light).augment.fill == "mean"  # the reference's stays


def test_a_settled_config_has_the_shape_of_its_data(folder):
    assert Config().input_shape == (1, 28, 28)
    assert settle(SETTINGS, read(str(folder))).input_shape == (3, 64, 64)
