"""The folders that the defaults are measured on: the same each time, with the classes and pictures that they name."""

from dataclasses import replace

import numpy as np
import pytest

from mnist_ops.data.source import read
from mnist_ops.data.tensors import batch_count
from tools import folders


@pytest.mark.parametrize("folder", folders.FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_is_made_as_it_says_and_the_same_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "TESTED", 50)
    few = replace(folder, each=2)
    for name in ("one", "two"):
        folders.make(few, tmp_path / name)
    source, again = (read(str(tmp_path / name)) for name in ("one", "two"))
    assert np.array_equal(np.bincount(source.train.labels), [2] * folder.classes)
    assert len(source.test.labels) >= 50
    assert np.array_equal(source.train.images, again.train.images)
    assert len({image.tobytes() for image in source.train.images}) == 2 * folder.classes  # no two are equal


@pytest.mark.parametrize("images", [40, 1290, 10_000])
def test_twenty_settings_differ_and_have_the_steps_that_they_name(images):
    found = dict(folders.settings(images))
    assert len(found) == len(set(found.values())) == 20
    for name, config in found.items():
        steps = int(name.partition(" steps")[0].rpartition(", ")[2].replace(",", ""))
        each = batch_count(images, config.batch_size)
        assert steps <= config.epochs * each < steps + each
