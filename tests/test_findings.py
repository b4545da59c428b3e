"""What a report is about: everything of a run read once, and what is missing said instead of failing."""

import contextlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mnist_ops.classifier import load
from mnist_ops.config import Augment
from mnist_ops.data.dataset import ImageSet
from mnist_ops.data.source import read
from mnist_ops.errors import RunError
from mnist_ops.events import EpochDone
from mnist_ops.experiment import run
from mnist_ops.report import style
from mnist_ops.report.findings import gather
from mnist_ops.report.plots import draw_all, pictures
from mnist_ops.run.folder import write_json
from mnist_ops.run.range_test import read_range_test
from tests.datasets import folder_of
from tests.miniature import SHORT, few_digits, train

ALL = ["lr.png", "curves.png", "augmentation.png", "mistakes-test.png", "mistakes-train.png", "confusion.png",
       "classes.png", "calibration.png", "filters.png", "activations.png"]
SEARCHED = replace(SHORT, epochs=2, lr="auto", test_every=0, augment=Augment(degrees=10.0), validation=10,
                   tune=replace(SHORT.tune, steps=20, sweeps=1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A searched run that keeps images out of training, on a few of the digits."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    train(SEARCHED, path)
    return path


@pytest.fixture
def own(finished, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(finished, tmp_path / "own")


def names_of(findings) -> list[str]:
    """Which pictures there are; they are not drawn, which would take its time."""
    return [picture.name for picture, _ in pictures(findings)]


def test_a_run_is_evaluated_as_it_was_and_its_mistakes_are_those_of_the_classifier(finished):
    source = few_digits()
    found = gather(finished, source=source)
    assert found.summary is not None
    assert found.test is not None
    assert found.train is not None
    assert found.test.evaluation.accuracy == found.summary["test_accuracy"]
    classifier = load(finished)
    for scored, images, labels in ((found.test, source.test.images, source.test.labels),
                                   (found.train, source.train.images[:-10], source.train.labels[:-10])):
        shares = classifier.predict(images)
        wrong = np.flatnonzero(shares.argmax(1) != labels).tolist()
        assert sorted(one.index for one in scored.mistakes) == wrong
        for one in scored.mistakes:
            assert one.label == labels[one.index]
            assert one.probability == pytest.approx(shares[one.index].max(), rel=1e-5)
        assert scored.explanation.confusion.sum() == len(labels)
    assert found.missing == ("history.jsonl: the test set is evaluated only once, at the end, so the curves have a "
                             "point for it instead of a line",)
    assert (found.epochs_done, found.title, found.peak_rate) == (2, "Optical Recognition of Handwritten Digits",
                                                                found.summary["peak_lr"])


def test_a_run_gets_all_pictures_each_with_a_title_and_words(finished, tmp_path):
    found = gather(finished, source=few_digits())
    drawn = draw_all(found, tmp_path)
    assert [picture.name for picture in drawn] == ALL
    assert sum((tmp_path / name).stat().st_size for name in ALL) < 1_000_000
    assert found.test is not None
    told = {picture.name: picture.alt for picture in drawn}
    assert all(picture.title and picture.alt.endswith(".") for picture in drawn)
    assert f"{found.test.evaluation.correct} of 40 images on the diagonal" in told["confusion.png"]
    assert f"test accuracy {found.test.evaluation.accuracy:.2f} % after epoch" in told["curves.png"]
    assert f"calibration error {found.test.explanation.calibration.ece:.2f} points" in told["calibration.png"]
    assert "Conv2d-1: 8 of 3×3 on 1 channels" in told["filters.png"]
    assert told["activations.png"].count("the strongest unit sees rows") == 6


@pytest.mark.parametrize("by", ["least-confident", "most-confident"])
def test_galleries_show_so_many_in_the_order_asked_for(finished, by):
    found = gather(finished, source=few_digits())
    assert found.test is not None
    shares = sorted((one.probability for one in found.test.mistakes), reverse=by == "most-confident")
    assert len(shares) > 5  # two short epochs
    told = next(picture.alt for picture, _ in pictures(found, by=by, images=5) if picture.name == "mistakes-test.png")
    order = told.split(". ", 1)[1].split("; ")
    assert len(order) == 5
    certain = [text.rsplit(", ", 1)[1].rstrip(".") for text in order]
    assert certain == [style.probability_text(share) for share in shares[:5]]


def test_without_data_all_that_needs_none_is_still_there(own, tmp_path):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"data": "kmnist"}))
    found = gather(own, tmp_path, fetch=False)
    assert any(text.startswith("data: ") and "kmnist" in text for text in found.missing)
    assert (found.data, found.test, found.train) == (None, None, None)
    assert names_of(found) == ["lr.png", "curves.png", "filters.png"]


def test_a_place_that_a_strangers_config_names_is_not_read(own, tmp_path):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"data": str(tmp_path)}))
    found = gather(own)
    assert any("expected the name of a dataset" in text and "nothing was read" in text for text in found.missing)
    assert (found.data, found.test, found.train) == (None, None, None)


