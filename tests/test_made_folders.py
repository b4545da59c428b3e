"""The folders that the defaults are measured on: the same each time, with the classes and pictures that they name."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.data.tensors import batch_count
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.pictures.prepare import prepared_file
from tests.test_readme import blocks, shell_lines
from tools import folders, walk
from tools.readme import PICTURES


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


def some_signs(place: Path, each: int, random: np.random.Generator) -> list[Path]:
    """So many small coloured pictures of each of three signs, in a folder for each."""
    made = []
    for kind, name in enumerate(("stop", "give way", "no entry")):
        (place / name).mkdir(parents=True)
        for number in range(each):
            made.append(place / name / f"{number}.png")
            folders.sign(3 * kind, random).resize((32, 32), Image.Resampling.BILINEAR).save(made[-1])
    return made


@pytest.mark.timeout(300)
def test_the_example_of_the_readme_ends_in_a_program_that_reads_a_new_picture_of_each_class(
        tmp_path, monkeypatch, pytestconfig):
    compiler = c_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytestconfig.cache.mkdir("engine")))  # what was compiled is kept
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    some_signs(Path("my-signs"), 16, random)
    Path("main.c").write_text(blocks("README.md", "c")[0], encoding="ascii")
    for arguments in shell_lines("README.md", "mnist-ops"):
        if any("my-signs" in word for word in arguments):
            assert main([*arguments, *["--no-report"] * (arguments[0] == "train")]) == 0
    [build] = shell_lines("README.md", "cc")
    subprocess.run([*compiler, *build], check=True)
    for picture in some_signs(Path("new"), 1, random):
        pixels = np.moveaxis(prepared_file(picture, "resize", (3, 32, 32)).seen, 0, -1).tobytes()
        found = subprocess.run(["./read-sign"], input=pixels, capture_output=True, check=True).stdout
        assert found.decode() == f"{picture.parent.name}\n"
    assert subprocess.run(["./read-sign"], input=b"too short", check=False).returncode == 1


def test_the_folder_of_the_walk_is_the_same_again_and_its_pictures_are_small(tmp_path):
    once, again = ([path.read_bytes() for path in walk.make(tmp_path / name, 2, np.random.default_rng(0))]
                   for name in ("once", "again"))
    assert once == again
    assert len({Image.open(io.BytesIO(content)).size for content in once}) > 5
    pictures = [*PICTURES.glob("own-*.png"), PICTURES / "augmentation-fill.png"]
    assert len(pictures) == 5
    assert sum(path.stat().st_size for path in pictures) <= 300_000
