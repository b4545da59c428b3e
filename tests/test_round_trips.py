"""What is written and read again is equal, and what is read, written and read again: every file that a run or a user
may keep. tools/readers.py has what may be in such files besides."""

import csv
import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mnist_ops.arch.layers import from_records, to_records
from mnist_ops.arch.network_file import read_network
from mnist_ops.cli.settings import Selection, configure
from mnist_ops.config import RECIPES, Config
from mnist_ops.data.idx import array_of, read_bytes, unpack_idx
from mnist_ops.data.idx_folder import find_idx
from mnist_ops.data.idx_folder import read_idx as read_idx_folder
from mnist_ops.data.npz import read_npz
from mnist_ops.data.pixel_table import read_csv
from mnist_ops.errors import ConfigError
from mnist_ops.mapping import from_mapping, to_mapping
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mnist_ops.run.folder import read_config, read_history, read_split, settle_split, write_history, write_json
from mnist_ops.run.range_test import read_range_test
from mnist_ops.run.trained import load_trained, save_trained
from tests.small_networks import architectures, trained
from tools.inputs import as_toml
from tools.text_inputs import inline

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
IMAGES = st.tuples(st.integers(1, 6), st.integers(2, 6)).flatmap(  # squares: a table says no height and width
    lambda sizes: arrays.arrays(np.uint8, (sizes[0], sizes[1], sizes[1]), elements=st.integers(0, 255)))
FINITE = st.floats(0, 1e300)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(("train_loss", "train_accuracy", "last_lr", "seconds"), FINITE),
                                      optional={"test_accuracy": FINITE}), max_size=5).map(
    lambda rows: [{"epoch": number, **row} for number, row in enumerate(rows, 1)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder for all examples, whose files are written over and over."""
    return tmp_path_factory.mktemp("trips")


def settings_drawn() -> st.SearchStrategy[Config]:
    """Recipes with other values that each field takes."""
    changes = st.fixed_dictionaries({}, optional={
        "epochs": st.integers(1, 1000), "batch_size": st.integers(1, 4096), "lr": st.floats(1e-6, 10) | st.just("auto"),
        "seed": st.integers(0, 2**40), "data": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "augment": st.fixed_dictionaries({}, optional={"shift": st.floats(0, 7), "degrees": st.floats(0, 90)}),
        "layers": architectures().map(to_records)})

    def changed(name: str, some: dict[str, Any]) -> Config:
        try:
            return from_mapping(RECIPES[name], some, "here")
        except ConfigError:
            return RECIPES[name]

    return st.builds(changed, st.sampled_from(sorted(RECIPES)), changes)


# ---------------------------------------------------------------- files of a run


@few
@given(config=settings_drawn())
def test_a_config(config, place):
    write_json(place / "config.json", to_mapping(config))
    assert read_config(place) == config
    assert from_mapping(Config(), to_mapping(read_config(place)), "again") == config


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("ending", ["toml", "json"])
def test_the_settings_of_a_recipe_as_a_file(recipe, ending, tmp_path):
    table = to_mapping(replace(RECIPES[recipe], recipe=recipe))
    text = as_toml(table) if ending == "toml" else json.dumps(table).encode()
    (tmp_path / f"settings.{ending}").write_bytes(text)
    assert to_mapping(configure(None, Selection(config=tmp_path / f"settings.{ending}"))) == table


@few
@given(layers=architectures())
def test_the_layers_of_a_network_file(layers, place):
    path = place / "network.toml"
    path.write_text(f"layers = {inline(to_records(layers))}\n")
    assert read_network(path) == layers
    path.write_text(f"layers = {inline(to_records(read_network(path)))}\n")
    assert read_network(path) == layers == from_records(to_records(layers))


@few
@given(layers=architectures(), names=st.sets(st.text(max_size=20), min_size=3, max_size=3))
def test_weights(layers, names, place):
    one = replace(trained(layers), classes=tuple(names))
    save_trained(place, one)
    first = (place / "model.safetensors").read_bytes()
    read = load_trained(place)
    assert (read.layers, read.classes, read.mean, read.sd) == (one.layers, one.classes, one.mean, one.sd)
    same(read.network.state_dict(), one.network.state_dict())
    save_trained(place, read)
    assert (place / "model.safetensors").read_bytes() == first


@few
@given(layers=architectures(), rows=ROWS, rate=FINITE, seconds=FINITE,
       made=st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=3))
def test_a_checkpoint(layers, rows, rate, seconds, made, place):
    network = trained(layers).network.train()
    optimizer = make_optimizer(network, Config().optimizer, 0.1)
    network(torch.zeros(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    one = Checkpoint(rate, network.state_dict(), optimizer.state_dict(), rows, seconds, made)
    save_checkpoint(place / "checkpoint.pt", one)
    read = load_checkpoint(place / "checkpoint.pt")
    assert read is not None
    same(vars(read), vars(one))


def same(found: Any, wanted: Any) -> None:
    """Nested values are equal, tensors bit by bit."""
    if isinstance(wanted, torch.Tensor):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            same(found[name], value)
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for pair in zip(found, wanted, strict=True):
            same(*pair)
    else:
        assert found == wanted


@few
@given(rows=ROWS,
       names=st.lists(st.text(st.characters(exclude_characters="/\0.", exclude_categories=["Cs"]), min_size=1)))
def test_the_history_and_the_list_of_pictures(rows, names, place):
    write_history(place, rows)
    assert read_history(place) == rows
    (place / "split.json").unlink(missing_ok=True)
    settle_split(place, names, names[::-1])
    assert (read_split(place, "train"), read_split(place)) == (names, names[::-1])


@few
@given(curve=st.lists(st.tuples(st.floats(1e-9, 1e3), FINITE, FINITE), min_size=2, max_size=9), stop=st.none() | FINITE)
def test_a_range_test(curve, stop, place):
    rates, losses, smoothed = zip(*curve, strict=True)
    content = {"rates": rates, "losses": losses, "smoothed": smoothed, "used": "valley", "lr": 0.1,
               "suggestions": {"valley": {"rate": 0.1, "loss": 2.0}}, "stopped_at": stop or None}
    write_json(place / "lr.json", content)
    read = read_range_test(place / "lr.json")
    assert (read.rates, read.losses, read.smoothed, read.stopped_at) == (rates, losses, smoothed, stop or None)


# ---------------------------------------------------------------- images and labels


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@few
@given(images=IMAGES, seed=st.integers(0, 99))
def test_images_and_labels(images, seed, place):
    """Of every kind of file: what was in the arrays comes back, to the grey value."""
    labels = np.random.default_rng(seed).integers(0, 3, len(images)).astype(np.uint8)
    images = np.concatenate([images, np.full_like(images[:1], 255)])  # 255 is the brightest, so that 1 is not
    labels = np.append(labels, 0).astype(np.uint8)
    prefix = place / "some-train"
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        path = prefix.with_name(f"{prefix.name}-{kind}-ubyte")
        path.write_bytes(idx(array))
        assert np.array_equal(array_of(unpack_idx(path, read_bytes(path), array.ndim), array.ndim), array)
    files = find_idx(place)
    assert files is not None
    np.savez(place / "some.npz", images=images, labels=labels)
    with (place / "some.csv").open("w", newline="") as file:
        csv.writer(file).writerows([label, *image.ravel()] for label, image in zip(labels, images, strict=True))
    for parts in (read_idx_folder(files), read_npz(place / "some.npz"), read_csv(place / "some.csv")):
        assert np.array_equal(parts.train.images, images)
        assert np.array_equal(parts.train.labels, labels)
