"""Suspect labels: confident learning against plain loops, folds that nobody has seen, and the command."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_ops import experiment
from mnist_ops.cli.main import main
from mnist_ops.data.dataset import ImageSet
from mnist_ops.errors import RunError, TrainingError, UsageError
from mnist_ops.suspects import folds as stage
from mnist_ops.suspects.confident import class_thresholds, confident_classes, confident_joint, find_doubts
from mnist_ops.suspects.find import Suspects, find, first_images, lone_classes, usual_epochs
from mnist_ops.suspects.folds import FoldDone, FoldMoved, RateFound, assign_folds, check, predict_folds
from tests.miniature import SHORT, children_of, few_digits, is_running, of_kind
from tools import suspects as tool

QUICK = 'device = "cpu"\nthreads = 1\nprecision = "float32"\nbatch_size = 32\nlr = 0.1\n'
# Four images labelled 0 and two labelled 1.
GIVEN = np.array([0, 0, 0, 0, 1, 1])
SAID = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.5, 0.5], [0.3, 0.7], [0.7, 0.3]])


def test_the_threshold_of_a_class_is_its_mean_self_confidence():
    assert class_thresholds(GIVEN, SAID) == pytest.approx([(0.9 + 0.8 + 0.2 + 0.5) / 4, (0.7 + 0.3) / 2])


def test_the_confident_joint_of_worked_values():
    confident = confident_classes(SAID, class_thresholds(GIVEN, SAID))  # thresholds 0.6 and 0.5
    assert confident.tolist() == [0, 0, 1, 1, 1, 0]
    assert confident_joint(GIVEN, confident, 2).tolist() == [[2, 2], [1, 1]]


def test_suspects_are_off_the_diagonal_and_ordered_by_their_margin():
    found = find_doubts(GIVEN, SAID)
    assert [(doubt.index, doubt.given, doubt.suggested, doubt.likely) for doubt in found] == [
        (2, 0, 1, True), (5, 1, 0, True)]  # image 3 says no more for 1 than for 0
    assert [doubt.score for doubt in found] == pytest.approx([0.8 - 0.2, 0.7 - 0.3])
    assert [doubt.self_confidence for doubt in found] == [0.2, 0.3]


@pytest.mark.parametrize("seed", range(20))
def test_confident_learning_equals_plain_loops(seed):
    random = np.random.default_rng(seed)
    classes, count = int(random.integers(2, 6)), int(random.integers(5, 60))
    said = random.dirichlet(np.full(classes, 0.5), count)
    given = random.integers(0, classes, count)
    thresholds = {}
    for label in range(classes):
        own = [said[row, label] for row in range(count) if given[row] == label]
        thresholds[label] = sum(own) / len(own) if len(own) > 1 else 2.0
    joint = [[0] * classes for _ in range(classes)]
    expected = []
    for row in range(count):
        shares = said[row].tolist()
        reached = [label for label in range(classes) if shares[label] >= thresholds[label] - 1e-12]
        best = max(reached, key=shares.__getitem__, default=None)
        if best is not None:
            joint[given[row]][best] += 1
        likely = best is not None and best != given[row] and shares[best] > shares[given[row]]
        other = best if likely and best is not None else shares.index(max(shares))
        if other != given[row] and thresholds[int(given[row])] < 2:
            expected.append((not likely, shares[given[row]] - shares[other], row, other))
    found = find_doubts(given, said)
    assert [(doubt.index, doubt.suggested, not doubt.likely) for doubt in found] == [
        (row, other, unsure) for unsure, _, row, other in sorted(expected)]
    confident = confident_classes(said, class_thresholds(given, said))
    assert confident_joint(given, confident, classes).tolist() == joint


def test_of_several_confident_classes_the_most_probable_counts():
    assert confident_classes(np.array([[0.2, 0.45, 0.35]]), np.array([0.1, 0.4, 0.3])).tolist() == [1]
    assert confident_classes(np.array([[0.2, 0.45, 0.35]]), np.array([0.3, 0.5, 0.4])).tolist() == [-1]


def test_an_image_whose_own_class_is_the_more_probable_is_not_a_suspect():
    given = np.array([0, 0, 0, 1, 1])
    said = np.array([[0.99, 0.01], [0.99, 0.01], [0.9, 0.1], [0.95, 0.05], [0.97, 0.03]])  # class 1 is never learnt
    assert confident_classes(said, class_thresholds(given, said))[2] == 1  # 0.1 reaches its threshold, 0.04
    assert [doubt.index for doubt in find_doubts(given, said)] == [4, 3]


def test_the_only_image_of_a_class_is_not_judged_and_its_class_not_suggested():
    given = np.array([0, 0, 1, 1, 2])
    said = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.9, 0.1, 0.0]])
    found = find_doubts(given, said)
    assert [(doubt.index, doubt.likely) for doubt in found] == [(1, False)]


def test_labels_that_are_all_right_leave_an_empty_list():
    assert find_doubts(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9], [0.5, 0.5]])) == ()


@pytest.mark.parametrize(("counts", "folds"), [((50, 30, 21), 4), ((7, 2, 1), 5), ((3, 0, 3), 2), ((1, 1), 2)])
def test_folds_are_as_equal_as_can_be_in_all_and_in_each_class(counts, folds):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    found = assign_folds(labels, folds, 0)
    assert len(found) == sum(counts)
    assert np.ptp(np.bincount(found, minlength=folds)) <= 1
    for label in range(len(counts)):
        assert np.ptp(np.bincount(found[labels == label], minlength=folds)) <= 1


def test_folds_are_drawn_by_the_seed():
    labels = few_digits().train.labels
    assert np.array_equal(assign_folds(labels, 4, 7), assign_folds(labels, 4, 7))
    assert not np.array_equal(assign_folds(labels, 4, 7), assign_folds(labels, 4, 8))


def test_each_image_is_judged_once_by_a_network_that_has_not_seen_it(monkeypatch):
    seen = []
    real = experiment.run

    def recorded(config, source, path, **options):
        seen.append(source)
        return real(config, source, path, **options)

    monkeypatch.setattr(stage, "run", recorded)
    part = few_digits().train
    place = {image.tobytes(): index for index, image in enumerate(part.images)}
    assert len(place) == 96  # no image stands there twice
    events = list(predict_folds(replace(SHORT, epochs=1), few_digits(), assign_folds(part.labels, 3, 0), 1))
    judged = of_kind(events, FoldDone)
    assert sorted(np.concatenate([one.images for one in judged])) == [*range(96)]
    for fold, given in zip(judged, seen, strict=True):
        learnt, asked = ([place[image.tobytes()] for image in one.images] for one in (given.train, given.test))
        assert sorted([*learnt, *asked]) == [*range(96)]
        assert asked == fold.images.tolist()  # and the dataset's own test set is not there
        assert np.array_equal(given.train.labels, part.labels[learnt])
        assert np.array_equal(given.test.labels, part.labels[asked])
        assert fold.probabilities.sum(1) == pytest.approx(np.ones(len(asked)))
        assert fold.accuracy == 100 * np.mean(fold.probabilities.argmax(1) == part.labels[asked])
    shares = [event.share for event in of_kind(events, FoldMoved) if event.fold == 0]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_two_processes_judge_as_one_does():
    config, source = replace(SHORT, epochs=1), few_digits()
    fold_of = assign_folds(source.train.labels, 2, 0)
    alone, beside = ({one.fold: one.probabilities for one in of_kind(predict_folds(config, source, fold_of, jobs),
                                                                     FoldDone)} for jobs in (1, 2))
    assert alone.keys() == beside.keys() == {0, 1}
    assert all(np.array_equal(alone[fold], beside[fold]) for fold in alone)


def test_a_process_that_is_killed_is_told_and_ends_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = few_digits()
    events = predict_folds(replace(SHORT, epochs=2000), source, assign_folds(source.train.labels, 2, 0), 2)
    next(events)
    os.kill(children_of(os.getpid())[0], signal.SIGKILL)
    with pytest.raises(RunError, match=r"process of fold [12]: killed by SIGKILL.*; try --jobs 1"):
        list(events)
    assert not any(map(is_running, children_of(os.getpid())))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_diverges_is_told_with_its_fold():
    with pytest.raises(TrainingError, match=r"fold 1, whose run was deleted: epoch 1.*lower --lr"):
        list(find(replace(SHORT, lr=1e20), few_digits(), folds=2))


def test_wrong_labels_of_real_digits_are_found_first():
    source = few_digits(700)
    labels, places = tool.flipped(source.train.labels, 14, 10, 0)
    source = replace(source, train=ImageSet(source.train.images, labels))
    *events, found = find(replace(SHORT, epochs=8), source, folds=2)
    assert isinstance(found, Suspects)
    assert not of_kind(events, RateFound)
    first = [doubt.index for doubt in found.doubts[:21]]
    assert len({*first} & {*places.tolist()}) >= 11
    true = few_digits(700).train.labels
    right = [doubt.suggested == true[doubt.index] for doubt in found.doubts[:21] if doubt.index in places]
    assert sum(right) >= 10


@pytest.mark.parametrize(("images", "folds", "batch", "epochs"), [
    (60_000, 4, 128, 3),  # 45,000 images are 352 steps; 2 epochs would do, 3 are the least
    (5_000, 4, 128, 20),  # 3,750 images are 30 steps
    (5_000, 4, 64, 11),  # 59 steps: 600 / 59 = 10.2
    (40, 4, 128, 100),  # one step; 600 would be too many
])
def test_small_training_parts_get_more_epochs(images, folds, batch, epochs):
    assert usual_epochs(images, folds, batch) == epochs


def test_what_cannot_be_divided_or_compared_is_refused():
    source = few_digits(6)
    for folds in (1, 7):
        with pytest.raises(UsageError, match=rf"--folds {folds}: digits has 6 training images.*from 2 folds"):
            check(source, folds)
    one_class = replace(source, train=replace(source.train, labels=np.zeros(6, np.int64)))
    with pytest.raises(UsageError, match=r"digits: all 6 chosen training images.*one class.*Use more"):
        list(find(SHORT, one_class, folds=2))
    for first in (0, 7):
        with pytest.raises(UsageError, match=rf"--first {first}: digits has 6 training images.*from 1 to 6"):
            first_images(source, first)
    assert len(first_images(source, 5).train.images) == 5
    assert lone_classes(source) == ("0", "1", "2", "3", "4", "5")


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A folder of three classes that are easy to tell apart, train/ and test/, in which one label is wrong."""
    random = np.random.default_rng(0)
    boxes = {"=left": (slice(4, 24), slice(2, 9)), "top": (slice(2, 9), slice(4, 24)), "<b>": (slice(9, 19),) * 2}
    for part, count in (("train", 12), ("test", 1)):
        for name, box in boxes.items():
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(count):
                image = random.integers(0, 40, (28, 28), np.uint8)
                image[box] += 180
                Image.fromarray(image).save(tmp_path / "data" / part / name / f"{number}.png")
    (tmp_path / "quick.toml").write_text(QUICK)
    return tmp_path / "data"


