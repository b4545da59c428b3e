"""Ratios of two programs' speeds, paired round by round, with their spread. Plain numbers, no torch."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The middle one of several values, and the smallest and the largest."""

    median: float
    low: float
    high: float
    n: int


def measured(values: Sequence[float]) -> Measured:
    """Raises ValueError without any value."""
    if not values:
        raise ValueError("expected at least one value")
    return Measured(statistics.median(values), min(values), max(values), len(values))


def paired(one: Sequence[float], other: Sequence[float]) -> Measured:
    """one / other of each round. What slows a whole round down slows both and leaves the ratio as it is.

    Raises ValueError where the two have not the same number of rounds."""
    if len(one) != len(other):
        raise ValueError(f"expected as many rounds of one as of the other, found {len(one)} and {len(other)}")
    return measured([mine / theirs for mine, theirs in zip(one, other, strict=True)])


def training_flops(macs: int, images_per_second: float) -> float:
    """Floating-point operations a second: two a multiply-add, once forward and twice backward."""
    return 3 * 2 * macs * images_per_second
