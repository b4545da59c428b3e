"""Which images are the test set: a fifth of each class, all, or those that a run has recorded. Reads nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mnist_ops.errors import DataError, UsageError, legible

Test: TypeAlias = Literal["fifth", "all"] | Collection[str]
TEST_SHARE = 0.2  # of each class, if there is no test set
Indexes = Sequence[int]


@dataclass(frozen=True)
class Labelled:
    """The names and labels of a set of images."""

    where: str  # its folder or file
    classes: Sequence[str]
    names: Sequence[str]
    labels: Sequence[int]


def draw_test(part: Labelled, test: Test, generator: np.random.Generator) -> tuple[Indexes, Indexes]:
    """The indexes of training and test images of a set that has both; `test` as in `source.read`.

    Raises UsageError for a class of one image, and DataError as `recorded`."""
    if test == "all":
        return (), range(len(part.labels))
    if test != "fifth":
        return recorded(part, set(test))
    train: list[int] = []
    tested: list[int] = []
    labels = np.array(part.labels)
    for label, name in enumerate(part.classes):
        members = np.flatnonzero(labels == label).tolist()
        if len(members) < 2:
            raise UsageError(f"{legible(part.where)}: class {legible(name)}: one picture, expected at least two, for "
                             "training and test. Add some.")
        count = max(1, round(TEST_SHARE * len(members)))
        drawn = set(generator.permutation(len(members))[:count].tolist())
        tested += [one for place, one in enumerate(members) if place in drawn]
        train += [one for place, one in enumerate(members) if place not in drawn]
    return train, tested


def recorded(part: Labelled, wanted: set[str]) -> tuple[Indexes, Indexes]:
    """The indexes of the other names, and of the wanted ones. Raises DataError if some of these are not there."""
    if gone := sorted(wanted - set(part.names)):
        raise DataError(f"{legible(part.where)}: {len(gone):,} pictures of the run's test set no longer exist, "
                        f"e.g. {legible(gone[0])}; restore them, or use other data")
    parts = [[index for index, name in enumerate(part.names) if (name in wanted) is tested]
             for tested in (False, True)]
    return parts[0], parts[1]
