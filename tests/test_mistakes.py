"""Which images are wrong: their order, their CSV, and the test images of MNIST whose labels people dispute."""

import csv
import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ops.data.source import read
from mnist_ops.score.evaluate import Evaluation
from mnist_ops.score.mistakes import (
    COLUMNS,
    DISPUTED,
    Mistake,
    as_csv,
    disputed_images,
    find_mistakes,
    in_order,
    safe_cell,
    without_disputed,
)


def evaluation(shares: list[list[float]], labels: list[int]) -> Evaluation:
    """One whose softmax gives these probabilities."""
    return Evaluation(torch.tensor(shares).log(), torch.tensor(labels))


THREE_WRONG = evaluation([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]], [0, 0, 1, 1, 1])


def test_only_wrong_images_are_listed_with_both_probabilities():
    found = {one.index: one for one in find_mistakes(THREE_WRONG)}
    assert sorted(found) == [1, 2, 4]
    assert (found[1].label, found[1].predicted) == (0, 1)
    assert found[1].probability == pytest.approx(0.8)
    assert found[1].label_probability == pytest.approx(0.2)


def test_the_least_confident_comes_first_unless_asked_otherwise():
    found = find_mistakes(THREE_WRONG)
    assert [one.index for one in found] == [2, 1, 4]  # 0.6, then 0.8 and 0.8, which go by index
    assert [one.index for one in in_order(found, "most-confident")] == [1, 4, 2]


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.floats(-9, 9, width=32), min_size=4, max_size=4)), min_size=1))
def test_mistakes_are_those_of_an_independent_count_in_both_orders(rows):
    logits, labels = torch.tensor([row for _, row in rows]), torch.tensor([label for label, _ in rows])
    found = find_mistakes(Evaluation(logits, labels))
    expected = {index for index, (label, row) in enumerate(rows) if row.index(max(row)) != label}
    assert {one.index for one in found} == expected
    for one in found:
        total = math.fsum(math.exp(value) for value in logits[one.index].tolist())
        assert one.probability == pytest.approx(math.exp(max(logits[one.index].tolist())) / total, rel=1e-9)
        assert one.probability >= one.label_probability
    confidences = [one.probability for one in found]
    assert confidences == sorted(confidences)
    assert [one.probability for one in in_order(found, "most-confident")] == sorted(confidences, reverse=True)


def test_an_image_of_a_folder_is_found_by_its_file():
    (first, *_) = find_mistakes(THREE_WRONG, names=["a/0.png", "a/1.png", "b/2.png", "b/3.png", "b/4.png"])
    assert (first.index, first.name, first.place) == (2, "b/2.png", "b/2.png")
    assert find_mistakes(THREE_WRONG)[0].place == "2"


def test_the_csv_is_complete_and_reads_back_as_it_was():
    names = ["a/0.png", 'a/with "quotes", and a comma.png', "b/line\nbreak.png", "b/3.png", "b/é 🙂.png"]
    text = as_csv(find_mistakes(THREE_WRONG, names, disputed=[4]), ["a", "b, the second"])
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert tuple(header) == COLUMNS
    assert [row[1] for row in rows] == ["b/line\\nbreak.png", names[1], names[4]]
    assert rows[1] == ["1", names[1], "0", "a", "1", "b, the second", "0.800000", "0.200000", "no"]
    assert rows[2][-1] == "yes"
    assert text.count("\r\n") == 4  # RFC 4180: each line ends so
    assert text.count("\n") == 4


def test_images_without_files_leave_that_column_empty():
    assert as_csv([Mistake(7, None, 0, 1, 0.5, 0.25)], "ab").splitlines()[1] == "7,,0,a,1,b,0.500000,0.250000,no"


@pytest.mark.parametrize(("name", "cell"), [
    ("=1+2", "'=1+2"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"), ("-a", "'-a"),
    ("＝1+2", "'＝1+2"),  # noqa: RUF001 - wide, which spreadsheets take too
    ("+", "+"), ("=", "="), ("-1", "-1"), ("-inf", "'-inf"), ("T-shirt/top", "T-shirt/top"), ("", ""),
    ("\t=1", "\\t=1"), ("a\udcff", "a\\udcff"),
])
def test_no_class_name_becomes_a_formula(name, cell):
    assert safe_cell(name) == cell


def test_a_file_that_begins_like_a_formula_stays_a_path():
    row = as_csv([Mistake(0, "=HYPERLINK(1)/0.png", 0, 1, 0.5, 0.5)], "ab").splitlines()[1]
    assert row.startswith("0,./=HYPERLINK(1)/0.png,")


def genuine(wrong: list[int]) -> Evaluation:
    """What could be MNIST's test set: the right labels where they are looked at; predictions are 0 but for `wrong`."""
    labels = torch.zeros(10_000, dtype=torch.int64)
    for index, label in DISPUTED.items():
        labels[index] = label
    predicted = labels.clone()
    predicted[wrong] = (labels[wrong] + 1) % 10
    return Evaluation(torch.nn.functional.one_hot(predicted, 10).float(), labels)


def test_the_accuracy_without_disputed_images_leaves_out_right_and_wrong_ones():
    tested = genuine(wrong=[1, 2, 947, 1621])
    disputed = disputed_images("mnist", tested)
    kept = without_disputed(tested, disputed)
    assert kept is not None
    assert tested.accuracy == pytest.approx(99.96)
    assert (kept.count, kept.correct, kept.left_out) == (9_985, 9_983, tuple(sorted(DISPUTED)))
    assert kept.accuracy == pytest.approx(100 * 9_983 / 9_985)


def test_only_mnist_s_own_test_set_has_disputed_images():
    tested = genuine(wrong=[])
    other = Evaluation(tested.logits, tested.labels.roll(1))
    assert len(disputed_images("mnist", tested)) == 15
    assert disputed_images("fashion-mnist", tested) == ()
    assert disputed_images("mnist", other) == ()
    assert disputed_images("mnist", Evaluation(tested.logits[:9_999], tested.labels[:9_999])) == ()
    assert without_disputed(tested, ()) is None


def test_the_disputed_labels_are_those_of_the_files(mnist_dir):
    labels = read("mnist", mnist_dir, fetch=False).test.labels
    assert {index: int(labels[index]) for index in DISPUTED} == dict(DISPUTED)