def command(shapes: Path, *words: str, **changed: float) -> list[str]:
    options = {"epochs": 12, "folds": 3, "jobs": 1} | changed
    return ["suspects", "--config", str(shapes.parent / "quick.toml"), "--data", str(shapes),
            "--out", str(shapes.parent / "out"), *words,
            *(text for name, value in options.items() for text in (f"--{name}", str(value)))]


def test_the_list_of_a_folder_names_the_file_with_the_wrong_label(shapes, capfd):
    wrong = shapes / "train" / "=left" / "wrong.png"
    (shapes / "train" / "top" / "5.png").rename(wrong)
    assert main(command(shapes, "--json")) == 0
    found = json.loads(capfd.readouterr().out)
    out = shapes.parent / "out"
    assert found.pop("folder") == str(out)
    assert found == json.loads((out / "suspects.json").read_text())
    with open(out / "suspects.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["suspects"]) == found["listed"]
    assert rows[0]["file"].endswith("=left/wrong.png")
    assert (rows[0]["given_name"], rows[0]["suggested_name"], rows[0]["likely"]) == ("'=left", "top", "yes")
    assert (found["suspects"][0]["given_name"], found["suspects"][0]["suggested_name"]) == ("=left", "top")
    assert float(rows[0]["score"]) == pytest.approx(found["suspects"][0]["score"], abs=1e-6)
    assert (found["images"], found["folds"], found["epochs"], found["lr"]) == (36, 3, 12, 0.1)
    assert sum(map(sum, found["joint"])) <= 36
    with Image.open(out / "suspects.png") as picture:
        assert picture.width == 1600
    assert main(command(shapes)) == 2
    assert "already exists; choose another folder with --out" in capfd.readouterr().err


def test_right_labels_leave_an_empty_list_that_is_told(shapes, capfd):
    assert main(command(shapes)) == 0
    shown = capfd.readouterr().out
    assert "fold 3 of 3: 100.00 % of 12 images are predicted as labelled" in shown
    assert "No label is likely wrong. 100.00 % are predicted as labelled." in shown
    assert sorted(path.name for path in (shapes.parent / "out").iterdir()) == ["suspects.csv", "suspects.json"]
    assert (shapes.parent / "out" / "suspects.csv").read_text().count("\n") == 1


def test_a_class_with_one_image_and_networks_that_have_learnt_little_are_warned_of(shapes, capfd):
    for number in range(1, 12):
        (shapes / "train" / "top" / f"{number}.png").unlink()
    assert main(command(shapes, epochs=1, images=3, lr=1e-6)) == 0
    printed = capfd.readouterr()
    assert "class top has a single training image" in printed.err
    assert "more --epochs" in printed.err
    assert "top/0.png" not in (shapes.parent / "out" / "suspects.csv").read_text()


@pytest.mark.parametrize(("changed", "message"), [
    ({"first": 37}, "has 36 training images, expected an integer from 1 to 36"),
    ({"folds": 40}, "expected from 2 folds to as many as there are images"),
    ({"images": 0}, "--images 0 --jobs 1: expected integers of at least 1"),
    ({"jobs": 0}, "--images 40 --jobs 0: expected integers of at least 1"),
])
def test_wrong_use_leaves_nothing(changed, message, shapes, capfd):
    assert main(command(shapes, **changed)) == 2
    assert message in capfd.readouterr().err
    assert not (shapes.parent / "out").exists()


def test_ctrl_c_ends_every_process_and_leaves_nothing(shapes, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # A process that was started in the background may have been told to ignore Ctrl-C.
    program = ("import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
               "from mnist_ops.cli.main import main; sys.exit(main())")
    words = [sys.executable, "-c", program, *command(shapes, jobs=2, epochs=5_000)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "TMPDIR": str(temporary)}) as process:
        try:
            while len(list(temporary.glob("*/fold*/history.jsonl"))) < 2:
                assert process.poll() is None
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            _, complaint = process.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a failure would leave behind
    assert process.returncode == 130
    assert complaint == "mnist-ops: stopped; nothing was written\n"
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_flipping_gives_each_drawn_image_another_label():
    labels = np.random.default_rng(0).integers(0, 10, 500)
    changed, places = tool.flipped(labels, 40, 10, 3)
    assert sorted(places) == np.flatnonzero(changed != labels).tolist()
    assert len(places) == 40
    assert set(((changed - labels) % 10)[places].tolist()) == set(range(1, 10))
    assert np.array_equal(changed, tool.flipped(labels, 40, 10, 3)[0])
    assert not np.array_equal(changed, tool.flipped(labels, 40, 10, 4)[0])


def test_the_documented_figures_are_those_that_were_measured(capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().err
    record = json.loads(tool.RECORD.read_text(encoding="utf-8"))
    assert [run["seed"] for run in record["runs"]] == [0, 1, 2, 3, 4]
    assert min(run["found"] for run in record["runs"]) >= 80
