"""Which pictures of a folder a run trains on, and which it is measured on, also when the folder has changed since."""

import json
import shutil

import pytest

from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, RunError
from mnist_ops.run.folder import read_split
from mnist_ops.run.trained import load_trained
from tests.datasets import folder_of

TRAIN = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8", "--no-report"]


@pytest.fixture
def shades(tmp_path):
    """Ten pictures in each of two classes."""
    return folder_of(tmp_path / "shades", {"dark": 10, "grey": 10}, first=40)


@pytest.fixture
def run(shades, tmp_path, capfd):
    path = tmp_path / "run"
    assert main(["train", "--data", str(shades), *TRAIN, "--out", str(path)]) == 0
    capfd.readouterr()
    return path


def scored(capfd, *words):
    assert main(["score", *map(str, words), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def recorded(run):
    names = read_split(run)
    assert names is not None
    return names


def test_the_split_is_recorded_and_is_the_one_that_was_read(run, shades):
    source = read(str(shades))
    split = json.loads((run / "split.json").read_text())
    assert (tuple(split["train"]), tuple(split["test"])) == (source.train.names, source.test.names)
    assert (len(split["train"]), len(split["test"])) == (16, 4)


def test_pictures_that_came_later_do_not_move_the_test_part(run, shades, capfd):
    before = scored(capfd, run)
    for number in range(10, 30):
        shutil.copy(shades / "dark" / "0.png", shades / "dark" / f"{number}.png")
    assert scored(capfd, run) == before
    assert read(str(shades)).test.names != tuple(recorded(run))  # a new draw would be another


def test_a_picture_of_the_test_part_that_is_gone_is_named(run, shades, capfd):
    gone = recorded(run)[0]
    (shades / gone).unlink()
    assert main(["score", str(run)]) == 1
    assert f"1 pictures of the run's test set no longer exist, e.g. {gone};" in capfd.readouterr().err


def test_of_another_folder_every_picture_is_scored(run, tmp_path, capfd):
    other = folder_of(tmp_path / "other", {"dark": 3, "grey": 4}, first=90)
    assert scored(capfd, run, "--data", other)["test_images"] == 7


def test_a_run_is_not_gone_on_with_on_other_pictures(run, shades, capfd):
    (run / "summary.json").unlink()
    shutil.copy(shades / "dark" / "0.png", shades / "dark" / "99.png")
    assert main(["train", "--data", str(shades), *TRAIN, "--out", str(run), "--resume"]) == 2
    assert "the run was started with other pictures, listed in split.json" in capfd.readouterr().err


def test_the_weights_name_the_folder_without_its_place_and_the_summary_in_full(run, shades):
    assert load_trained(run).dataset == "shades"
    assert str(shades.parent).encode() not in (run / "model.safetensors").read_bytes()
    assert json.loads((run / "summary.json").read_text())["dataset"] == str(shades)


def test_a_folder_called_like_a_dataset_does_not_pass_for_it(shades, tmp_path, monkeypatch, capfd):
    shades.rename(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", "./mnist", *TRAIN, "--out", "run"]) == 0
    assert "target" not in capfd.readouterr().out  # MNIST's is not claimed
    assert main(["check", "run"]) == 1


@pytest.mark.parametrize("content", ['{"format": 1}', '{"format": 1, "test": [3]}', "{"])
def test_a_damaged_record_is_named(content, tmp_path):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(RunError, match=r"split\.json.*damaged"):
        read_split(tmp_path)


def test_a_recorded_name_that_is_not_there_is_an_error(shades):
    with pytest.raises(DataError, match=r"dark/nowhere\.png; restore"):
        read(str(shades), test=["dark/nowhere.png"])


def test_pictures_with_names_of_training_pictures_are_warned_about(run, shades, tmp_path, capfd):
    moved = shades.rename(tmp_path / "moved")
    assert main(["score", str(run), "--data", str(moved)]) == 0
    warned = " ".join(capfd.readouterr().err.split())
    assert f"16 pictures of 20 have names of training pictures of {run}: if they are the same" in warned
