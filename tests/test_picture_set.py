"""The pictures of a large folder are read once, and then come from the cache, which never stands in the way."""

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from platformdirs import user_cache_path

from mnist_ops.cli.download import pictures_read
from mnist_ops.data import picture_set
from mnist_ops.data.picture_set import read_pictures
from mnist_ops.data.source import read
from mnist_ops.pictures.prepare import prepared_file
from tests.datasets import folder_of, same


@pytest.fixture
def shades(tmp_path, monkeypatch):
    """Ten pictures in each of two classes, one transparent, which count as many."""
    monkeypatch.setattr(picture_set, "FEW", 20)
    root = folder_of(tmp_path / "mine", {"a": 10, "b": 10}, first=40)
    Image.new("RGBA", (40, 20), (9, 9, 9, 99)).save(root / "a" / "3.png")
    return root


def caches():
    return sorted((user_cache_path("mnist-ops", appauthor=False) / "pictures").glob("*"))


@pytest.fixture
def opened(monkeypatch):
    """The names of the pictures that are opened."""
    names: list[str] = []

    def counted(path, how, shape):
        names.append(path.name)
        return prepared_file(path, how, shape)

    monkeypatch.setattr(picture_set, "prepared_file", counted)
    return names


def alike(one, other):
    assert same(one.train, other.train)
    assert same(one.test, other.test)
    assert (one.warnings, one.originals) == (other.warnings, other.originals)


def test_a_second_reading_opens_no_picture_and_gives_the_same(shades, opened):
    first = read(str(shades))
    assert len(opened) == 20
    assert first.originals is not None
    assert first.originals.transparent == 1
    assert first.originals.sizes == {(28, 28): 19, (20, 40): 1}
    opened.clear()
    alike(read(str(shades)), first)
    assert opened == []
    read(str(shades), seed=3)  # another split of the same pictures
    assert opened == []


def test_a_folder_of_few_pictures_is_not_cached(shades, opened):
    (shades / "a" / "9.png").unlink()
    for _ in range(2):
        read(str(shades))
    assert len(opened) == 38
    assert caches() == []


@pytest.mark.parametrize("change", [
    lambda root: Image.new("L", (28, 28), 200).save(root / "a" / "5.png"),
    lambda root: (root / "a" / "5.png").rename(root / "a" / "55.png"),
    lambda root: os.utime(root / "a" / "5.png", ns=(1, 1)),
    lambda root: shutil.copy(root / "a" / "5.png", root / "b" / "55.png"),
], ids=["content", "name", "time", "number"])
def test_a_changed_folder_is_read_again(change, shades, opened):
    read(str(shades))
    opened.clear()
    change(shades)
    found = read(str(shades))
    assert len(opened) == len(found.train.labels) + len(found.test.labels)
    shutil.rmtree(caches()[0].parent)
    alike(found, read(str(shades)))


def changed(path, **arrays):
    """The cache with other arrays, and right checksums."""
    with np.load(path) as there:
        whole = {**there, **{name: np.frombuffer(one, np.uint8) if isinstance(one, bytes) else one
                             for name, one in arrays.items()}}
    np.savez(path, **whole)


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:5000]),
    lambda path: path.write_bytes(path.read_bytes().replace(b"\x28" * 784, b"\x29" * 784)),
    lambda path: np.savez(path, images=np.zeros((3, 28, 28))), lambda path: np.savez(path, images=np.array([{}])),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: changed(path, notes=b'{"warnings": {}, "damaged": {"99": "why"}}'),
    lambda path: changed(path, notes=b'{"warnings": {"0": 8}, "damaged": {}}'),
    lambda path: changed(path, transparent=np.zeros(())), lambda path: changed(path, shapes=np.zeros((20, 2))),
], ids=["empty", "truncated", "another pixel", "another archive", "objects", "a folder", "a picture too many",
        "another note", "a shape", "fractions"])
def test_a_damaged_cache_is_not_used_and_no_error(spoil, shades, opened):
    first = read(str(shades))
    (path,) = caches()
    spoil(path)
    opened.clear()
    alike(read(str(shades)), first)
    assert len(opened) == 20


def test_a_cache_that_cannot_be_written_is_not_an_error(shades, tmp_path, monkeypatch, opened):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    alike(read(str(shades)), read(str(shades)))
    assert len(opened) == 40


def test_only_the_latest_folders_are_kept(shades, monkeypatch):
    monkeypatch.setattr(picture_set, "MOST_CACHED", 2)
    for age in (1, 2, 3):
        before = set(caches())
        os.utime(shades / "a" / "0.png", ns=(age, age))
        read(str(shades))
        for path in set(caches()) - before:
            os.utime(path, ns=(age, age))
    assert len(caches()) == 2
    assert {path.stat().st_mtime_ns for path in caches()} == {2, 3}


def test_a_damaged_picture_is_opened_again_each_time_and_the_others_are_not(shades, opened):
    (shades / "b" / "7.png").write_bytes(b"no picture")
    first = read(str(shades), skip_damaged=True)
    opened.clear()
    alike(read(str(shades), skip_damaged=True), first)
    assert opened == ["7.png"]
    assert len(first.train.labels) + len(first.test.labels) == 19


def test_the_method_and_the_shape_are_part_of_what_is_cached(shades, opened):
    paths = sorted(shades.glob("*/*.png"))
    read_pictures(paths, shades, "resize", (1, 28, 28))
    others = [("mnist", (1, 28, 28)), ("resize", (1, 32, 32)), ("resize", (3, 28, 28))]
    for number, (how, shape) in enumerate(others, 2):
        opened.clear()
        assert read_pictures(paths, shades, how, shape).images.shape[-2:] == shape[1:]
        assert len(opened) == 20
        assert len(caches()) == number


def test_progress_is_told_in_steps(shades, monkeypatch):
    monkeypatch.setattr(picture_set, "STEP", 8)
    told: list[tuple[int, int]] = []
    read(str(shades), reading=lambda done, total: told.append((done, total)))
    assert told == [(8, 20), (16, 20)]


def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    with pictures_read() as reading:
        assert reading is None
    monkeypatch.setattr("mnist_ops.cli.download.draws", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pictures_read() as reading:
        assert reading is not None
        reading(100, 300)
    shown = capsys.readouterr()
    assert "Reading pictures" in shown.err
    assert "100/300" in shown.err
    assert shown.out == ""