@pytest.mark.parametrize(("file", "said", "gone"), [
    ("lr.json", r"^lr\.json: is missing, so the rate search is unknown", {"lr.png"}),
    ("history.jsonl", r"^history\.jsonl: no epoch was finished", {"curves.png"}),
    ("summary.json", r"^summary\.json: the run is not finished; 2 of 2 epochs are done", set()),
    ("model.safetensors", r"^model\.safetensors: does not exist", {*ALL[3:]}),
])
def test_a_file_that_is_missing_is_named_and_the_rest_is_drawn(own, file, said, gone):
    (own / file).unlink()
    found = gather(own, source=few_digits())
    (text,) = (text for text in found.missing if text.startswith(file))
    assert re.search(said, text)
    assert names_of(found) == [name for name in ALL if name not in gone]


@pytest.mark.parametrize("file", ["lr.json", "history.jsonl", "summary.json", "model.safetensors"])
def test_a_damaged_file_is_named_too(own, file):
    (own / file).write_bytes(b"{damaged\n{more\n")
    found = gather(own, source=few_digits())
    (text,) = (text for text in found.missing if text.startswith(f"{file}: "))
    assert "damaged" in text


@pytest.mark.parametrize("changed", [
    {"rates": ["high", 0.2]}, {"losses": [None, 1.0]}, {"smoothed": [[], 1.0]}, {"lr": "0.1"}, {"rates": [0, 0.2]},
    {"stopped_at": {}}, {"lr": 10**400}, {"suggestions": {"steepest": {"rate": "a", "loss": 1}}}, {"used": []},
    {"suggestions": {"steepest": 3}}, {"rates": [0.1]}, {"another": 1},
])
def test_a_range_test_that_holds_no_numbers_is_damaged(changed, tmp_path):
    whole = {"rates": [0.1, 0.2], "losses": [2.0, 1.0], "smoothed": [2.0, 1.0], "used": "steepest", "lr": 0.1,
             "suggestions": {"steepest": {"rate": 0.1, "loss": 2.0}}, "stopped_at": None}
    write_json(tmp_path / "lr.json", whole)
    assert read_range_test(tmp_path / "lr.json").lr == 0.1
    write_json(tmp_path / "lr.json", whole | changed)
    with pytest.raises(RunError, match=r"lr\.json: damaged, not a range test"):
        read_range_test(tmp_path / "lr.json")


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"config\.json: does not exist; expected a run folder"):
        gather(tmp_path)


def test_a_run_that_was_interrupted_is_told_as_far_as_it_got(tmp_path):
    config = replace(SHORT, epochs=3)
    with contextlib.closing(run(config, few_digits(), tmp_path / "run")) as events:
        next(event for event in events if isinstance(event, EpochDone))
    found = gather(tmp_path / "run", source=few_digits())
    assert found.summary is None
    assert (found.epochs_done, found.reported_epoch, found.peak_rate) == (1, 1, 0.1)
    assert "summary.json: the run is not finished; 1 of 3 epochs are done" in found.missing
    assert "lr.json: the rate was given, so there was no search" in found.missing
    assert names_of(found) == ALL[1:]


def test_a_run_without_mistakes_has_no_gallery(finished):
    found = gather(finished, source=few_digits())
    assert found.test is not None
    right = replace(few_digits(), test=ImageSet(few_digits().test.images, found.test.evaluation.predicted.numpy()))
    perfect = gather(finished, source=right)
    assert perfect.test is not None
    assert (perfect.test.mistakes, perfect.test.evaluation.accuracy) == ((), 100)
    assert names_of(perfect) == [name for name in ALL if name != "mistakes-test.png"]


def test_the_pictures_of_a_folder_are_found_by_name_whatever_has_been_added_since(tmp_path):
    folder = folder_of(tmp_path / "shades", {"a": 12, "<b>b": 12, "=c, 🙂": 12})
    config = replace(SHORT, epochs=1, data=str(folder), validation=6, seed=3)
    train(config, tmp_path / "run", source=read(str(folder), seed=3))
    before = gather(tmp_path / "run")
    folder_of(tmp_path / "more", {"x": 30})
    for number, path in enumerate(sorted((tmp_path / "more" / "x").iterdir())):
        path.rename(folder / "a" / f"added {number}.png")
    after = gather(tmp_path / "run")
    assert before.train is not None
    assert before.test is not None
    assert after.train is not None
    assert after.test is not None
    assert len(before.train.split) == len(after.train.split) == 36 - 6 - 6
    assert (after.train.mistakes, after.test.mistakes) == (before.train.mistakes, before.test.mistakes)
    assert all(one.name and (folder / one.name).exists() for one in after.test.mistakes)
    assert after.classes == ("<b>b", "=c, 🙂", "a")
    assert "confusion.png" in names_of(after)
    (folder / before.train.split.names[0]).unlink()  # type: ignore[index]
    lost = gather(tmp_path / "run")
    assert any("1 pictures of the run no longer exist" in text for text in lost.missing)


def test_a_device_that_is_not_here_is_replaced_by_the_processor(own):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"device": "mps"}))
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("needs a machine without MPS: the run is said to be of one that is not here")
    found = gather(own, source=few_digits())
    assert any("the run's device, mps, is not available" in text for text in found.warnings)
    assert found.test is not None


def test_other_classes_than_the_network_s_are_said_or_refused(finished):
    renamed = replace(few_digits(), classes=tuple("abcdefghij"))
    found = gather(finished, source=renamed)
    assert any("have other names" in text for text in found.warnings)
    assert found.classes == few_digits().classes
    fewer = gather(finished, source=replace(few_digits(), classes=("0", "1")))
    assert any("2 classes, but the network tells 10 apart" in text for text in fewer.missing)
    assert fewer.test is None
