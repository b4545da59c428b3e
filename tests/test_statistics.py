"""Intervals against the literature's own numbers and by their defining properties."""

import math
import statistics

import pytest

from mnist_ops.score.statistics import spread, student95, wilson


@pytest.mark.parametrize(("correct", "count", "low", "high"), [
    (81, 263, 25.53, 36.62),  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    (15, 148, 6.24, 16.05),
    (0, 20, 0.00, 16.11),
    (1, 29, 0.61, 17.18),
])
def test_wilson_gives_the_published_intervals(correct, count, low, high):
    assert wilson(correct, count) == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize(("correct", "count"), [(9945, 10_000), (1, 3), (50, 100)])
def test_wilsons_bounds_are_where_the_score_test_is_at_its_critical_value(correct, count):
    for bound in (one / 100 for one in wilson(correct, count)):
        z = (correct / count - bound) / math.sqrt(bound * (1 - bound) / count)
        assert abs(z) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize("count", [1, 7, 10_000])
def test_wilson_stays_within_0_and_100_and_mirrors(count):
    low, high = wilson(0, count)
    assert low == 0
    assert 0 < high < 100
    assert wilson(count, count) == pytest.approx((100 - high, 100))


@pytest.mark.parametrize(("correct", "count"), [(5, 4), (-1, 4), (0, 0)])
def test_impossible_counts_are_refused(correct, count):
    with pytest.raises(ValueError, match=f"found {correct} of {count}"):
        wilson(correct, count)


@pytest.mark.parametrize(("freedom", "point"), [
    (1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (10, 2.228), (29, 2.045), (100, 1.984), (1000, 1.962),
])
def test_student_gives_the_points_of_the_printed_tables(freedom, point):
    assert student95(freedom) == pytest.approx(point, abs=6e-4)


def test_student_approaches_the_normal_distribution():
    assert student95(100_000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-4)


def test_the_spread_of_a_worked_example():
    # Mean 3; squares 4 + 1 + 0 + 1 + 4 = 10, over 4: SD 1.5811; half width 2.776 x 1.5811 / sqrt 5 = 1.963.
    found = spread([1, 2, 3, 4, 5])
    assert (found.n, found.mean) == (5, 3)
    assert found.sd == pytest.approx(1.58114, abs=1e-5)
    assert found.interval == pytest.approx((3 - 1.9633, 3 + 1.9633), abs=1e-3)


def test_one_run_has_a_mean_and_no_spread():
    found = spread([99.5])
    assert (found.n, found.mean, found.sd, found.interval) == (1, 99.5, None, None)


def test_equal_runs_have_an_interval_of_no_width():
    assert spread([99.5] * 10).interval == pytest.approx((99.5, 99.5))


def test_no_runs_at_all_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        spread([])
