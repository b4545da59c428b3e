"""Whether two recipes differ by more than the noise between seeds. Plain numbers, no torch.

If both recipes ran on the same seeds, the runs are paired: a seed fixes the initial weights, the order of the images
and the split of a folder, so two runs of one seed are not independent, and the noise is the spread of their
differences. The method depends only on the seeds, never on the result. Other seeds are compared by Welch's interval.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mnist_ops.score.statistics import student95

NEGLIGIBLE = 1e-12  # percent: a standard error below this is rounding of equal accuracies


@dataclass(frozen=True)
class Difference:
    """Second minus first, in the unit of the values, over runs on the same test images.

    `interval` is None if the noise cannot be estimated: a single run on one side, or all runs equal."""

    method: Literal["paired", "welch", "none"]
    counts: tuple[int, int]  # runs of the first and of the second
    difference: float  # of the means
    interval: tuple[float, float] | None  # 95 %, Student's t
    freedom: int | None  # degrees of freedom of t

    @property
    def larger_than_noise(self) -> bool | None:
        """Whether the interval excludes zero; None without an interval."""
        return None if self.interval is None else not self.interval[0] <= 0 <= self.interval[1]


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Compare two recipes by their values per seed. Raises ValueError if one has none."""
    if not (first and second):
        raise ValueError("expected at least one run of each recipe")
    counts = len(first), len(second)
    difference = statistics.fmean(second.values()) - statistics.fmean(first.values())
    if min(counts) < 2:
        return Difference("none", counts, difference, None, None)
    if first.keys() == second.keys():
        return _paired([second[seed] - first[seed] for seed in first], difference)
    return _welch(list(first.values()), list(second.values()), difference)


def _paired(differences: list[float], difference: float) -> Difference:
    """Student's interval of the mean of the differences."""
    count = len(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    return Difference("paired", (count, count), difference, *_interval(difference, error, count - 1))


def _welch(first: list[float], second: list[float], difference: float) -> Difference:
    """Welch 1947: the variances may differ. The degrees of freedom are rounded down, which errs on the wide side."""
    counts = len(first), len(second)
    parts = [statistics.variance(values) / len(values) for values in (first, second)]
    error = math.sqrt(sum(parts))
    if error <= NEGLIGIBLE:
        return Difference("welch", counts, difference, None, None)
    shares = [part / sum(parts) for part in parts]  # so that small variances do not vanish when they are squared
    freedom = 1 / sum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True))
    return Difference("welch", counts, difference, *_interval(difference, error, math.floor(freedom + 1e-9)))


def _interval(difference: float, error: float, freedom: int) -> tuple[tuple[float, float] | None, int | None]:
    """Equal runs do not measure the noise, which is then below the resolution of the test images."""
    if error <= NEGLIGIBLE:
        return None, None
    half = student95(freedom) * error
    return (difference - half, difference + half), freedom
