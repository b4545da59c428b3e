"""Interval of an accuracy; mean, SD and interval over seeds. Plain numbers, no torch."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

Z95 = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Spread:
    """Values over n runs. With n = 1 the SD and the interval are not known: None."""

    n: int
    mean: float
    sd: float | None  # sample standard deviation, n - 1
    interval: tuple[float, float] | None  # 95 %, Student's t


def wilson(correct: int, count: int) -> tuple[float, float]:
    """95 % interval of an accuracy in percent, from `correct` of `count` images; Wilson 1927."""
    if not 0 <= correct <= count or count < 1:
        raise ValueError(f"expected 0 <= correct <= count and count >= 1, found {correct} of {count}")
    share, squared = correct / count, Z95**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = Z95 / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def tail(found: int, count: int, share: float) -> float:
    """P(X >= found) of a binomial variable: so many of `count`, each with the probability `share` in (0, 1)."""
    terms = (math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
             + k * math.log(share) + (count - k) * math.log1p(-share) for k in range(found, count + 1))
    return min(1.0, math.fsum(map(math.exp, terms)))


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample SD and 95 % interval of the mean over runs. Raises ValueError without any value."""
    if not values:
        raise ValueError("expected at least one value")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Spread(1, mean, None, None)
    sd = statistics.stdev(values)
    half = student95(len(values) - 1) * sd / math.sqrt(len(values))
    return Spread(len(values), mean, sd, (mean - half, mean + half))


def spread_of_accuracies(values: Sequence[float]) -> Spread:
    """The same of accuracies in percent, whose interval ends at 0 and 100."""
    found = spread(values)
    return found if found.interval is None else replace(found, interval=(max(0.0, found.interval[0]),
                                                                         min(100.0, found.interval[1])))


def mean_of_new(old: Spread, count: int) -> tuple[float, float]:
    """The 95 % prediction interval of the mean of `count` new runs, from n >= 2 old ones: mean +- t SD sqrt(1/n +
    1/count); Hahn and Meeker 1991, Statistical Intervals, section 4.8."""
    assert old.sd is not None
    half = student95(old.n - 1) * old.sd * math.sqrt(1 / old.n + 1 / count)
    return old.mean - half, old.mean + half


def student95(freedom: int) -> float:
    """The 97.5 % point of Student's t with `freedom` >= 1 degrees of freedom, to 1e-6, by bisection."""
    low, high = 0.0, 20.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < 0.95 else (low, middle)
    return (low + high) / 2


def _student_share(t: float, freedom: int) -> float:
    """P(|T| < t), from the finite series of Abramowitz and Stegun 1972, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for number in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine**2 * (number + 1) / (number + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
