"""The weights of the paths through a number's candidates are fitted to what its text says."""

import itertools

import numpy as np
import pytest

from mnist_ops.pictures.candidates import Candidate
from mnist_ops.pictures.several import LEFT_OUT
from tools.path_weights import Example, fit, likelihood, right_share
from tools.whole_numbers import Number

SPANS = [(0, 1, "1"), (0, 1, "7"), (1, 2, "1"), (0, 2, "4"), (2, 3, "1"), (1, 3, "1")]


def example(text, values):
    row = [Candidate(first, last, np.zeros((28, 28), np.uint8), (0, 0, 9, 9), 1, 1, -1, 0, 0, 0, 9)
           for first, last, _ in SPANS]
    return Example(row, np.asarray(values, float), [label for *_, label in SPANS], text, "touching")


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
def test_the_likelihood_is_the_sum_over_all_paths(text):
    costs = np.random.default_rng(1).uniform(-1, 3, len(SPANS))
    total, through = 0.0, np.zeros(len(SPANS))
    for path in paths():
        used = [index for index in path if index is not None]
        if text in (None, "".join(SPANS[index][2] for index in used)):
            power = np.exp(-sum(costs[used]) - LEFT_OUT * path.count(None))
            total += power
            through[used] += power
    found, shares = likelihood(example(text or "11", np.zeros((len(SPANS), 1))), costs, right=text is not None)
    assert found == pytest.approx(np.log(total))
    np.testing.assert_allclose(shares, through / total, atol=1e-12)


def test_a_text_without_a_path_has_no_likelihood():
    assert likelihood(example("9", np.zeros((len(SPANS), 1))), np.zeros(len(SPANS)), right=True)[0] == -np.inf


def test_the_fit_finds_the_feature_that_tells_the_right_path():
    random = np.random.default_rng(2)
    made, found = [], []
    for text, right in itertools.islice(itertools.cycle([("41", (3, 4)), ("71", (1, 5))]), 48):
        values = random.normal(size=(len(SPANS), 3))
        values[:, 0] = 1
        values[:, 1] = [index not in right for index in range(len(SPANS))]
        found.append(example(text, values))
        made.append(Number(np.zeros((9, 9), np.int64), text, "touching", "even"))
    weights = fit(found)
    assert weights[1] > abs(weights[2])
    made += [Number(made[0].image, "41", spacing, "even") for spacing in ("close", "wide")]
    assert right_share([*found, None, None], made, weights) == {"touching": 100, "close": 0, "wide": 0, "all": 96}
