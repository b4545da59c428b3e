"""The weights of the paths through a number's candidates are fitted to what its text says."""

import itertools

import numpy as np
import pytest

from mnist_ops.pictures.candidates import Candidate
from mnist_ops.pictures.costs import layered, unpacked
from mnist_ops.pictures.several import LEFT_OUT
from tools import path_layer
from tools.path_weights import Example, by_best, fit, likelihood, right_share, text
from tools.whole_numbers import Number

SPANS = [(0, 1, "1"), (0, 1, "7"), (1, 2, "1"), (0, 2, "4"), (2, 3, "1"), (1, 3, "1")]


def example(text, values):
    row = [Candidate(first, last, np.zeros((28, 28), np.uint8), (0, 0, 9, 9), 1, 1, -1, 0, 0, 0, 9)
           for first, last, _ in SPANS]
    logits = np.array([np.arange(10) == int(label) for *_, label in SPANS], float)
    return Example(row, np.asarray(values, float), logits, text, "touching")


def paths(at=0):
    """Every way from the first cut to the last, as numbers of candidates; None where a piece is left out."""
    if at == 3:
        yield ()
        return
    for rest in paths(at + 1):
        yield (None, *rest)
    for index, (first, last, _) in enumerate(SPANS):
        if first == at:
            for rest in paths(last):
                yield (index, *rest)


@pytest.mark.parametrize("text", ["11", "71", "41", "7", None])
@pytest.mark.parametrize("digits", [1, 10])
def test_the_likelihood_is_the_sum_over_all_paths(text, digits):
    one = example(text or "11", np.zeros((len(SPANS), 1)))
    costs = np.random.default_rng(1).uniform(-1, 3, (len(SPANS), 10))
    if digits == 1:
        costs = by_best(one, costs[:, 0])
    total, through = 0.0, np.zeros((len(SPANS), 10))
    for path in paths():
        used = [index for index in path if index is not None]
        for read in itertools.product(range(10), repeat=len(used)) if len(used) < 4 else ():
            if text in (None, "".join(map(str, read))):
                power = np.exp(-sum(costs[used, list(read)]) - LEFT_OUT * path.count(None))
                total += power
                through[used, list(read)] += power
    found, shares = likelihood(one, costs, right=text is not None)
    assert found == pytest.approx(np.log(total))
    np.testing.assert_allclose(shares, through / total, atol=1e-12)


def test_a_text_without_a_path_has_no_likelihood():
    one = example("9", np.zeros((len(SPANS), 1)))
    assert likelihood(one, by_best(one, np.zeros(len(SPANS))), right=True)[0] == -np.inf


def test_the_fit_finds_the_feature_that_tells_the_right_path():
    random = np.random.default_rng(2)
    made, found = [], []
    for said, right in itertools.islice(itertools.cycle([("41", (3, 4)), ("71", (1, 5))]), 48):
        values = random.normal(size=(len(SPANS), 3))
        values[:, 0] = 1
        values[:, 1] = [index not in right for index in range(len(SPANS))]
        found.append(example(said, values))
        made.append(Number(np.zeros((9, 9), np.int64), said, "touching", "even"))
    weights = fit(found)
    assert weights[1] > abs(weights[2])
    made += [Number(made[0].image, "41", spacing, "even") for spacing in ("close", "wide")]
    shares = right_share([*found, None, None], made, lambda one: by_best(one, one.values @ weights))
    assert shares == {"touching": 100, "close": 0, "wide": 0, "all": 96}


def test_the_layer_reads_another_class_than_the_network_where_the_shape_says_so():
    random = np.random.default_rng(3)
    found = []
    for _ in range(32):
        values = random.normal(size=(len(SPANS), 2))
        found.append(example("41" if values[3, 1] > 0 else "91", values))
    layer = path_layer.fit(found, epochs=60)
    read = [text(one, layered(path_layer.inputs(one), path_layer.chances(one), layer)) for one in found]
    assert sum(one.text == said for one, said in zip(found, read, strict=True)) >= 28


def test_packed_numbers_come_back_rounded_to_eight_bits():
    numbers = np.array([0, 1, -2.5, 3.14159, 1e-4, -700.3])
    np.testing.assert_allclose(unpacked(path_layer.packed(numbers)), numbers, rtol=2**-8)
