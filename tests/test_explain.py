"""Numbers that explain an accuracy, against worked values and independent computations."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ops.score.evaluate import Evaluation
from mnist_ops.score.metrics import Confused, calibration, class_scores, confusion, explain, in_words, most_confused

COUNTS = np.array([[5, 0, 2], [0, 0, 0], [1, 0, 2]])  # nobody is labelled 1, nobody is taken for 1


def judged(pairs: list[tuple[int, int]], classes: int) -> Evaluation:
    """Images with these (label, predicted)."""
    labels, predicted = torch.tensor(pairs).T
    return Evaluation(torch.nn.functional.one_hot(predicted, classes).float(), labels)


def confident(shares: list[float], right: list[bool]) -> Evaluation:
    """Two classes, the predicted one, 0, with these probabilities."""
    logits = torch.tensor([[share, 1 - share] for share in shares], dtype=torch.float64).log()
    return Evaluation(logits, torch.tensor([0 if one else 1 for one in right]))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_the_confusion_matrix_counts_pairs(pairs):
    counts = confusion(judged(pairs, 5))
    assert counts.shape == (5, 5)
    for label in range(5):
        for predicted in range(5):
            assert counts[label, predicted] == pairs.count((label, predicted))


def test_precision_recall_and_f1_of_a_worked_matrix():
    first, none, last = class_scores(COUNTS)
    assert (first.images, first.predictions, first.correct) == (7, 6, 5)
    assert (first.precision, first.recall, first.f1) == pytest.approx((500 / 6, 500 / 7, 1000 / 13))
    assert (none.precision, none.recall, none.f1) == (None, None, None)
    assert (last.precision, last.recall, last.f1) == pytest.approx((50, 200 / 3, 400 / 7))


def test_a_class_that_is_never_predicted_has_a_recall_but_no_precision():
    missed, _ = class_scores(np.array([[0, 4], [0, 6]]))
    assert (missed.precision, missed.recall, missed.f1) == (None, 0, 0)
    _, absent = class_scores(np.array([[3, 1], [0, 0]]))
    assert (absent.precision, absent.recall, absent.f1) == (0, None, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs):
    for one in class_scores(confusion(judged(pairs, 4))):
        if one.precision and one.recall:
            assert one.f1 == pytest.approx(2 / (1 / one.precision + 1 / one.recall))


def test_confusions_come_by_number_and_then_by_class():
    counts = np.array([[9, 1, 3], [3, 9, 0], [0, 4, 9]])
    assert most_confused(counts) == (Confused(2, 1, 4), Confused(0, 2, 3), Confused(1, 0, 3), Confused(0, 1, 1))
    assert most_confused(np.diag([3, 0, 2])) == ()


def test_a_confusion_is_told_with_the_names_of_its_classes():
    assert in_words(Confused(4, 9, 5), "0123456789") == "4 read as 9: 5 times"
    assert in_words(Confused(0, 1, 1), ["T-shirt/top", "Ankle\nboot"]) == "T-shirt/top read as Ankle\\nboot: once"


def test_the_calibration_error_of_a_worked_example():
    # bins of 1/15: 0.55 and 0.58 lie in the ninth (0.533, 0.6], 0.95 and 0.99 in the last (0.933, 1]
    found = calibration(confident([0.55, 0.58, 0.95, 0.99], [True, False, True, True]))
    ninth, last = found.bins[8], found.bins[14]
    assert (ninth.count, ninth.confidence, ninth.accuracy) == pytest.approx((2, 56.5, 50))
    assert (last.count, last.confidence, last.accuracy) == pytest.approx((2, 97, 100))
    assert found.ece == pytest.approx(0.5 * 6.5 + 0.5 * 3)
    assert (found.mean_confidence, found.accuracy) == pytest.approx((76.75, 75))
    assert all((one.count, one.confidence, one.accuracy) == (0, None, None)
               for one in found.bins if one not in (ninth, last))


def test_the_bins_are_fifteen_of_equal_width_from_0_to_100():
    bins = calibration(confident([0.7], [True])).bins
    assert [one.low for one in bins] == pytest.approx([100 * place / 15 for place in range(15)])
    assert [one.high for one in bins[:-1]] == pytest.approx([one.low for one in bins[1:]])
    assert bins[-1].high == 100


@given(st.lists(st.tuples(st.floats(0.5, 1, exclude_min=True), st.booleans()), min_size=1))
def test_the_calibration_error_is_that_of_an_independent_loop(rows):
    found = calibration(confident([share for share, _ in rows], [right for _, right in rows]))
    edges = [place / 15 for place in range(16)]
    sure = [float(torch.tensor([share, 1 - share], dtype=torch.float64).log().softmax(0)[0]) for share, _ in rows]
    error = 0.0
    for low, high in itertools.pairwise(edges):
        inside = [(share, right) for share, (_, right) in zip(sure, rows, strict=True) if low < share <= high]
        error += abs(math.fsum(share - right for share, right in inside)) / len(rows)
    assert found.ece == pytest.approx(100 * error, abs=1e-6)
    assert sum(one.count for one in found.bins) == len(rows)


def test_certainty_lies_in_the_last_bin():
    found = calibration(Evaluation(torch.tensor([[1e4, 0.0]]), torch.tensor([0])))
    assert found.bins[-1].count == 1
    assert found.ece == 0


def test_everything_is_explained_at_once_and_nothing_without_images():
    told = explain(judged([(0, 1), (1, 1), (1, 1)], 2))
    assert told.confusion.tolist() == [[0, 1], [0, 2]]
    assert told.confused == (Confused(0, 1, 1),)
    assert [one.images for one in told.scores] == [1, 2]
    assert told.calibration.accuracy == pytest.approx(200 / 3)
    with pytest.raises(ValueError, match="at least one image"):
        explain(Evaluation(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)))
