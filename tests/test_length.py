"""The length of a run: enough steps on few pictures, the recipe's own on many, what was asked for in any case."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mnist_ops.cli.settings import Selection, configure
from mnist_ops.cli.wording import fitted_text
from mnist_ops.config import RECIPES, Config, Hard, Usual
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.tensors import batch_count
from mnist_ops.events import Fitted, Started
from mnist_ops.experiment import run
from mnist_ops.mapping import from_mapping, to_mapping
from mnist_ops.optim.length import FEW_STEPS, LARGE, STEPS, fitted, too_short
from mnist_ops.run.folder import read_config
from mnist_ops.run.start import settings_of
from mnist_ops.settle import settle

LENGTH = ("epochs", "batch_size")


def dataset(images: int) -> ImageDataset:
    draws = np.random.default_rng(1)
    part = ImageSet(draws.integers(0, 256, (images, 28, 28), np.uint8), np.arange(images) % 3)
    return ImageDataset("three", ("a", "b", "c"), part, part, ())


def length(config: Config) -> tuple[int, int]:
    return config.epochs, config.batch_size


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("images", [60_000, 55_000, LARGE])
def test_a_recipe_on_many_images_is_as_long_as_it_says(name, images):
    assert length(fitted(RECIPES[name], images)) == length(RECIPES[name])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("images", [2, 3, 17, 96, 500, 1437, 4800, LARGE - 1])
def test_a_recipe_on_few_images_takes_enough_steps(name, images):
    config = fitted(RECIPES[name], images)
    passes = round(RECIPES[name].hard.passes(RECIPES[name].epochs))
    enough = min(STEPS, passes * batch_count(60_000, RECIPES[name].batch_size))
    assert enough <= config.epochs * batch_count(images, config.batch_size)
    assert config.epochs >= passes
    assert 16 <= config.batch_size <= RECIPES[name].batch_size
    expected = replace(RECIPES[name], augment=config.augment)
    assert replace(config, epochs=1, batch_size=1) == replace(expected, epochs=1, batch_size=1, hard=Hard())
    assert replace(config.augment, plain_epochs=0) == replace(RECIPES[name].augment, plain_epochs=0)
    assert config.hard == Hard()


def test_what_was_asked_for_stays_and_the_other_number_follows():
    assert fitted(replace(RECIPES["default"], epochs=2), 96).epochs == 2
    assert fitted(replace(RECIPES["default"], epochs=2), 96).batch_size == 16
    few = fitted(replace(RECIPES["default"], batch_size=64), 96)
    assert few.batch_size == 64
    assert few.epochs == -(-STEPS // 2)  # 64 and 32 images
    assert length(fitted(Config(epochs=11, batch_size=128), 96)) == (11, 128)


def test_a_number_is_asked_for_on_the_command_line_in_a_file_and_by_a_run(tmp_path):
    own = configure(None, Selection())
    assert all(isinstance(getattr(own, name), Usual) for name in LENGTH)
    line = configure(None, Selection(batch_size=128), epochs=11)
    (tmp_path / "my.toml").write_text("epochs = 11\nbatch_size = 128\n")
    file = configure(None, Selection(config=tmp_path / "my.toml"))
    assert length(fitted(from_mapping(Config(), to_mapping(own), "Python"), 96)) == length(fitted(own, 96))
    again = from_mapping(Config(), json.loads(json.dumps(to_mapping(own))), "config.json")
    for asked in (line, file, again):
        assert asked == own
        assert length(fitted(asked, 96)) == (11, 128)


def test_what_starts_from_a_run_on_many_images_fits_few(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"format": 2, **to_mapping(RECIPES["default"])}))
    assert length(fitted(settings_of(str(tmp_path)), 96)) == length(fitted(RECIPES["default"], 96))


def test_a_run_says_its_length_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_ops.optim.length.STEPS", 66)  # of 167 epochs
    config = replace(RECIPES["default"], model="separable-micro", lr=0.1, threads=1)
    events = list(run(config, dataset(96), tmp_path / "run"))
    assert isinstance(events[0], Started)
    [told] = [event for event in events if isinstance(event, Fitted)]
    assert fitted_text(told) == "96 pictures: batches of 16, 11 epochs, 66 steps"
    assert length(read_config(tmp_path / "run")) == (11, 16)
    repeated = settle(read_config(tmp_path / "run"), dataset(96))
    assert length(repeated) == (11, 16)
    asked = run(replace(config, epochs=1, batch_size=96), dataset(96), tmp_path / "asked")
    assert not any(isinstance(event, Fitted) for event in asked)


def test_too_few_steps_that_were_asked_for_are_warned_about():
    asked = Config(epochs=3, batch_size=96)
    assert too_short(asked, 96) == (
        "only 3 training steps in total (--epochs 3, 96 images, batch size 96), too few to learn much: leave out "
        "--epochs and --batch-size, or use more epochs or smaller batches",)
    assert too_short(replace(asked, epochs=FEW_STEPS), 96) == ()
    assert too_short(fitted(RECIPES["quick"], 2), 2) == ()
    assert too_short(replace(asked, start="default"), 96) == ()
