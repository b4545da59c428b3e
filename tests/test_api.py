"""The Python interface does what the commands do."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import mnist_ops
from mnist_ops.cli.main import main
from mnist_ops.config import recipe
from mnist_ops.data.source import read
from mnist_ops.errors import DataError, RunError, UsageError
from mnist_ops.events import Event, StepDone
from mnist_ops.run.folder import FORMAT
from tests.miniature import SHORT


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return mnist_ops.train(SHORT, data="digits", out=tmp_path_factory.mktemp("api") / "run")


def test_train_gives_the_summary_and_the_folder(summary):
    with open(f"{summary['run']}/summary.json") as file:
        assert {"run": summary["run"], **json.load(file)} == {"format": FORMAT, **summary}


def test_predictions_are_probabilities_that_reach_the_figure(summary):
    test = read("digits").test
    classifier = mnist_ops.load(summary["run"])
    probabilities = classifier.predict(test.images)
    assert probabilities.shape == (360, 10)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert classifier.classes == tuple("0123456789")
    assert 100 * float((probabilities.argmax(1) == test.labels).mean()) == pytest.approx(summary["test_accuracy"])
    single = classifier.predict(test.images[7])
    assert single.shape == (1, 10)
    assert np.allclose(single[0], probabilities[7], atol=1e-6)
    assert classifier.predict(test.images[:0]).shape == (0, 10)


@pytest.mark.parametrize("images", [np.zeros((1, 28, 28)), np.zeros((1, 1, 28, 28), np.uint8), np.zeros(784, np.uint8)])
def test_images_of_another_shape_or_type_are_refused(summary, images):
    with pytest.raises(UsageError, match=r"images: found .* expected uint8 of shape \(N, 28, 28\)"):
        mnist_ops.load(summary["run"]).predict(images)


def test_what_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist; expected the weights of a run"):
        mnist_ops.load(tmp_path)


def test_a_warning_of_the_run_is_a_warning_of_python(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        from mnist_ops.errors import DataError

        raise DataError("no mirror can be reached")

    monkeypatch.setattr("mnist_ops.data.source.fetch_files", refuse)
    with pytest.warns(UserWarning, match="MNIST WAS NOT FOUND"):
        mnist_ops.train(SHORT, data="auto", out=tmp_path / "run")


def arrays(count, shape=(20, 16), first=0):
    """Images whose grey value is their number, and labels that alternate."""
    return (np.arange(first, first + count, dtype=np.uint8).reshape(-1, *(1 for _ in shape)) * np.ones(shape, np.uint8),
            np.arange(count) % 2)


@pytest.mark.parametrize(("data", "sizes"), [
    (arrays(40), (32, 8)), ((*arrays(40), *arrays(10, first=100)), (40, 10)), (list(arrays(40)), (32, 8)),
    ([arrays(40)[0].tolist(), ["even", "odd"] * 20], (32, 8)), (tuple(map(torch.tensor, arrays(40))), (32, 8)),
    ((arrays(40)[0] / 255, np.array(["even", "odd"] * 20, object)), (32, 8)),
], ids=["two", "four", "a list", "lists", "tensors", "fractions and objects"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_arrays_are_trained_on(data, sizes, tmp_path, capfd):
    run = mnist_ops.train(SHORT, data=data, out=tmp_path / "run")["run"]
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert (len(split["train"]), len(split["test"])) == sizes
    assert set(mnist_ops.load(run).classes) in ({"0", "1"}, {"even", "odd"})
    assert main(["score", run]) == 1
    said = " ".join(capfd.readouterr().err.split())
    assert 'trained on arrays from Python, of which a run keeps no copy. Save the test images and labels with' in said
    assert "and give that file with --data" in said


@pytest.mark.parametrize(("data", "error", "says"), [
    (arrays(4)[:1], UsageError, r"data: 1 array, expected \(images, labels\) or \(images, labels, test_images, test_"),
    (arrays(4)[::-1], DataError, r"data\[0\]: shape \(4,\); expected \(N, height, width\)"),
    ((*arrays(4), *arrays(4)[::-1]), DataError, r"data\[2\]: shape \(4,\)"),
    ((arrays(4)[0], np.array([0, 1, 0, -1])), DataError, r"data\[1\]: the label of image 3 is -1"),
    (([[1, 2], [3]], [0, 1]), DataError, r"data\[0\]: is not an array"),
    ((arrays(4)[0], [0, 1, None, {}]), DataError, r"data\[1\]: holds 'object'"),
])
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_written(data, error, says, tmp_path):
    with pytest.raises(error, match=says):
        mnist_ops.train(SHORT, data=data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_names_are_there_and_cost_nothing_until_they_are_used():
    assert set(mnist_ops.__all__) <= set(dir(mnist_ops))
    assert "default" in mnist_ops.RECIPES
    assert "early-pool" in mnist_ops.MODELS
    assert mnist_ops.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'tarin'; it offers MODELS"):
        mnist_ops.tarin  # noqa: B018 - the look is the test
    words = "import sys, mnist_ops; assert not {'torch', 'numpy', 'mnist_ops.config'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True)


@pytest.mark.filterwarnings("ignore:only 23 training steps")
def test_seeds_are_trained_and_compared_from_python(tmp_path):
    short = replace(recipe("micro"), data="digits", epochs=1, lr=0.1, device="cpu")
    found = mnist_ops.sweep(short, 2, out=tmp_path / "one", jobs=1)
    assert [one["seed"] for one in found["runs"]] == [0, 1]
    assert found["test"]["n"] == 2
    written = json.loads((tmp_path / "one" / "results.json").read_text())
    assert found["runs"] == written["runs"]
    mnist_ops.train(replace(short, lr=0.2), out=tmp_path / "two")
    compared = mnist_ops.compare([tmp_path / "one", tmp_path / "two"])
    assert [one["n"] for one in compared["recipes"]] == [2, 1]
    assert compared["pairs"][0]["text"]
    assert compared["warnings"] == []


@pytest.mark.filterwarnings("ignore:only")
def test_seeds_are_trained_on_arrays_in_this_process(tmp_path):
    found = mnist_ops.sweep(replace(recipe("micro"), epochs=1, lr=0.1, device="cpu", prepare="resize"), 2,
                            data=(np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8), [0, 1] * 20),
                            out=tmp_path / "sweep")
    assert [one["seed"] for one in found["runs"]] == [0, 1]
    assert {json.loads((tmp_path / "sweep" / one / "config.json").read_text())["data"] for one in ("s0", "s1")} == {
        "arrays"}


@pytest.mark.filterwarnings("ignore:only 23 training steps")
def test_each_event_of_a_run_is_given_to_the_callers_function(tmp_path):
    events: list[Event] = []
    mnist_ops.train(replace(recipe("micro"), data="digits", epochs=1, lr=0.1), out=tmp_path / "run",
                    on_event=events.append)
    assert [type(event).__name__ for event in events if not isinstance(event, StepDone)] == [
        "Started", "Warned", "EpochDone", "Finished"]
